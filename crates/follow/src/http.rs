//! A stream's process, asked by HTTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use vitral_connect::with_causes;
use vitral_query::remote::{FrameError, LivePart, PATH, SINCE};
use vitral_store::{Layout, Location};

use crate::live_states::{LiveStates, NotLive};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A stream answers within ten seconds, with nothing if there is nothing new.
const TIMEOUT: Duration = Duration::from_secs(25);
/// The first answer is not waited for so long: until it is there, or what is stored, this process
/// shows nothing.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// More is refused, whatever the stream allows itself.
const BYTES_MAX: usize = 256 << 20;
/// What is read of a refusal, to say why.
const REASON_BYTES_MAX: usize = 1_024;

/// Where the stream's API is.
#[derive(Debug, Clone)]
pub enum StreamAddress {
    /// As it was configured.
    Given(Url),
    /// As the stream itself has noted it in its store.
    Stored(Location),
}

/// The API of a stream's process.
pub struct HttpStream {
    http: reqwest::Client,
    address: StreamAddress,
    secret: Option<SecretString>,
    /// Where it answered last.
    known: Option<Url>,
    /// What the next answer is given.
    patience: Duration,
}

impl HttpStream {
    /// At this address, with what processes of one installation show each other, if they do.
    ///
    /// # Errors
    /// The client cannot be made, in words.
    pub fn new(address: StreamAddress, secret: Option<SecretString>) -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls()?)
            .connect_timeout(CONNECT_TIMEOUT)
            // The secret is for this host alone.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("vitral")
            .build()
            .map_err(|error| with_causes(&error))?;
        Ok(Self { http, address, secret, known: None, patience: FIRST_TIMEOUT })
    }

    async fn url(&self) -> Result<Url, NotLive> {
        let base = match (&self.address, &self.known) {
            (StreamAddress::Given(url), _) | (_, Some(url)) => url.clone(),
            (StreamAddress::Stored(store), None) => {
                let noted = Layout::of(store).stream_address().await;
                let noted = noted.map_err(|error| NotLive::Away(with_causes(&error)))?;
                let noted = noted.ok_or_else(|| {
                    NotLive::Away(format!(
                        "no stream has noted its address in {store}: start one, or set serve.stream_url"
                    ))
                })?;
                Url::parse(noted.trim()).map_err(|error| {
                    NotLive::Away(format!(
                        "the stream's address in {store} cannot be read: {error}; set serve.stream_url"
                    ))
                })?
            }
        };
        Ok(base)
    }

    async fn ask(&self, base: &Url, known: Option<&str>, patience: Duration) -> Result<Option<LivePart>, NotLive> {
        let mut url = base.clone();
        url.set_path(PATH);
        if let Some(known) = known {
            url.query_pairs_mut().append_pair(SINCE, known);
        }
        let mut request = self.http.get(url).timeout(patience);
        if let Some(secret) = &self.secret {
            request = request.bearer_auth(secret.expose_secret());
        }
        let away = |error: reqwest::Error| {
            NotLive::Away(format!("the stream at {base} does not answer: {}", with_causes(&error.without_url())))
        };
        let answer = request.send().await.map_err(away)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED => return Ok(None),
            status => return Err(refusal(base, status, answer).await),
        }
        let body = body(answer, BYTES_MAX).await.map_err(away)?;
        let body = body.ok_or_else(|| {
            NotLive::Away(format!("the stream at {base} sends a live part of more than {BYTES_MAX} bytes"))
        })?;
        LivePart::read(&body).map(Some).map_err(|error| match error {
            FrameError::OtherFormat { .. } => NotLive::OtherVersion(error.to_string()),
            error => NotLive::Away(with_causes(&error)),
        })
    }
}

#[async_trait]
impl LiveStates for HttpStream {
    async fn next(&mut self, known: Option<&str>) -> Result<Option<LivePart>, NotLive> {
        let patience = std::mem::replace(&mut self.patience, TIMEOUT);
        let url = self.url().await?;
        let answer = self.ask(&url, known, patience).await;
        // A stream that was started elsewhere has noted that.
        self.known = answer.is_ok().then_some(url);
        answer
    }
}

/// Its bytes; none if there are too many.
async fn body(mut answer: Response, bytes_max: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

async fn refusal(base: &Url, status: StatusCode, answer: Response) -> NotLive {
    match status {
        StatusCode::NOT_FOUND => NotLive::OtherVersion(format!(
            "what answers at {base} does not know {PATH}: run the same version of stream and serve, or correct serve.stream_url"
        )),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => NotLive::Away(format!(
            "the stream at {base} does not take this process for one of its installation ({status}): give both the same store and \
             access.mode, or the same access.internal_key"
        )),
        _ => {
            let said = body(answer, REASON_BYTES_MAX).await.ok().flatten().unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            NotLive::Away(format!("the stream at {base} answers {status}: {}", said.trim()))
        }
    }
}

/// With the certificates that this machine trusts; a stream next to this process needs none.
fn tls() -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth())
}
