//! One request of any receiver, and what its answer means.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use url::Url;
use vitral_connect::{ConnectError, with_causes};

use crate::target::HttpTarget;

/// A receiver that does not take a connection in this time is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A slow one still answers in this time, or the attempt is repeated.
const TIMEOUT: Duration = Duration::from_secs(15);
/// What is read of a refusal, to say why.
const REASON_BYTES_MAX: usize = 300;

/// Sends to one receiver.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) target: HttpTarget,
}

impl Client {
    pub(crate) fn new(target: HttpTarget) -> Result<Self, ConnectError> {
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls(target.url.scheme() == "https")?)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // Notifications go to the host that is allowed, and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("vitral")
            .build()
            .map_err(|error| ConnectError::permanent(with_causes(&error)))?;
        Ok(Self { http, target })
    }

    /// Posts JSON; once it returns, the receiver has it.
    pub(crate) async fn post(
        &self,
        url: &Url,
        id: &str,
        body: String,
        further: &[(&'static str, String)],
    ) -> Result<(), ConnectError> {
        let request = self.http.post(url.clone()).headers(self.headers(id, further)?).body(body);
        let sent = request.send().await;
        // The URL may hold a secret.
        let answer = sent.map_err(|error| self.away(&with_causes(&error.without_url())))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(self.refusal(status, answer).await) }
    }

    fn headers(&self, id: &str, further: &[(&'static str, String)]) -> Result<HeaderMap, ConnectError> {
        let value = |text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_| ConnectError::permanent("a header of the notification holds control characters"))
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(HeaderName::from_static("idempotency-key"), value(id)?);
        if let Some(token) = &self.target.token {
            let mut authorization = value(&format!("Bearer {}", token.expose()))?;
            authorization.set_sensitive(true);
            headers.insert(AUTHORIZATION, authorization);
        }
        for (name, text) in further {
            headers.insert(HeaderName::from_static(name), value(text)?);
        }
        Ok(headers)
    }

    fn away(&self, reason: &str) -> ConnectError {
        ConnectError::outage(format!("{} does not answer: {reason}", self.target.place()))
    }

    async fn refusal(&self, status: StatusCode, mut answer: Response) -> ConnectError {
        let waits = answer.headers().contains_key(RETRY_AFTER);
        let mut body = Vec::new();
        while body.len() < REASON_BYTES_MAX {
            match answer.chunk().await {
                Ok(Some(part)) => body.extend_from_slice(&part),
                Ok(None) | Err(_) => break,
            }
        }
        body.truncate(REASON_BYTES_MAX);
        let reason = String::from_utf8_lossy(&body).split_whitespace().collect::<Vec<_>>().join(" ");
        let words = format!("{} answers {status}: {reason}", self.target.place());
        match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                ConnectError::outage(words)
            }
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                ConnectError::outage(words)
            }
            _ if waits => ConnectError::outage(words),
            // These are about the message itself, which will be the same next time.
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ConnectError::permanent(words),
            // It is there, and others may be what it takes. Tokens that have expired, addresses
            // that have moved and mistakes of a deploy are corrected.
            _ => ConnectError::passing(words),
        }
    }
}

/// With the certificates that this machine trusts, if they are needed.
fn tls(is_needed: bool) -> Result<rustls::ClientConfig, ConnectError> {
    let mut roots = rustls::RootCertStore::empty();
    if is_needed {
        let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 {
            return Err(ConnectError::permanent("this machine has no certificates to trust: install ca-certificates"));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(ConnectError::permanent)?.with_root_certificates(roots).with_no_client_auth())
}
