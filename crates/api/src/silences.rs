//! `POST /alertas/{alerta}/silencios`: nobody is notified of an alert, or of one of its keys, for a
//! while.
//!
//! Until there is access control, only this machine may ask, and not through a proxy: those who
//! silence an alert hide what happens.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vitral_catalog::WATERMARK_ALERT;
use vitral_query::utc_text;
use vitral_store::Act;
use vitral_store::alerts::Silence;

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

pub(crate) async fn add(
    State(shared): State<Arc<Shared>>,
    Path(alert): Path<String>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    Parameters::none(query.as_deref())?;
    let is_local = peer.is_some_and(|Extension(ConnectInfo(peer))| peer.ip().is_loopback());
    if !is_local || OF_PROXIES.iter().any(|name| headers.contains_key(*name)) {
        return Err(Problem::only_local());
    }
    // A form of another site cannot send this type without being asked first.
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        return Err(Problem::not_json("Content-Type is not application/json"));
    }
    let names = || shared.catalog.alerts().map(|(view, _)| view.name.as_str()).chain([WATERMARK_ALERT]);
    if !names().any(|name| name == alert) {
        return Err(Problem::unknown_alert(&alert, &names().collect::<Vec<_>>()));
    }
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|error| Problem::not_json(&error.to_string()))?;
    let now_ms = shared.clock.now_ms();
    let until_ms = until(&wanted.ate, now_ms)?;
    let is_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX);
    if is_long(&wanted.chave) || is_long(&wanted.motivo) {
        return Err(Problem::not_json(&format!("chave and motivo have at most {TEXT_BYTES_MAX} bytes")));
    }
    let Some(store) = &shared.silences else { return Err(Problem::not_found("/alertas/{alerta}/silencios")) };
    let silence = Silence::new(&alert, wanted.chave, (now_ms, until_ms), wanted.motivo);
    let act = Act {
        principal: "http:loopback".to_owned(),
        action: "silenciar",
        target: alert,
        result: "ok".to_owned(),
        after: serde_json::to_string(&kept(&silence)).ok(),
        correlation_id: Uuid::new_v4().to_string(),
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
