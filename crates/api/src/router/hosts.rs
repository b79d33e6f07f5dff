//! Which names the API answers to: a page of another site whose name was made to point here must
//! not read anything.
//!
//! Such a page needs a name of its own, so addresses written as numbers are always right, whatever
//! the listener is bound to.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Besides `localhost`, names below it, and addresses.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts(Vec<String>);

/// The names of `api.hosts`, each with or without a port.
impl<'a> FromIterator<&'a str> for Hosts {
    fn from_iter<T: IntoIterator<Item = &'a str>>(names: T) -> Self {
        let name =
            |text: &str| text.parse().map_or_else(|_| plain(text), |authority: Authority| plain(authority.host()));
        Self(names.into_iter().map(name).collect())
    }
}

impl Hosts {
    fn allow(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare.parse::<IpAddr>().is_ok() {
            return true;
        }
        let host = plain(host);
        host == "localhost" || host.ends_with(".localhost") || self.0.contains(&host)
    }

    fn check(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let named = headers.get_all(HOST);
        if named.iter().count() > 1 {
            return Err(Problem::bad_host("the request names more than one host"));
        }
        let authority = match (uri.authority(), named.iter().next()) {
            // A target that is a whole URL takes precedence over the header.
            (Some(authority), _) => authority.clone(),
            (None, Some(host)) => host
                .to_str()
                .ok()
                .and_then(|host| host.parse().ok())
                .ok_or_else(|| Problem::bad_host("the Host header is not a host"))?,
            // Probes of load balancers; no browser speaks this version.
            (None, None) if version == Version::HTTP_10 => return Ok(()),
            (None, None) => return Err(Problem::bad_host("the request has no Host header")),
        };
        if self.allow(authority.host()) { Ok(()) } else { Err(Problem::unknown_host(authority.host())) }
    }
}

/// Names differ neither by case nor by the dot of the root.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

pub(super) async fn check(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    match hosts.check(request.version(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn status(hosts: &Hosts, target: &str, named: &[&'static str]) -> u16 {
        let mut headers = HeaderMap::new();
        for host in named {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        match hosts.check(Version::HTTP_11, &target.parse().expect("a target"), &headers) {
            Ok(()) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    #[test]
    fn this_machine_and_addresses_are_right() {
        let hosts = Hosts::default();
        for host in [
            "localhost",
            "localhost:8080",
            "LOCALHOST.",
            "loja.localhost:1",
            "127.0.0.1:8080",
            "127.8.8.8",
            "[::1]:8080",
            "192.168.1.20:8080",
            "[fe80::1]",
        ] {
            assert_eq!(status(&hosts, "/", &[host]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "notlocalhost",
            "2130706433",
        ] {
            assert_eq!(status(&hosts, "/", &[host]), 421, "{host}");
        }
    }

    #[test]
    fn names_of_the_configuration_are_right() {
        let hosts: Hosts = ["Vitral.Shop.Example", "painel:8443"].into_iter().collect();
        for host in ["vitral.shop.example", "VITRAL.shop.example.:443", "painel:1"] {
            assert_eq!(status(&hosts, "/", &[host]), 200, "{host}");
        }
        for host in ["shop.example", "x.vitral.shop.example"] {
            assert_eq!(status(&hosts, "/", &[host]), 421, "{host}");
        }
    }

    #[test]
    fn a_host_that_is_absent_doubled_or_none() {
        let hosts = Hosts::default();
        assert_eq!(status(&hosts, "/", &[]), 400);
        assert_eq!(status(&hosts, "/", &[""]), 400);
        assert_eq!(status(&hosts, "/", &["a b"]), 400);
        assert_eq!(status(&hosts, "/", &["localhost", "evil.example"]), 400);
        let probe = hosts.check(Version::HTTP_10, &Uri::from_static("/readyz"), &HeaderMap::new());
        assert!(probe.is_ok());
    }

    #[test]
    fn a_whole_url_stands_above_the_header() {
        let hosts = Hosts::default();
        assert_eq!(status(&hosts, "http://localhost:8080/livro", &["evil.example"]), 200);
        assert_eq!(status(&hosts, "http://evil.example/livro", &["localhost"]), 421);
        assert_eq!(status(&hosts, "http://localhost@evil.example/livro", &["localhost"]), 421);
    }
}
