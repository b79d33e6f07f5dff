//! Gives a client of the library its OAUTHBEARER tokens, each before the last one expires.
//!
//! Not through the library's own callback: that arrives on a queue which only some clients serve,
//! and cannot pass the extensions by which some brokers tell clusters and pools apart.

use std::ffi::CString;
use std::ptr::null_mut;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rdkafka::bindings as ffi;
use rdkafka::types::RDKafkaRespErr;

#[cfg(feature = "kafka-tls")]
use crate::config::KafkaConfig;
use crate::connection::Connection;
use crate::error::ClientError;
#[cfg(feature = "kafka-tls")]
use crate::msk::MskIam;
#[cfg(feature = "kafka-tls")]
use crate::oidc::Oidc;
use crate::problem::{Problem, ProblemKind};
use crate::settings;
use crate::token::Token;

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(30);
/// A token is replaced after this part of its lifetime.
const LIFE_USED: f64 = 0.8;

/// Must be dropped before its client.
pub(crate) struct TokenKeeper {
    client: Arc<Mutex<Option<Client>>>,
    /// Wakes the keeper when it is dropped.
    _stop: Sender<()>,
}

struct Client(*mut ffi::rd_kafka_t);

// SAFETY: the library's clients may be used from any thread.
unsafe impl Send for Client {}

impl TokenKeeper {
    /// None for a client that needs no tokens. `client` must outlive what is returned.
    pub(crate) fn start(connection: &Connection, client: *mut ffi::rd_kafka_t) -> Result<Option<Self>, ClientError> {
        let config = connection.config();
        if settings::mechanism(&config.options).as_deref() != Some("OAUTHBEARER") {
            return Ok(None);
        }
        let source = TokenSource::new(connection)?;
        let client = Arc::new(Mutex::new(Some(Client(client))));
        let (stop, stopped) = channel::<()>();
        let (kept, connection) = (Arc::clone(&client), connection.clone());
        let keep = move || {
            let mut retry = RETRY_FIRST;
            loop {
                let outcome = source.token().and_then(|token| give(&kept, &token).map(|()| token.lifetime));
                let pause = match outcome {
                    Ok(lifetime) => {
                        retry = RETRY_FIRST;
                        lifetime.mul_f64(LIFE_USED)
                    }
                    Err(problem) => {
                        give_up(&kept, &problem);
                        connection.observe(problem);
                        retry = (retry * 2).min(RETRY_LAST);
                        retry / 2
                    }
                };
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("kafka tokens".to_owned()).spawn(keep);
        thread.map_err(|_| ClientError::Ended("the thread of the kafka client's tokens"))?;
        Ok(Some(Self { client, _stop: stop }))
    }
}

impl Drop for TokenKeeper {
    fn drop(&mut self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Where tokens come from.
#[cfg(feature = "kafka-tls")]
enum TokenSource {
    Oidc(Oidc),
    MskIam(MskIam),
}

#[cfg(feature = "kafka-tls")]
impl TokenSource {
    fn new(connection: &Connection) -> Result<Self, ClientError> {
        let KafkaConfig { brokers, options } = connection.config();
        let method = options.get("sasl.oauthbearer.method").map_or("", String::as_str).to_lowercase();
        let source = match method.as_str() {
            "oidc" => Oidc::new(options).map(Self::Oidc),
            "aws-msk-iam" => MskIam::new(brokers, options).map(Self::MskIam),
            _ => Err(format!("sasl.oauthbearer.method is {method:?}: set it to oidc or aws-msk-iam")),
        };
        source.map_err(ClientError::Settings)
    }

    fn token(&self) -> Result<Token, Problem> {
        match self {
            Self::Oidc(oidc) => oidc.token(),
            Self::MskIam(msk) => msk.token(),
        }
    }
}

/// Settings that would need one were refused.
#[cfg(not(feature = "kafka-tls"))]
enum TokenSource {}

#[cfg(not(feature = "kafka-tls"))]
impl TokenSource {
    fn new(_: &Connection) -> Result<Self, ClientError> {
        Err(ClientError::Settings("OAUTHBEARER needs the feature `kafka-tls`".to_owned()))
    }

    fn token(&self) -> Result<Token, Problem> {
        match *self {}
    }
}

/// Does nothing for a client that is being closed.
fn give(client: &Mutex<Option<Client>>, token: &Token) -> Result<(), Problem> {
    let refused = |reason: String| Problem::new(ProblemKind::Token, reason);
    let text = |text: &str| CString::new(text).map_err(|_| refused("the token holds a zero byte".to_owned()));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ends_ms = i64::try_from((now + token.lifetime).as_millis()).unwrap_or(i64::MAX);
    let (value, principal) = (text(&token.token)?, text(&token.principal)?);
    let extensions = token.extensions.iter().flat_map(|(name, value)| [text(name), text(value)]);
    let extensions = extensions.collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<_> = extensions.iter().map(|text| text.as_ptr()).collect();
    let mut reason = [0; 512];
    let client = client.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(Client(client)) = *client else { return Ok(()) };
    // SAFETY: the client is alive while the lock is held; all texts are copied by the call.
    let answer = unsafe {
        ffi::rd_kafka_oauthbearer_set_token(
            client,
            value.as_ptr(),
            ends_ms,
            principal.as_ptr(),
            if pointers.is_empty() { null_mut() } else { pointers.as_mut_ptr() },
            pointers.len(),
            reason.as_mut_ptr(),
            reason.len(),
        )
    };
    if answer == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: the library has written a text that ends with a zero byte.
    let reason = unsafe { std::ffi::CStr::from_ptr(reason.as_ptr()) }.to_string_lossy();
    Err(refused(format!("the token cannot be used: {reason}")))
}

fn give_up(client: &Mutex<Option<Client>>, problem: &Problem) {
    let Ok(reason) = CString::new(problem.detail.replace('\0', " ")) else { return };
    let client = client.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Client(client)) = *client {
        // SAFETY: the client is alive while the lock is held; the text is copied by the call.
        unsafe { ffi::rd_kafka_oauthbearer_set_token_failure(client, reason.as_ptr()) };
    }
}
