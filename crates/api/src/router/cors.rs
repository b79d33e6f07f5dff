//! What pages of the origins in `api.cors_origins` may read and send. Without any, no browser lets
//! another page read an answer.

use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CONTENT_TYPE,
    IF_NONE_MATCH,
};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::cors::{AllowOrigin, CorsLayer};

const PREFLIGHT_KEPT: Duration = Duration::from_secs(3600);
/// What a page may send of its own.
const SENT: [HeaderName; 7] = [
    ACCEPT,
    ACCEPT_LANGUAGE,
    AUTHORIZATION,
    CONTENT_TYPE,
    IF_NONE_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("x-correlation-id"),
];
/// What a page may read besides the headers that begin with [`READ_PREFIXES`].
const READ: [&str; 4] = ["etag", "link", "retry-after", "x-correlation-id"];
const READ_PREFIXES: [&str; 2] = ["ratelimit-", "vitral-"];

/// None if no other page may read anything.
pub(super) fn layer(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<_> = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            .allow_headers(SENT)
            .max_age(PREFLIGHT_KEPT)
    })
}

/// Where credentials are sent, each header that may be read must be named.
pub(super) async fn expose(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        let names = headers.keys().map(HeaderName::as_str);
        let own = names.filter(|name| READ_PREFIXES.iter().any(|prefix| name.starts_with(prefix)));
        let names: Vec<_> = READ.into_iter().chain(own).collect();
        if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names);
        }
    }
    response
}
