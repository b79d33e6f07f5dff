//! At which address the API answers, and within which bounds.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vitral_api::{ApiConfig, ServeConfig, Tls, TlsError};
use vitral_catalog::DomainSettings;

use super::Config;

/// Where the API answers, and within which bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// The address at which `vitral stream` and `vitral demo` serve the API and the page.
    pub listen: String,
    /// The names of this server, besides `localhost` and addresses: requests for other hosts are
    /// refused.
    pub hosts: Vec<String>,
    /// A PEM file with the server's certificate and those that lead to its issuer. With it and its
    /// key the API is served over TLS; both are read again within a minute after they have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// The PEM file with the certificate's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Addresses of proxies, or ranges of them such as `10.0.0.0/8`, that are believed for whom
    /// they ask and whether over TLS (`X-Forwarded-For`, `X-Forwarded-Proto`).
    pub trusted_proxies: Vec<String>,
    /// Origins of other pages, such as `https://painel.example.com`, that may read answers and send
    /// events.
    pub cors_origins: Vec<String>,
    /// How many connections may be open, within what the process's file descriptors allow.
    pub connections: usize,
    /// How many live streams may be open, each with a connection of its own; one client gets half
    /// of them.
    pub live_streams: usize,
    /// How long one answer may be.
    pub answer_bytes: usize,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            hosts: Vec::new(),
            tls_certificate: None,
            tls_key: None,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            connections: ServeConfig::default().connections,
            live_streams: 256,
            answer_bytes: 64 << 20,
        }
    }
}

impl Config {
    /// What the API's answers depend on, and their bounds; reference tables are read from this
    /// folder.
    pub fn answers(&self, settings: DomainSettings, reference_dir: PathBuf) -> ApiConfig {
        ApiConfig {
            hosts: self.api.hosts.clone(),
            trusted_proxies: self.api.trusted_proxies.clone(),
            cors_origins: self.api.cors_origins.clone(),
            answer_bytes: self.api.answer_bytes,
            live_streams_max: self.api.live_streams,
            cache: vitral_query::Cache::new(self.cache.memory_bytes),
            limits: self.query.limits(),
            bounds: self.bounds(),
            ..ApiConfig::new(settings, reference_dir)
        }
    }

    /// With what the API's connections are encrypted, if they are.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn tls(&self) -> Result<Option<Tls>, TlsError> {
        let files = self.api.tls_certificate.clone().zip(self.api.tls_key.clone());
        files.map(|(certificate, key)| Tls::open(certificate, key)).transpose()
    }

    /// The API's bounds, for a process that may have so many descriptors.
    pub fn serve(&self, descriptor_limit: Option<u64>) -> ServeConfig {
        let within = descriptor_limit.map_or(usize::MAX, connections_within);
        let connections = self.api.connections.min(within);
        ServeConfig { connections, ..ServeConfig::default() }
    }
}

/// Descriptors for connections, out of all: archive, Kafka and logs need theirs whatever clients
/// do.
fn connections_within(limit: u64) -> usize {
    const OTHERS: u64 = 256;
    usize::try_from(limit.saturating_sub(OTHERS).max(limit / 4)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(connections_within(1024), 768);
        assert_eq!(connections_within(256), 64);
        assert_eq!(connections_within(0), 0);
    }
}
