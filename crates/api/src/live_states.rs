//! `GET /interno/visao`: what the stream shows and has not stored yet, for processes that answer
//! next to it (docs/adr/0048). With `desde` it is answered once there is something newer.

pub(crate) mod newest;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use vitral_query::Principal;
use vitral_query::remote::{PATH, SCOPE, SINCE};

use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shared::Shared;

/// How long a question waits for something newer.
const WAIT: Duration = Duration::from_secs(10);
const CONTENT: &str = "application/vnd.vitral.visao";

pub(crate) async fn view(
    State(shared): State<Arc<Shared>>,
    Extension(principal): Extension<Principal>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(query.as_deref(), &[SINCE])?;
    // It has no row filters.
    if !principal.scopes().has(SCOPE) || !principal.filters().is_empty() {
        return Err(Problem::closed(PATH, SCOPE));
    }
    let mut views = shared.points.view.clone();
    let until = tokio::time::Instant::now() + WAIT;
    loop {
        views.mark_unchanged();
        if let Some((name, bytes)) = shared.live_states.since(parameters.text(SINCE), &shared.points).await? {
            return Ok(answer(&name, bytes));
        }
        let is_news = tokio::select! {
            changed = views.changed() => changed.is_ok(),
            () = tokio::time::sleep_until(until) => false,
            () = shared.shutdown.cancelled() => return Err(Problem::starting()),
        };
        if !is_news {
            return Ok(StatusCode::NOT_MODIFIED.into_response());
        }
    }
}

fn answer(name: &str, bytes: Bytes) -> Response {
    let tag: [(HeaderName, HeaderValue); 3] = [
        (ETAG, HeaderValue::from_str(&format!("\"{name}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))),
        (CONTENT_TYPE, HeaderValue::from_static(CONTENT)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (tag, bytes).into_response()
}
