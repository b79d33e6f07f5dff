//! What is kept of answers, and where processes share them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_connect::{ConnectionError, Secret};
use vitral_connect_redis::{Redis, RedisConfig, SCHEMES};
use vitral_query::Cache as KeptAnswers;

use super::{Config, ConfigError};

/// What is kept of answers, and where processes share them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// How much of the API's answers a process keeps in its memory, to give them again while
    /// nothing that they are made of has changed; 0 for nothing.
    pub memory_bytes: u64,
    /// The connection to the Redis in which processes share answers, and count how often somebody
    /// asks; without one each does both for itself.
    pub connection: Option<String>,
    /// The same by its address, which may hold a password and belongs in the environment then:
    /// `redis://user:password@host:port`, `rediss://...` for TLS,
    /// `redis+sentinel://host:port,host:port/service` or `redis+cluster://host:port,host:port`.
    pub redis_url: Option<Secret>,
    /// How long Redis may take for an answer; then it is computed.
    pub redis_timeout_ms: u64,
}

impl Default for Cache {
    fn default() -> Self {
        let redis_timeout_ms = u64::try_from(RedisConfig::READ_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        Self { memory_bytes: 64 << 20, connection: None, redis_url: None, redis_timeout_ms }
    }
}

impl Config {
    /// How the Redis that processes share is reached; none if they share none.
    ///
    /// # Errors
    /// It is named twice, is not declared, or its address is none.
    pub fn redis(&self) -> Result<Option<RedisConfig>, ConfigError> {
        let config = match (&self.cache.connection, &self.cache.redis_url) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                let words = "cache.connection and cache.redis_url both say where Redis is: keep one of them";
                return Err(ConfigError::Wrong(words.to_owned()));
            }
            (Some(name), None) => {
                let key = || "cache.connection".to_owned();
                let of_name = |source: ConnectionError| ConfigError::NamedConnection { key: key(), source };
                RedisConfig::try_from(self.connections()?.get(name, &SCHEMES).map_err(of_name)?)
                    .map_err(|error| ConfigError::Wrong(format!("connections.{name}: {error}")))?
            }
            (None, Some(url)) => RedisConfig::parse(url.expose())
                .map_err(|error| ConfigError::Wrong(format!("cache.redis_url: {error}")))?,
        };
        Ok(Some(config.with_read_timeout(Duration::from_millis(self.cache.redis_timeout_ms))))
    }

    /// The Redis that processes share, as a process has it: for its kept answers and its rates.
    ///
    /// # Errors
    /// As [`Self::redis`], or its certificates cannot be read. That it is away is not an error.
    pub fn open_redis(&self) -> Result<Option<Redis>, ConfigError> {
        let opened = self.redis()?.map(|config| Redis::open(&config)).transpose();
        opened.map_err(|error| ConfigError::Wrong(format!("[cache]: {error}")))
    }

    /// The answers that a process keeps of this catalog, and shares if there is a Redis.
    pub fn kept_answers(&self, catalog: &Catalog, settings: &DomainSettings, redis: Option<&Redis>) -> KeptAnswers {
        match redis {
            Some(redis) => KeptAnswers::with_shared(
                self.cache.memory_bytes,
                Arc::new(redis.clone()),
                vitral_query::CatalogVersion::of(catalog, settings),
            ),
            None => KeptAnswers::new(self.cache.memory_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use vitral_connect::Connection;

    use super::*;

    #[test]
    fn redis_is_named_once() {
        let mut config = Config::default();
        assert!(config.redis().expect("none").is_none());
        config.cache.redis_url = Some(Secret::new("redis://u:SEGREDO@a:7000".to_owned()));
        assert_eq!(config.redis().expect("an address").expect("one").shown(), "a:7000");
        assert!(!format!("{config:?}").contains("SEGREDO"));
        config.cache.connection = Some("cofre".to_owned());
        let error = config.redis().expect_err("twice").to_string();
        assert!(error.contains("cache.connection and cache.redis_url"), "{error}");
        config.cache.redis_url = None;
        let error = config.redis().expect_err("not declared");
        let error = format!("{error}: {}", std::error::Error::source(&error).expect("why"));
        assert!(error.contains("cache.connection") && error.contains("cofre"), "{error}");
        config.connections.insert("cofre".to_owned(), Connection::to("redis+cluster://b,c:2"));
        assert_eq!(config.redis().expect("a connection").expect("one").shown(), "b:6379,c:2");
        config.connections.insert("cofre".to_owned(), Connection::to("redis://b/SEGREDO"));
        let error = config.redis().expect_err("a database that is none").to_string();
        assert!(error.contains("connections.cofre") && !error.contains("SEGREDO"), "{error}");
        config.cache = Cache { redis_url: Some(Secret::new("b:6379".to_owned())), ..Cache::default() };
        let error = config.redis().expect_err("no scheme").to_string();
        assert!(error.contains("cache.redis_url") && error.contains("redis://host:port"), "{error}");
    }
}
