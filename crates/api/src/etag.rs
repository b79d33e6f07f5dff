//! Versions of answers: who has an answer asks whether it is still the same, and gets no byte of it
//! twice.
//!
//! A version is made of the bytes themselves. Two processes that give the same rows give the same
//! version, and an answer that is kept has its own without being computed again.

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// A larger answer goes out in pieces while it is made: nobody knows yet what it will be.
const WHOLE_BYTES_MAX: u64 = 1 << 20;
/// Of one person, and to be asked for again each time.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
const VARIES: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");
/// What is put behind the version of bytes that were compressed: they are others.
const ENCODINGS: [&str; 2] = ["gzip", "zstd"];

/// Gives answers their version, and nothing but that to who has it.
pub(crate) async fn conditional(request: Request, next: Next) -> Response {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let known: Vec<HeaderValue> = request.headers().get_all(IF_NONE_MATCH).iter().cloned().collect();
    let response = next.run(request).await;
    if !is_read || response.status() != StatusCode::OK {
        return response;
    }
    let (mut head, mut body) = response.into_parts();
    head.headers.entry(CACHE_CONTROL).or_insert(PRIVATE);
    head.headers.entry(VARY).or_insert(VARIES);
    if !head.headers.contains_key(ETAG) && body.size_hint().exact().is_some_and(|bytes| bytes <= WHOLE_BYTES_MAX) {
        let Ok(bytes) = to_bytes(body, usize::MAX).await else { return Problem::internal().into_response() };
        head.headers = with_version(head.headers, &bytes);
        body = bytes.into();
    }
    match head.headers.get(ETAG).and_then(|version| matching(&known, version)) {
        Some(version) => unchanged(head, version),
        None => Response::from_parts(head, body),
    }
}

/// Outside of what compresses: tells the versions of compressed bytes from those of plain ones.
pub(crate) async fn of_encoding(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let versions = headers.get(ETAG).zip(headers.get(CONTENT_ENCODING));
    let version = versions.and_then(|(version, encoding)| {
        let (version, encoding) = (version.to_str().ok()?, encoding.to_str().ok()?);
        let plain = version.strip_suffix('"').filter(|plain| plain.starts_with('"'))?;
        HeaderValue::from_str(&format!("{plain}-{encoding}\"")).ok()
    });
    if let Some(version) = version {
        headers.insert(ETAG, version);
    }
    response
}

/// The head of an answer with the version of its bytes.
pub(crate) fn with_version(mut headers: HeaderMap, bytes: &[u8]) -> HeaderMap {
    let hash: String = Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    if let Ok(version) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        headers.insert(ETAG, version);
    }
    headers
}

/// The one of the versions that a client has that is this one, as the client has it.
fn matching(known: &[HeaderValue], version: &HeaderValue) -> Option<HeaderValue> {
    let plain = bare(version.to_str().ok()?);
    let mut all = known.iter().filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(',')).map(str::trim);
    let found = all.find(|one| *one == "*" || bare(one) == plain)?;
    if found == "*" { Some(version.clone()) } else { HeaderValue::from_str(found).ok() }
}

/// Without what says how the bytes were sent.
fn bare(version: &str) -> &str {
    let quoted = version.strip_prefix("W/").unwrap_or(version).trim_matches('"');
    let plain = ENCODINGS.iter().find_map(|encoding| quoted.strip_suffix(encoding)?.strip_suffix('-'));
    plain.unwrap_or(quoted)
}

fn unchanged(mut head: Parts, version: HeaderValue) -> Response {
    head.status = StatusCode::NOT_MODIFIED;
    let headers: &mut HeaderMap = &mut head.headers;
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
    headers.insert(ETAG, version);
    Response::from_parts(head, Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_a_client_may_have() {
        let version = HeaderValue::from_static("\"abc\"");
        for (list, found) in [
            ("\"abc\"", Some("\"abc\"")),
            ("W/\"abc\"", Some("W/\"abc\"")),
            ("\"x\", \"abc-gzip\"", Some("\"abc-gzip\"")),
            ("\"abc-zstd\"", Some("\"abc-zstd\"")),
            ("*", Some("\"abc\"")),
            ("\"abcd\"", None),
            ("\"abc-br\"", None),
            ("", None),
        ] {
            let found = found.map(HeaderValue::from_static);
            assert_eq!(matching(&[HeaderValue::from_static(list)], &version), found, "{list}");
        }
    }

    #[tokio::test]
    async fn compressed_bytes_have_a_version_of_their_own() {
        let response = |version: &'static str, encoding: &'static str| {
            ([(ETAG, version), (CONTENT_ENCODING, encoding)], "").into_response()
        };
        assert_eq!(of_encoding(response("\"abc\"", "gzip")).await.headers()[ETAG], "\"abc-gzip\"");
        assert_eq!(of_encoding(response("W/\"abc\"", "zstd")).await.headers()[ETAG], "W/\"abc\"");
    }
}
