//! At which address SQL clients are answered, and within which bounds.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vitral_sql::{SqlConfig, TlsFiles};

use super::Config;

/// Where SQL clients are answered, by PostgreSQL's protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sql {
    /// The address at which SQL clients are answered, such as `127.0.0.1:5433`; without it, none
    /// are, but in `vitral demo`, which takes that one.
    pub listen: Option<String>,
    /// How many connections may be open; more are refused.
    pub connections: usize,
    /// How long a statement may take, waiting and sending included; clients may set less.
    pub statement_timeout_seconds: u64,
    /// How long a connection may be silent between statements; then it is closed.
    pub idle_seconds: u64,
    /// How large the answer to one statement may be.
    pub result_bytes: usize,
    /// The server's certificate, a PEM file with those that lead to one that clients trust. Without
    /// it, nothing is encrypted.
    pub tls_certificate: Option<PathBuf>,
    /// The private key of that certificate, a PEM file.
    pub tls_key: Option<PathBuf>,
}

impl Default for Sql {
    fn default() -> Self {
        let SqlConfig { connections, statement_timeout, idle, result_bytes, .. } = SqlConfig::default();
        Self {
            listen: None,
            connections,
            statement_timeout_seconds: statement_timeout.as_secs(),
            idle_seconds: idle.as_secs(),
            result_bytes,
            tls_certificate: None,
            tls_key: None,
        }
    }
}

impl Config {
    /// The bounds of the SQL endpoint.
    pub fn sql_endpoint(&self) -> SqlConfig {
        let tls = self.sql.tls_certificate.clone().zip(self.sql.tls_key.clone());
        SqlConfig {
            connections: self.sql.connections,
            statement_timeout: Duration::from_secs(self.sql.statement_timeout_seconds),
            idle: Duration::from_secs(self.sql.idle_seconds),
            result_bytes: self.sql.result_bytes,
            limits: self.query.limits(),
            tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
        }
    }
}

/// What makes no sense in it, each beginning with its key.
pub(super) fn problems(sql: &Sql) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(listen) = &sql.listen
        && listen.parse::<std::net::SocketAddr>().is_err()
    {
        problems.push(format!("sql.listen is {listen:?}: write an address and a port, such as 127.0.0.1:5433"));
    }
    match (&sql.tls_certificate, &sql.tls_key) {
        (Some(_), None) => problems.push("sql.tls_key is missing: sql.tls_certificate needs its key".to_owned()),
        (None, Some(_)) => problems.push("sql.tls_certificate is missing: sql.tls_key is of one".to_owned()),
        _ => {}
    }
    let counts = [
        ("sql.connections", sql.connections == 0),
        ("sql.statement_timeout_seconds", sql.statement_timeout_seconds == 0),
        ("sql.idle_seconds", sql.idle_seconds == 0),
        ("sql.result_bytes", sql.result_bytes == 0),
    ];
    problems
        .extend(counts.iter().filter(|(_, is_zero)| *is_zero).map(|(key, _)| format!("{key} is 0: write 1 or more")));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_and_its_key_belong_together() {
        assert!(problems(&Sql::default()).is_empty());
        let half = Sql { tls_certificate: Some("cert.pem".into()), ..Sql::default() };
        assert!(problems(&half)[0].starts_with("sql.tls_key"));
        let wrong = Sql { listen: Some("5433".to_owned()), connections: 0, ..Sql::default() };
        assert_eq!(problems(&wrong).len(), 2);
    }
}
