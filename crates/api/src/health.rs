//! Whether the process lives and whether it can answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::shared::Shared;

#[derive(Serialize)]
pub(crate) struct Live {
    vivo: bool,
}

#[derive(Serialize)]
pub(crate) struct Ready {
    pronto: bool,
}

pub(crate) async fn live() -> Json<Live> {
    Json(Live { vivo: true })
}

/// No before recovery is done and from shutdown on: a load balancer sends requests elsewhere.
pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, Json<Ready>) {
    let pronto = shared.view.borrow().ready && !shared.shutdown.is_cancelled();
    let status = if pronto { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { pronto }))
}
