//! Who may send what: what decides it, and what is known of a request's sender.

mod client;
mod origin;
mod shown;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use vitral_access::{Access, Trail};
use vitral_query::Principal;

use self::client::Proxies;
pub(crate) use self::client::{Client, Encrypted, peer};
use self::origin::Origins;
pub(crate) use self::shown::{SESSION_COOKIE, Shown, cookie};
use crate::config::ApiConfig;
use crate::error::ApiError;
use crate::problem::Problem;

const ORIGIN_REMEDY: &str = "write a scheme and a host, such as https://painel.example.com, without a path or *";
const PROXY_REMEDY: &str = "write an address or a range of them, such as 10.0.0.0/8";

/// Whom a request is of that needs nobody.
pub(crate) const NOBODY: &str = "nobody";

/// What decides who may send what.
pub(crate) struct Gate {
    pub access: Access,
    pub trail: Trail,
    pub origins: Origins,
    pub proxies: Proxies,
    /// A live stream outlasts a key that was revoked by this at most.
    pub stream_check: Duration,
}

impl Gate {
    pub(crate) fn of(config: &ApiConfig, shutdown: CancellationToken) -> Result<Self, ApiError> {
        let wrong = |key: &'static str, remedy: &'static str| {
            move |value: &str| ApiError::Setting { key, value: value.to_owned(), remedy }
        };
        Ok(Self {
            access: config.access.clone(),
            stream_check: config.stream_check,
            trail: Trail::new(config.store.clone(), shutdown),
            origins: Origins::of(&config.cors_origins).map_err(wrong("api.cors_origins", ORIGIN_REMEDY))?,
            proxies: Proxies::of(&config.trusted_proxies).map_err(wrong("api.trusted_proxies", PROXY_REMEDY))?,
        })
    }

    /// Whether this is somebody: without access control everybody is.
    pub(crate) fn knows(&self, principal: &Principal) -> bool {
        !self.access.is_on() || principal.id() != NOBODY
    }
}

/// Refuses those who may not do this.
pub(crate) fn need(principal: &Principal, scope: &str) -> Result<(), Problem> {
    if principal.scopes().has(scope) { Ok(()) } else { Err(Problem::needs_scope(scope)) }
}

/// Under which an answer and the log of its request are found.
#[derive(Debug, Clone, Default)]
pub(crate) struct CorrelationId(pub String);
