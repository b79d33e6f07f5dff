//! What pages of other sites may make a browser send here: nothing that changes something, and
//! nothing in the name of somebody who is signed in.

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri};

use crate::problem::Problem;

const FETCH_SITE: &str = "sec-fetch-site";

/// Who a page must be from to be known: this server, or one that the configuration names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins(Vec<Origin>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    is_encrypted: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// As browsers write it: a scheme, a host and, where it is not the scheme's own, a port.
    fn of(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_encrypted = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        if rest.contains(['/', '@', '?', '#', '*']) {
            return None;
        }
        Self::at(&rest.parse::<Authority>().ok()?, is_encrypted)
    }

    fn at(authority: &Authority, is_encrypted: bool) -> Option<Self> {
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let port = authority.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        (!host.is_empty()).then_some(Self { is_encrypted, host, port })
    }
}

impl Origins {
    /// The text that is not an origin, if there is one.
    pub(crate) fn of(texts: &[String]) -> Result<Self, &str> {
        texts.iter().map(|text| Origin::of(text).ok_or(text.as_str())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a page of this origin may ask.
    fn know(&self, origin: &str, uri: &Uri, headers: &HeaderMap, is_encrypted: bool) -> bool {
        let Some(origin) = Origin::of(origin) else { return false };
        // Where a proxy that is not trusted ends TLS, only the browser knows of it.
        let is_own = (origin.is_encrypted || !is_encrypted)
            && own(uri, headers).and_then(|own| Origin::at(&own, origin.is_encrypted)).as_ref() == Some(&origin);
        is_own || self.0.contains(&origin)
    }

    /// Refuses what a page of another site sends. `has_session`: with the cookie of somebody who is
    /// signed in.
    pub(crate) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        (has_session, is_encrypted): (bool, bool),
    ) -> Result<(), Problem> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        if has_session && text(FETCH_SITE).is_some_and(|site| site.eq_ignore_ascii_case("cross-site")) {
            return Err(Problem::foreign_origin("another site"));
        }
        if method.is_safe() {
            return Ok(());
        }
        let origin = text(ORIGIN.as_str());
        let is_known = match origin {
            Some(origin) => {
                headers.get_all(ORIGIN).iter().count() == 1 && self.know(origin, uri, headers, is_encrypted)
            }
            None => !has_session,
        };
        if !is_known {
            return Err(Problem::foreign_origin(origin.unwrap_or("a page that does not say where it is from")));
        }
        // A form of another site cannot send this type without being asked first.
        if has_body(headers) && !is_json(text(CONTENT_TYPE.as_str()).unwrap_or_default()) {
            return Err(Problem::not_of_json_type());
        }
        Ok(())
    }
}

/// The name under which this server was asked; it was held against `api.hosts` before.
fn own(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    uri.authority().cloned().or_else(|| headers.get(HOST)?.to_str().ok()?.parse().ok())
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    length || headers.contains_key(TRANSFER_ENCODING)
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use axum::response::IntoResponse;

    use super::*;

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

    fn status(method: Method, lines: &[(&'static str, &'static str)], has_session: bool, is_encrypted: bool) -> u16 {
        let texts = ["https://painel.example".to_owned(), "http://outro.example:8443".to_owned()];
        let origins = Origins::of(&texts).expect("origins");
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("loja.example:8080"));
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        match origins.check(&method, &Uri::from_static("/eventos"), &headers, (has_session, is_encrypted)) {
            Ok(()) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    #[test]
    fn only_known_pages_may_change_something() {
        for origin in ["http://loja.example:8080", "https://LOJA.example:8080", "https://painel.example:443"] {
            assert_eq!(status(Method::POST, &[("origin", origin), JSON], true, false), 200, "{origin}");
        }
        for origin in [
            "http://loja.example",
            "http://loja.example:8081",
            "http://evil.example",
            "http://painel.example",
            "https://painel.example.evil.example",
            "https://painel.example/",
            "https://evil@painel.example",
            "null",
            "",
        ] {
            for has_session in [true, false] {
                assert_eq!(status(Method::POST, &[("origin", origin), JSON], has_session, false), 403, "{origin}");
            }
        }
        let twice = [("origin", "https://painel.example"), ("origin", "https://evil.example"), JSON];
        assert_eq!(status(Method::POST, &twice, false, false), 403);
        assert_eq!(status(Method::POST, &[JSON], true, false), 403, "a browser always says it");
        assert_eq!(status(Method::POST, &[JSON], false, false), 200, "a program does not");
        assert_eq!(status(Method::POST, &[("origin", "http://loja.example:8080"), JSON], true, true), 403);
    }

    #[test]
    fn reading_in_somebody_s_name_is_for_pages_of_this_site() {
        assert_eq!(status(Method::GET, &[("sec-fetch-site", "cross-site")], true, false), 403);
        assert_eq!(status(Method::GET, &[("sec-fetch-site", "cross-site")], false, false), 200);
        assert_eq!(status(Method::GET, &[("sec-fetch-site", "same-origin")], true, false), 200);
    }

    #[test]
    fn bodies_are_json() {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            let lines = [("content-type", kind), ("content-length", "2")];
            assert_eq!(status(Method::POST, &lines, false, false), 415, "{kind}");
            let lines = [("content-type", kind), ("transfer-encoding", "chunked")];
            assert_eq!(status(Method::POST, &lines, false, false), 415, "{kind}");
        }
        assert_eq!(status(Method::POST, &[("content-length", "0")], false, false), 200);
    }

    #[test]
    fn origins_are_exact() {
        for text in
            ["*", "https://*.example", "painel.example", "ftp://painel.example", "https://painel.example/", "https://"]
        {
            assert_eq!(Origins::of(&[text.to_owned()]).expect_err("no origin"), text);
        }
    }
}
