//! `POST /alertas/{alerta}/silencios`: nobody is notified of an alert, or of one of its keys, for a
//! while.
//!
//! Those who silence an alert hide what happens: administrators may, and without access control
//! only this machine, not through a proxy.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use vitral_catalog::WATERMARK_ALERT;
use vitral_query::{Principal, Scopes, utc_text};
use vitral_store::Act;
use vitral_store::alerts::Silence;

use crate::gate::{CorrelationId, need, peer};
use crate::object::object;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shared::Shared;

/// Headers by which a proxy says for whom it asks.
const OF_PROXIES: [&str; 3] = ["forwarded", "x-forwarded-for", "via"];
/// A longer silence is rather a mistake: it hides what nobody remembers.
const DAYS_MAX: i64 = 90;
const TEXT_BYTES_MAX: usize = 1_024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    chave: Option<String>,
    ate: String,
    motivo: Option<String>,
}

#[derive(Debug, Serialize)]
struct Kept {
    id: String,
    alerta: String,
    chave: Option<String>,
    de: Option<String>,
    ate: Option<String>,
    motivo: Option<String>,
}

/// The name under which this is asked for.
fn allowed(shared: &Shared, principal: &Principal, request: &Request) -> Result<String, Problem> {
    if shared.gate.access.is_on() {
        return need(principal, Scopes::ADMIN).map(|()| principal.id().to_owned());
    }
    let is_local = peer(request.extensions()).is_some_and(|peer| peer.is_loopback());
    if !is_local || OF_PROXIES.iter().any(|name| request.headers().contains_key(*name)) {
        return Err(Problem::only_local());
    }
    Ok("http:loopback".to_owned())
}

pub(crate) async fn add(
    State(shared): State<Arc<Shared>>,
    alert: Result<Path<String>, PathRejection>,
    Extension(principal): Extension<Principal>,
    Extension(CorrelationId(correlation_id)): Extension<CorrelationId>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let Path(alert) = alert.map_err(|_| Problem::not_found("/alertas/{alerta}/silencios"))?;
    Parameters::none(query.as_deref())?;
    let principal = allowed(&shared, &principal, &request)?;
    // It was read, and bounded, before.
    let body =
        to_bytes(request.into_body(), usize::MAX).await.map_err(|error| Problem::not_json(&error.to_string()))?;
    let names = || shared.catalog.alerts().map(|(view, _)| view.name.as_str()).chain([WATERMARK_ALERT]);
    if !names().any(|name| name == alert) {
        return Err(Problem::unknown_alert(&alert, &names().collect::<Vec<_>>()));
    }
    let wanted: Wanted = object(&body).map_err(|error| Problem::not_json(&error))?;
    let now_ms = shared.points.clock.now_ms();
    let until_ms = until(&wanted.ate, now_ms)?;
    let is_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX);
    if is_long(&wanted.chave) || is_long(&wanted.motivo) {
        return Err(Problem::not_json(&format!("chave and motivo have at most {TEXT_BYTES_MAX} bytes")));
    }
    let Some(store) = &shared.store else { return Err(Problem::not_found("/alertas/{alerta}/silencios")) };
    let silence = Silence::new(&alert, wanted.chave, (now_ms, until_ms), wanted.motivo);
    let act = Act {
        principal,
        action: "silenciar",
        target: alert,
        result: "ok".to_owned(),
        after: serde_json::to_string(&kept(&silence)).ok(),
        correlation_id,
        ..Act::default()
    };
    let silence = silence.record(store, act).await.map_err(|error| {
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, "a silence cannot be stored");
        Problem::internal()
    })?;
    Ok((StatusCode::CREATED, Json(kept(&silence))).into_response())
}

fn kept(silence: &Silence) -> Kept {
    let text = |ms: i64| utc_text(ms.saturating_mul(1000));
    Kept {
        id: silence.id.clone(),
        alerta: silence.alert.clone(),
        chave: silence.key.clone(),
        de: text(silence.from_ms),
        ate: text(silence.until_ms),
        motivo: silence.reason.clone(),
    }
}

fn until(text: &str, now_ms: i64) -> Result<i64, Problem> {
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|_| Problem::not_json("ate is not an RFC 3339 time such as 2025-05-14T12:00:00Z"))?;
    let until_ms = time.with_timezone(&Utc).timestamp_millis();
    if until_ms <= now_ms || until_ms > now_ms.saturating_add(DAYS_MAX * 86_400_000) {
        return Err(Problem::not_json(&format!("ate is not within the next {DAYS_MAX} days")));
    }
    Ok(until_ms)
}
