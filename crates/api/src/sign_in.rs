//! `/entrar` and `/sair`: how a browser gets the cookie that says who it asks for, and loses it.
//!
//! With an OIDC provider people sign in there. Without one they paste a key, which never comes back
//! to the page: what it gets is a cookie that no script can read.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HOST, LOCATION, SET_COOKIE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use vitral_access::{Credentials, Denied, Seen, Session};

use crate::gate::{Client, CorrelationId, SESSION_COOKIE, cookie};
use crate::object::object;
use crate::page::Page;
use crate::problem::Problem;
use crate::shared::Shared;

/// What a sign-in at the provider has begun with.
const BEGUN_COOKIE: &str = "vitral_entrada";
const HOME: &str = "/";
const BACK: &str = "/entrar/volta";
const PAGE: &str = "shared/sign_in.html";
/// Goes on by itself: what follows a redirect of another site does not bring a strict cookie.
const GO_ON: &str = "<!doctype html>\n<html lang=\"pt-BR\"><head><meta charset=\"utf-8\">\
    <meta http-equiv=\"refresh\" content=\"0;url=/\"><title>Vitral</title></head>\
    <body><p><a href=\"/\">Continuar</a> <span lang=\"en\">Continue</span></p></body></html>\n";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pasted {
    chave: String,
}

pub(crate) fn routes(page: Arc<Page>) -> Router<Arc<Shared>> {
    let show =
        move |State(shared): State<Arc<Shared>>, Extension(client): Extension<Client>, uri: Uri, headers: HeaderMap| {
            let page = Arc::clone(&page);
            async move { begin(&shared, &page, client, (&uri, &headers)).await }
        };
    Router::new().route("/entrar", get(show).post(with_key)).route(BACK, get(back)).route("/sair", post(leave))
}

/// The page for a key, or the way to the provider.
async fn begin(
    shared: &Shared,
    page: &Page,
    client: Client,
    (uri, headers): (&Uri, &HeaderMap),
) -> Result<Response, Problem> {
    let access = &shared.gate.access;
    if !access.is_on() {
        return Ok((StatusCode::SEE_OTHER, [(LOCATION, HOME)]).into_response());
    }
    let Some(sign_in) = access.sign_in() else {
        return page.answer(PAGE, headers).ok_or_else(|| Problem::not_found(uri.path()));
    };
    let begun = sign_in.begin(HOME).await.map_err(|error| Problem::not_signed_in(&error))?;
    let cookie = Cookie { name: BEGUN_COOKIE, value: &begun.state, path: "/entrar", seconds: begun.lifetime_seconds };
    let cookie = cookie.lax(is_private(client, uri, headers));
    Ok((StatusCode::SEE_OTHER, [(LOCATION, begun.url)], [(SET_COOKIE, cookie)]).into_response())
}

/// The provider sends people back here, with a code for what they have proved there.
async fn back(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Extension(id): Extension<CorrelationId>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let access = &shared.gate.access;
    let sign_in = access.sign_in().ok_or_else(|| Problem::not_found(BACK))?;
    let state = cookie(&headers, BEGUN_COOKIE).unwrap_or_default();
    let finished = sign_in.finish(state, uri.query().unwrap_or_default()).await;
    let principal = finished.map_err(|error| Problem::not_signed_in(&error))?.principal;
    let name = principal.id().to_owned();
    let session = access.sessions().make(&Session::Principal(principal)).map_err(|error| {
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, "a session cannot be made");
        Problem::internal()
    })?;
    shared.gate.trail.add(seen(name, "entrar", id));
    let is_private = is_private(client, &uri, &headers);
    let lasting = Cookie::of_session(&session, access.sessions().lifetime_seconds()).strict(is_private);
    let over = Cookie { name: BEGUN_COOKIE, value: "", path: "/entrar", seconds: 0 }.lax(is_private);
    let cookies = AppendHeaders([(SET_COOKIE, lasting), (SET_COOKIE, over)]);
    Ok((cookies, [(CONTENT_TYPE, "text/html; charset=utf-8")], GO_ON).into_response())
}

async fn with_key(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Extension(id): Extension<CorrelationId>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Result<Response, Problem> {
    let gate = &shared.gate;
    let Pasted { chave } = object(&body).map_err(|error| Problem::no_key(&error))?;
    if let Some(wait) = gate.access.failures().wait(client.address, Instant::now()) {
        return Err(Problem::too_many_failures(wait));
    }
    let session = gate.access.session_of_key(&chave).await.map_err(|denied| {
        if denied == Denied::Wrong {
            gate.access.failures().add(client.address, Instant::now());
        }
        Problem::denied(&denied)
    })?;
    if let Ok(principal) = gate.access.authenticate(Credentials::Cookie(&session)).await {
        gate.trail.add(seen(principal.id().to_owned(), "entrar", id));
    }
    let cookie = Cookie::of_session(&session, gate.access.sessions().lifetime_seconds());
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie.strict(is_private(client, &uri, &headers)))]).into_response())
}

async fn leave(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Extension(id): Extension<CorrelationId>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if let Some(session) = cookie(&headers, SESSION_COOKIE)
        && let Ok(principal) = shared.gate.access.authenticate(Credentials::Cookie(session)).await
    {
        shared.gate.trail.add(seen(principal.id().to_owned(), "sair", id));
    }
    let cookie = Cookie::of_session("", 0);
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie.strict(is_private(client, &uri, &headers)))]).into_response()
}

fn seen(principal: String, action: &'static str, id: CorrelationId) -> Seen {
    Seen { principal, action, target: "sessao".to_owned(), result: "ok".to_owned(), correlation_id: id.0 }
}

/// A cookie that no script can read.
struct Cookie<'a> {
    name: &'a str,
    value: &'a str,
    path: &'a str,
    seconds: i64,
}

impl<'a> Cookie<'a> {
    fn of_session(value: &'a str, seconds: i64) -> Self {
        Self { name: SESSION_COOKIE, value, path: HOME, seconds }
    }

    /// Sent by pages of this site alone.
    fn strict(&self, is_private: bool) -> HeaderValue {
        self.written("Strict", is_private)
    }

    /// Sent too where another site leads here, as a provider does.
    fn lax(&self, is_private: bool) -> HeaderValue {
        self.written("Lax", is_private)
    }

    fn written(&self, same_site: &str, is_private: bool) -> HeaderValue {
        let Self { name, value, path, seconds } = self;
        let secure = if is_private { "" } else { "; Secure" };
        let text = format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}");
        // What is signed is written in the letters of URLs.
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// Whether a browser asks its own machine, without TLS: it would not keep a secure cookie.
fn is_private(client: Client, uri: &Uri, headers: &HeaderMap) -> bool {
    let authority = uri.authority().cloned().or_else(|| headers.get(HOST)?.to_str().ok()?.parse::<Authority>().ok());
    let is_local = authority.is_some_and(|authority| {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    is_local && !client.is_encrypted
}
