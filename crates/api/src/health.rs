//! Whether the process lives and whether it can answer.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use vitral_query::Principal;
use vitral_schemas::health::Trouble;

use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shared::Shared;

#[derive(Serialize)]
pub(crate) struct Live {
    vivo: bool,
}

#[derive(Serialize)]
pub(crate) struct Ready {
    pronto: bool,
    /// What is wrong, whether it keeps the process from being ready or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problemas: Vec<Problema>,
}

#[derive(Serialize)]
struct Problema {
    assunto: String,
    codigo: &'static str,
    detalhe: String,
}

pub(crate) async fn live(RawQuery(query): RawQuery) -> Result<Json<Live>, Problem> {
    Parameters::none(query.as_deref())?;
    Ok(Json(Live { vivo: true }))
}

/// No before recovery is done and what was imported is read, from shutdown on, and while something
/// does not go on as it should: numbers would be old. A topic that waits for Kafka is named, but
/// does not take the others' answers away; where all of them wait there is nothing to answer.
pub(crate) async fn ready(
    State(shared): State<Arc<Shared>>,
    Extension(principal): Extension<Principal>,
    RawQuery(query): RawQuery,
) -> Result<(StatusCode, Json<Ready>), Problem> {
    Parameters::none(query.as_deref())?;
    let (is_read, is_recovered, health) = {
        let view = shared.points.view.borrow();
        let all_wait = !view.topics_waiting.is_empty() && view.topics_waiting.len() == shared.catalog.topics.len();
        (view.ready, view.ready && !all_wait, Arc::clone(&view.health))
    };
    let mut troubles = health.troubles(shared.bounds, Instant::now());
    if !is_read && troubles.is_empty() {
        troubles.push(Trouble {
            subject: "process".to_owned(),
            code: "starting",
            detail: "what is stored has not been read yet".to_owned(),
        });
    }
    troubles.extend(shared.points.histories.borrow().unread_topics().map(|(topic, failure)| Trouble {
        subject: topic.to_owned(),
        code: if failure.is_some() { "imports_unreadable" } else { "starting" },
        detail: failure.map_or_else(
            || "what was imported into it has not been read yet".to_owned(),
            |reason| format!("what was imported into it cannot be read: {reason}"),
        ),
    }));
    let pronto = is_recovered && !shared.shutdown.is_cancelled() && !troubles.iter().any(Trouble::is_grave);
    // Those who are not known hear only whether it is ready.
    if !shared.gate.knows(&principal) {
        troubles.clear();
    }
    let problema =
        |trouble: Trouble| Problema { assunto: trouble.subject, codigo: trouble.code, detalhe: trouble.detail };
    let status = if pronto { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(Ready { pronto, problemas: troubles.into_iter().map(problema).collect() })))
}
