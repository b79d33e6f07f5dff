//! The client: to which hosts it speaks, how, and what it makes of answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{RequestBuilder, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};
use vitral_connect::{ConnectError, Connection, ConnectionError, RetryHint, with_causes};

/// The one secret: the whole header, such as `Bearer ...`.
const AUTHORIZATION_SECRET: &str = "authorization";
/// The one option: a file of certificates to trust in place of the system's.
const CA_OPTION: &str = "ca";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A bound for what no look-up waits for: attempts have their own.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Larger answers are errors: a row has some hundred bytes.
const BODY_BYTES_MAX: usize = 16 << 20;

pub(super) struct Client {
    http: reqwest::Client,
    authorization: Option<HeaderValue>,
}

/// The connection's URL, if its host is among those allowed and the way to it is private.
pub(super) fn allowed(connection: &Connection, allowed_hosts: &[String]) -> Result<Url, ConnectionError> {
    let wrong = |reason: &str| connection.error("url", reason);
    let Ok(url) = Url::parse(connection.url.trim()) else {
        return Err(wrong("cannot be read: write https://host"));
    };
    let Some(host) = url.host() else { return Err(wrong("has no host: write https://host")) };
    let is_local = match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    match url.scheme() {
        "https" => {}
        "http" if is_local => {}
        _ => return Err(wrong("must begin with https://: keys and values would be sent in the clear")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(wrong("holds a user or parameters: set secrets.authorization instead"));
    }
    let host = host.to_string();
    if !allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(&host)) {
        return Err(wrong("has a host that is not allowed: add it to http.allowed_hosts"));
    }
    Ok(url)
}

impl Client {
    pub(super) fn new(connection: &Connection) -> Result<Self, ConnectionError> {
        if let Some(key) = connection.secrets.keys().find(|key| *key != AUTHORIZATION_SECRET) {
            return Err(connection.error(format!("secrets.{key:?}"), "is not known: HTTP accepts authorization"));
        }
        if let Some(key) = connection.options.keys().find(|key| *key != CA_OPTION) {
            return Err(connection.error(format!("options.{key:?}"), "is not known: HTTP accepts ca, a file"));
        }
        let authorization = connection.secrets.get(AUTHORIZATION_SECRET).map(|secret| {
            let mut value = HeaderValue::from_str(secret.expose())
                .map_err(|_| connection.error("secrets.authorization", "has characters that a header cannot have"))?;
            value.set_sensitive(true);
            Ok(value)
        });
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls(connection)?)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // Another host might not be allowed.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("vitral")
            .build()
            .map_err(|error| connection.error("url", format!("cannot be used: {error}")))?;
        Ok(Self { http, authorization: authorization.transpose()? })
    }

    pub(super) async fn get(&self, url: Url) -> Result<(StatusCode, Vec<u8>), ConnectError> {
        self.send(self.http.get(url)).await
    }

    pub(super) async fn post(&self, url: Url, body: String) -> Result<(StatusCode, Vec<u8>), ConnectError> {
        self.send(self.http.post(url).header(CONTENT_TYPE, "application/json").body(body)).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), ConnectError> {
        let mut request = request.header(ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        // The URL holds a key.
        let away = |error: reqwest::Error| ConnectError::outage(with_causes(&error.without_url()));
        let mut answer = request.send().await.map_err(away)?;
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(away)? {
            if body.len() + part.len() > BODY_BYTES_MAX {
                return Err(ConnectError::permanent(format!("an answer of more than {BODY_BYTES_MAX} bytes")).of_keys());
            }
            body.extend_from_slice(&part);
        }
        Ok((answer.status(), body))
    }
}

/// What an answer's status says: of the keys that were asked for, or of who asks and whether the
/// service is there.
pub(super) fn refusal(status: StatusCode, is_one_key: bool) -> ConnectError {
    let may_pass =
        status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    let hint = if may_pass { RetryHint::Passing } else { RetryHint::Permanent };
    let error = ConnectError::new(hint, format!("the service answered {status}"));
    let is_of_keys = match is_one_key {
        true => {
            // A service may stumble over one key; over many, it is more often itself in trouble.
            let is_of_service =
                matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) || may_pass;
            !is_of_service || status == StatusCode::INTERNAL_SERVER_ERROR
        }
        false => matches!(
            status,
            StatusCode::BAD_REQUEST
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::URI_TOO_LONG
                | StatusCode::UNPROCESSABLE_ENTITY
                | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        ),
    };
    if is_of_keys { error.of_keys() } else { error }
}

fn tls(connection: &Connection) -> Result<ClientConfig, ConnectionError> {
    let wrong = |reason: String| connection.error("options.\"ca\"", reason);
    let certificates: Vec<CertificateDer<'static>> = match connection.options.get(CA_OPTION) {
        Some(path) => CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| wrong(format!("cannot be read: {error}")))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
