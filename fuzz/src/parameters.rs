//! Requests: whatever is asked, the answer is rows or a problem with its remedy, never a fault of
//! the server.
//!
//! An input is a path with its parameters; a second line is the header `Accept`.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HOST, LINK};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use vitral_api::{ApiConfig, ApiInputs, Telemetry};
use vitral_catalog::DomainSettings;
use vitral_panes::view::ViewSender;
use vitral_schemas::reconciliation;
use vitral_schemas::time::ManualClock;

use crate::wait;
use crate::world::{CATALOG, NOW_MS, frozen_view};

const BODY_BYTES_MAX: usize = 16 << 20;
/// What changes from one request to the next.
const CHANGING: [&str; 2] = ["/metrics", "/readyz"];
/// Pages of a metric never have a row twice.
const METRICS: &str = "/metricas/";

static API: LazyLock<(Router, ViewSender)> = LazyLock::new(|| {
    let (sender, view) = watch::channel(Arc::new(wait(frozen_view())));
    let (_, reconciliations) = watch::channel(Arc::new(arrow::array::RecordBatch::new_empty(reconciliation::schema())));
    let (_, histories) = watch::channel(Arc::default());
    let mut registry = Registry::default();
    let telemetry = Telemetry::register(&mut registry);
    let inputs = ApiInputs {
        catalog: Arc::clone(&CATALOG),
        view,
        reconciliations,
        histories,
        clock: Arc::new(ManualClock::new(NOW_MS)),
        registry: Arc::new(registry),
        telemetry,
        shutdown: CancellationToken::new(),
    };
    // Reference tables are files, and there are none.
    let config = ApiConfig::new(DomainSettings::default(), std::env::temp_dir().join("vitral-fuzz-nothing"));
    (vitral_api::router(config, inputs).expect("a router"), sender)
});

pub fn check(data: &[u8]) {
    let (target, accept) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], Some(&data[end + 1..])),
        None => (data, None),
    };
    let Ok(target) = std::str::from_utf8(target) else { return };
    let accept = match accept.map(HeaderValue::from_bytes) {
        Some(Err(_)) => return,
        Some(Ok(accept)) => Some(accept),
        None => None,
    };
    // What is not a request to a server does not come so far.
    if !target.starts_with('/') || Request::get(target).body(()).is_err() {
        return;
    }
    let Some(answer) = ask(target, accept.as_ref()) else { return };
    answer.is_sound(target);
    let path = target.split(['?', '#']).next().unwrap_or_default();
    if !CHANGING.contains(&path) {
        assert_eq!(Some(&answer), ask(target, accept.as_ref()).as_ref(), "{target}: asked again");
    }
    if let Some(next) = answer.next() {
        let next = ask(&next, accept.as_ref()).expect("a page");
        next.is_sound(target);
        assert_eq!(next.status, StatusCode::OK, "{target}: the next page: {}", next.body);
        if path.starts_with(METRICS) {
            let (rows, more) = (answer.rows(), next.rows());
            assert!(!more.iter().any(|row| rows.contains(row)), "{target}: a row comes twice");
        }
    }
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    kind: Option<HeaderValue>,
    link: Option<HeaderValue>,
    body: String,
}

/// None where the answer has no end.
fn ask(target: &str, accept: Option<&HeaderValue>) -> Option<Answer> {
    let mut request = Request::get(target).header(HOST, "localhost").body(Body::empty()).ok()?;
    if let Some(accept) = accept {
        request.headers_mut().insert(ACCEPT, accept.clone());
    }
    let router = API.0.clone();
    wait(async {
        let (head, body) = router.oneshot(request).await.expect("an answer").into_parts();
        let header = |headers: &HeaderMap, name| headers.get(name).cloned();
        let kind = header(&head.headers, CONTENT_TYPE);
        if kind.as_ref().is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            return None;
        }
        let body = to_bytes(body, BODY_BYTES_MAX).await.expect("a body");
        let body = String::from_utf8_lossy(&body).into_owned();
        Some(Answer { status: head.status, kind, link: header(&head.headers, LINK), body })
    })
}

impl Answer {
    fn is_sound(&self, target: &str) {
        assert!(!self.status.is_server_error(), "{target}: {} {}", self.status, self.body);
        if self.status.is_client_error() {
            let problem = self.json().unwrap_or_default();
            let has = |name: &str| problem[name].as_str().is_some_and(|text| !text.is_empty());
            assert!(has("code") && has("detail") && has("remedio"), "{target}: {}", self.body);
            assert_eq!(problem["status"], self.status.as_u16(), "{target}");
        }
        if self.status == StatusCode::OK && self.is("application/json") {
            assert!(self.json().is_some(), "{target}: {}", self.body);
            if let Some(limit) = limit(target) {
                let rows = self.rows().len();
                assert!(rows <= limit, "{target}: {rows} rows");
            }
        }
    }

    fn is(&self, kind: &str) -> bool {
        self.kind.as_ref().is_some_and(|found| found.as_bytes() == kind.as_bytes())
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.body).ok()
    }

    /// Those of an endpoint or of a metric, as JSON.
    fn rows(&self) -> Vec<Value> {
        match self.json() {
            Some(Value::Array(rows)) => rows,
            Some(mut document) => match document["linhas"].take() {
                Value::Array(rows) => rows,
                _ => Vec::new(),
            },
            None => Vec::new(),
        }
    }

    /// The address of the next page.
    fn next(&self) -> Option<String> {
        let link = self.link.as_ref()?.to_str().expect("a link of plain letters");
        let address = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
        Some(address.expect("an address").to_owned())
    }
}

/// How many rows were asked for.
fn limit(target: &str) -> Option<usize> {
    let (_, query) = target.split_once('?')?;
    let (_, text) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "limite")?;
    text.parse().ok()
}
