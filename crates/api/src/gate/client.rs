//! For whom a request is answered: the client's address, and whether its way here is encrypted.
//!
//! What proxies say of it is believed from those of `api.trusted_proxies` alone: anybody can write
//! such a header.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::{Extensions, HeaderMap};
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The listener's mark of a request that came over TLS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encrypted;

/// Who asks, as far as the network tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// Without a listener there is none.
    pub address: Option<IpAddr>,
    /// Whether the client speaks TLS, with this process or with a proxy that is trusted.
    pub is_encrypted: bool,
}

/// The proxies that are believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Addresses, or ranges of them such as `10.0.0.0/8`; the one that is neither.
    pub(crate) fn of(texts: &[String]) -> Result<Self, &str> {
        let net = |text: &String| text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        texts.iter().map(|text| net(text).map_err(|_| text.as_str())).collect::<Result<_, _>>().map(Self)
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    pub(crate) fn client(&self, request: &Request) -> Client {
        let peer = peer(request.extensions());
        let is_encrypted = request.extensions().get::<Encrypted>().is_some();
        match peer {
            Some(peer) if self.trust(peer) => self.behind(peer, is_encrypted, request.headers()),
            _ => Client { address: peer, is_encrypted },
        }
    }

    /// Each proxy appends the address that it was asked from, so the last that is not one of ours
    /// is the client's. What stands before it, the client may have written itself.
    fn behind(&self, peer: IpAddr, is_encrypted: bool, headers: &HeaderMap) -> Client {
        let mut address = peer;
        for text in listed(headers, FORWARDED_FOR).rev() {
            let Some(said) = address_of(text) else { break };
            address = said;
            if !self.trust(said) {
                break;
            }
        }
        let is_encrypted = match listed(headers, FORWARDED_PROTO).next_back() {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            None => is_encrypted,
        };
        Client { address: Some(address), is_encrypted }
    }
}

/// The other end of the connection.
pub(crate) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical())
}

/// The values of a header that is a list, however many lines it has.
fn listed<'a>(headers: &'a HeaderMap, name: &str) -> impl DoubleEndedIterator<Item = &'a str> {
    let lines: Vec<_> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    let values: Vec<_> = lines.into_iter().flat_map(|line| line.split(',')).map(str::trim).collect();
    values.into_iter()
}

/// Some proxies write the port too.
fn address_of(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn client(peer: &str, lines: &[(&str, &str)]) -> (String, bool) {
        let proxies = ["10.0.0.0/8", "::1", "192.0.2.9"].map(str::to_owned);
        let proxies = Proxies::of(&proxies).expect("addresses");
        let mut request = Request::get("/").body(Body::empty()).expect("a request");
        for (name, value) in lines {
            let name = axum::http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request.headers_mut().append(name, value.parse().expect("a value"));
        }
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().expect("an address"), 1)));
        let client = proxies.client(&request);
        (client.address.expect("an address").to_string(), client.is_encrypted)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let said = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")];
        assert_eq!(client("203.0.113.5", &said), ("203.0.113.5".to_owned(), false));
        assert_eq!(client("10.1.2.3", &said), ("198.51.100.1".to_owned(), true));
        assert_eq!(client("::ffff:10.1.2.3", &said), ("198.51.100.1".to_owned(), true));
        assert_eq!(client("::1", &[]), ("::1".to_owned(), false));
    }

    #[test]
    fn what_the_client_wrote_itself_is_not_believed() {
        let spoofed = [("x-forwarded-for", "127.0.0.1, 198.51.100.1"), ("x-forwarded-for", "10.0.0.7, 192.0.2.9")];
        assert_eq!(client("10.1.2.3", &spoofed).0, "198.51.100.1");
        assert_eq!(client("10.1.2.3", &[("x-forwarded-for", "127.0.0.1, nonsense, 10.0.0.7")]).0, "10.0.0.7");
        assert_eq!(client("10.1.2.3", &[("x-forwarded-for", "198.51.100.1:4711")]).0, "198.51.100.1");
        assert!(!client("10.1.2.3", &[("x-forwarded-proto", "https, http")]).1);
    }

    #[test]
    fn what_is_no_address_is_named() {
        let texts = ["10.0.0.0/8".to_owned(), "proxy.example".to_owned()];
        assert_eq!(Proxies::of(&texts).expect_err("a name"), "proxy.example");
    }
}
