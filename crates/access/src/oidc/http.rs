//! Requests to the provider. Neither a secret nor a token is ever part of an error.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{RequestBuilder, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use url::Url;

use crate::config::AccessError;
use crate::keys::causes;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
/// A set of keys has some kilobytes.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// The client; it trusts what the system trusts, or the certificates of the file.
pub(super) fn client(ca: Option<&Path>) -> Result<reqwest::Client, AccessError> {
    let wrong = |reason: String| AccessError::Config(format!("access.oidc.ca {reason}"));
    let certificates: Vec<CertificateDer<'static>> = match ca {
        Some(path) => CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| wrong(format!("{} cannot be read: {error}", path.display())))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        // Secrets are sent only to the endpoints that the provider names.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent("vitral")
        .build()
        .map_err(|error| AccessError::Config(format!("access.oidc: no client can be made: {error}")))
}

/// What an endpoint answers, as JSON; the status tells whether it is what was asked for.
pub(super) async fn json<T: DeserializeOwned>(request: RequestBuilder, of: &Url) -> Result<(StatusCode, T), String> {
    let failed = |error: reqwest::Error| format!("{of}: {}", causes(&error.without_url()));
    let mut answer = request.header(ACCEPT, "application/json").send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(failed)? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(format!("{of} answers with more than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&part);
    }
    let status = answer.status();
    // The parser's words could repeat a token.
    let value =
        serde_json::from_slice(&body).map_err(|_| format!("{of} answers {status} without the JSON expected"))?;
    Ok((status, value))
}

/// The same, where only success is an answer.
pub(super) async fn get<T: DeserializeOwned>(client: &reqwest::Client, url: &Url) -> Result<T, String> {
    let (status, value) = json(client.get(url.clone()), url).await?;
    if status.is_success() { Ok(value) } else { Err(format!("{url} answers {status}")) }
}
