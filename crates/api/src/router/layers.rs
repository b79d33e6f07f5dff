//! What every request passes through: figures, a correlation id, common headers, and bounds.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use tracing::Instrument;
use uuid::Uuid;

use crate::gate::CorrelationId;
use crate::problem::Problem;
use crate::shared::Shared;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const CORRELATION_ID_BYTES_MAX: usize = 64;
/// No other site may frame an answer, load it as its own, hold on to its window, or learn from its
/// address; and no page here needs any of a device's sensors.
const SECURITY: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];
/// A client that has spoken to this name over TLS once does not speak to it without, for a year.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// What is asked for is short; routes that take more set their own bound.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;

/// What a body may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyBound {
    pub bytes_max: usize,
    /// From its begin to its end.
    pub time: Duration,
}

pub(super) async fn observe(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let id = correlation_id(request.headers());
    let client = shared.gate.proxies.client(&request);
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(CorrelationId(id.clone()));
    let span = tracing::info_span!("request", correlation_id = id, %method, path = request.uri().path());
    let mut response = async {
        let response = next.run(request).await;
        tracing::debug!(status = response.status().as_u16(), "answered");
        response
    }
    .instrument(span)
    .await;
    shared.telemetry.answered(&method, &route, response.status(), started.elapsed().as_secs_f64());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(CORRELATION_ID, id);
    }
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if client.is_encrypted {
        headers.insert(STRICT_TRANSPORT_SECURITY, TLS_ONLY);
    }
    // Nothing but the page is a document; what is opened as one all the same may do nothing.
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    // Numbers are current; an answer that may be cached says so itself.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The caller's own id, if it is one that may be logged.
fn correlation_id(headers: &HeaderMap) -> String {
    let given = headers.get(CORRELATION_ID).and_then(|id| id.to_str().ok());
    let usable = given.filter(|id| {
        (1..=CORRELATION_ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    });
    usable.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

/// Reads the body, if the method has one, within these bytes and a time: handlers have it whole,
/// and one that is too long is refused before it is read.
pub(super) async fn bound_body(State(bound): State<BodyBound>, request: Request, next: Next) -> Response {
    let BodyBound { bytes_max, time } = bound;
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > bytes_max) {
        return Problem::body_too_large(bytes_max).into_response();
    }
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    match tokio::time::timeout(time, whole(body, bytes_max)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(problem)) => problem.into_response(),
        Err(_) => Problem::slow_body(time).into_response(),
    }
}

/// Counted as it comes: a body in chunks does not say how long it is.
async fn whole(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut pieces = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Problem::broken_body("the body ended before it was whole"))?;
        if whole.len() + piece.len() > bytes_max {
            return Err(Problem::body_too_large(bytes_max));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// The last resort: a panic anywhere below costs one answer, not the connection.
pub(super) fn caught(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = text, "request panicked");
    Problem::internal().into_response()
}
