//! Who sends a request, whether they may send it now, and what is written down of those who may
//! not.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use vitral_access::{DENIAL, Denied, Rate, Seen};
use vitral_query::remote::SCOPE;
use vitral_query::{Principal, RowFilters, Scopes};

use crate::gate::{Client, CorrelationId, Gate, NOBODY, Shown};
use crate::problem::{Problem, ProblemCode, whole_seconds};
use crate::shared::Shared;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
/// Tells a page that somebody is signed in.
const PRINCIPAL: HeaderName = HeaderName::from_static("vitral-principal");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// What everybody may see: nothing of it is data. `/readyz` tells those who are known why not.
const OPEN: [&str; 8] = ["/", "/healthz", "/readyz", "/docs", "/openapi.json", "/entrar", "/entrar/volta", "/sair"];
const OPEN_PREFIXES: [&str; 2] = ["/assets/", "/docs/"];
/// Forms of rows that are made to be kept.
const EXPORTS: [&str; 3] = ["text/csv", "application/x-ndjson", "application/vnd.apache.arrow"];
const READY: &str = "/readyz";

/// Somebody who is not known, and may do nothing.
fn nobody() -> Principal {
    Principal::new(NOBODY, Scopes::default(), RowFilters::default())
}

/// Who may go on, and how often still.
struct Entered {
    principal: Principal,
    rate: Option<Rate>,
}

/// Who may not. `principal` is known where only this request is refused.
struct Refused {
    problem: Problem,
    principal: Option<Principal>,
    rate: Option<Rate>,
}

impl From<Problem> for Box<Refused> {
    fn from(problem: Problem) -> Self {
        Self::new(Refused { problem, principal: None, rate: None })
    }
}

pub(super) async fn admit(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let shown = Shown::of(request.headers());
    let target = format!("{} {}", request.method(), request.uri().path());
    let id = request.extensions().get::<CorrelationId>().cloned().unwrap_or_default();
    let client = request.extensions().get::<Client>().copied().unwrap_or(Client { address: None, is_encrypted: false });
    let needs_nobody = needs_nobody(&request, &shown);
    let entered = match check_origin(&shared, &request, client, &shown) {
        Ok(()) => enter(&shared, client, &shown, needs_nobody).await,
        Err(problem) => Err(problem.into()),
    };
    let (mut response, principal, rate) = match entered {
        Err(refused) => (refused.problem.into_response(), refused.principal, refused.rate),
        Ok(Entered { principal, rate }) => {
            request.extensions_mut().insert(principal.clone());
            let response = next.run(request).await;
            let response = if shared.gate.access.is_on() && is_stream(&response) {
                until_denied(response, &shared.gate, shown.clone(), principal.clone())
            } else {
                response
            };
            (response, Some(principal), rate)
        }
    };
    if let Some(rate) = rate.filter(|rate| rate.limit > 0) {
        let headers = response.headers_mut();
        headers.insert(LIMIT, rate.limit.into());
        headers.insert(REMAINING, rate.remaining.into());
        headers.insert(RESET, whole_seconds(rate.reset_after).into());
    }
    let is_signed_in = shown.is_session() && shared.gate.access.is_on();
    if let Some(principal) = principal.as_ref().filter(|principal| is_signed_in && shared.gate.knows(principal))
        && let Ok(name) = HeaderValue::from_bytes(principal.id().as_bytes())
    {
        response.headers_mut().insert(PRINCIPAL, name);
    }
    if let Some((action, result)) = noteworthy(&response, shared.gate.access.is_on()) {
        let known = principal.as_ref().filter(|principal| shared.gate.knows(principal));
        let principal = known.map_or_else(|| anonymous(client), |principal| principal.id().to_owned());
        shared.gate.trail.add(Seen { principal, action, target, result: result.to_owned(), correlation_id: id.0 });
    }
    response
}

fn check_origin(shared: &Shared, request: &Request, client: Client, shown: &Shown) -> Result<(), Problem> {
    let (method, uri) = (request.method(), request.uri());
    if method.is_safe() && is_open(uri.path()) {
        return Ok(());
    }
    shared.gate.origins.check(method, uri, request.headers(), (shown.is_session(), client.is_encrypted))
}

/// Whether it does not matter who sends it.
fn needs_nobody(request: &Request, shown: &Shown) -> bool {
    let path = request.uri().path();
    is_open(path) && (path != READY || shown.is_nothing())
}

async fn enter(shared: &Shared, client: Client, shown: &Shown, needs_nobody: bool) -> Result<Entered, Box<Refused>> {
    if !shared.gate.access.is_on() {
        return Ok(Entered { principal: Principal::anonymous(), rate: None });
    }
    if needs_nobody {
        return Ok(Entered { principal: nobody(), rate: None });
    }
    // A session is signed: nobody guesses one.
    let is_guess = !shown.is_session() && !shown.is_nothing();
    if is_guess && let Some(wait) = shared.gate.access.failures().wait(client.address, Instant::now()) {
        return Err(Problem::too_many_failures(wait).into());
    }
    let principal = shown.authenticate(&shared.gate.access).await.map_err(|denied| {
        if is_guess && matches!(denied, Denied::Wrong) {
            shared.gate.access.failures().add(client.address, Instant::now());
        }
        Problem::denied(&denied)
    })?;
    // Other processes ask as often as there is something new.
    if principal.scopes().iter().eq([SCOPE]) {
        return Ok(Entered { principal, rate: None });
    }
    let rate = shared.gate.access.rates().check(&principal).await;
    if !rate.is_allowed {
        let problem = Problem::too_many_requests(rate.limit, rate.retry_after);
        return Err(Box::new(Refused { problem, principal: Some(principal), rate: Some(rate) }));
    }
    Ok(Entered { principal, rate: Some(rate) })
}

fn is_open(path: &str) -> bool {
    OPEN.contains(&path) || OPEN_PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}

/// Who asks, where only the address is known.
fn anonymous(client: Client) -> String {
    client.address.map_or_else(|| "http".to_owned(), |address| format!("http:{address}"))
}

/// What is written down of an answer: that it denies something, with its code, or that rows left in
/// a form that is made to be kept. Those who have shown nothing were only asked to.
fn noteworthy(response: &Response, is_on: bool) -> Option<(&'static str, &'static str)> {
    let code = response.extensions().get::<ProblemCode>().map_or("forbidden", |code| code.0);
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match response.status() {
        StatusCode::UNAUTHORIZED if code == "missing_credentials" => None,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some((DENIAL, code)),
        StatusCode::OK if is_on && EXPORTS.iter().any(|export| kind.starts_with(export)) => Some(("exportar", "ok")),
        _ => None,
    }
}

fn is_stream(response: &Response) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// A stream ends when its sender is no longer, or no longer the same as, who may see it.
fn until_denied(response: Response, gate: &Gate, shown: Shown, principal: Principal) -> Response {
    let (access, every) = (gate.access.clone(), gate.stream_check);
    let denied = async move {
        loop {
            tokio::time::sleep(every).await;
            match shown.authenticate(&access).await {
                Ok(now) if now == principal => {}
                Err(Denied::Unavailable(_)) => {}
                Ok(_) | Err(_) => return,
            }
        }
    };
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(denied))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_data_is_open() {
        for path in ["/", "/assets/page.css", "/docs", "/docs/index.html", "/openapi.json", "/entrar", "/healthz"] {
            assert!(is_open(path), "{path}");
        }
        for path in ["//", "/metrics", "/metricas", "/docsx", "/livro", "/assets", "/entrar/", "/avisos"] {
            assert!(!is_open(path), "{path}");
        }
    }
}
