//! Answers as they are kept, and back.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::AGE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use vitral_query::KeptAnswer;

/// All of ours are texts.
pub(super) fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let texts =
        headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    texts.collect()
}

pub(super) fn headers(texts: &[(String, String)]) -> HeaderMap {
    let headers = texts.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    });
    headers.collect()
}

/// The answer again; `age` is how old it is, if it is not of now.
pub(super) fn response(kept: &KeptAnswer, completeness: HeaderMap, age: Option<Duration>) -> Response {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut all = if status.is_success() { completeness } else { HeaderMap::new() };
    all.extend(headers(&kept.head));
    if let Some(age) = age.filter(|_| status.is_success()) {
        all.insert(AGE, HeaderValue::from(age.as_secs()));
    }
    (status, all, Body::from(kept.body.clone())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(status: u16) -> KeptAnswer {
        let head = vec![("content-type".to_owned(), "application/json".to_owned())];
        let completeness = vec![("vitral-read".to_owned(), "7".to_owned())];
        KeptAnswer { status, body: "[]".into(), completeness, head }
    }

    #[test]
    fn an_answer_that_is_given_again_says_how_old_it_is() {
        let good = kept(200);
        let again = response(&good, headers(&good.completeness), Some(Duration::from_secs(3)));
        for (name, value) in [("age", "3"), ("vitral-read", "7"), ("content-type", "application/json")] {
            assert_eq!(again.headers()[name], value);
        }
        assert!(!response(&good, HeaderMap::new(), None).headers().contains_key("age"));
        let failed = response(&kept(503), headers(&good.completeness), Some(Duration::from_secs(3)));
        assert_eq!(failed.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!failed.headers().contains_key("age") && !failed.headers().contains_key("vitral-read"));
    }

    #[test]
    fn headers_read_back() {
        let texts = vec![("link".to_owned(), "</x?cursor=a>; rel=\"next\"".to_owned())];
        assert_eq!(super::texts(&headers(&texts)), texts);
    }
}
