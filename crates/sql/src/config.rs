//! Within which bounds the endpoint answers.

use std::path::PathBuf;
use std::time::Duration;

use vitral_query::Limits;

/// The endpoint's bounds.
#[derive(Debug, Clone)]
pub struct SqlConfig {
    /// Connections that may be open; more are refused.
    pub connections: usize,
    /// How long a statement may take, waiting and sending included.
    pub statement_timeout: Duration,
    /// How long a connection may be silent between statements.
    pub idle: Duration,
    /// How large one answer may be, in bytes.
    pub result_bytes: usize,
    /// What all statements together may use.
    pub limits: Limits,
    /// Certificate and key of the server, as PEM files.
    pub tls: Option<TlsFiles>,
}

/// What the server shows to clients that want encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Its certificate, and those that lead to one that clients trust.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Default for SqlConfig {
    fn default() -> Self {
        Self {
            connections: 64,
            statement_timeout: Duration::from_secs(30),
            // Pools keep connections over a working day.
            idle: Duration::from_secs(8 * 3600),
            result_bytes: 1 << 30,
            limits: Limits::default(),
            tls: None,
        }
    }
}
