//! What one connection does.

use std::net::SocketAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion_postgres::pgwire::messages::response::TransactionStatus;

/// How much of a statement is kept, to be shown.
const QUERY_BYTES: usize = 1024;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The number by which the connection is named.
    pub pid: i32,
    pub address: SocketAddr,
    pub since: DateTime<Utc>,
}

impl Peer {
    pub(crate) fn new(pid: i32, address: SocketAddr) -> Self {
        Self { pid, address, since: Utc::now() }
    }
}

/// What a connection does, or has done last.
#[derive(Debug, Clone)]
pub(crate) struct Doing {
    /// In PostgreSQL's words.
    pub state: &'static str,
    pub query: Arc<str>,
    /// When the statement has begun.
    pub began: Option<DateTime<Utc>>,
    /// When this state has.
    pub changed: DateTime<Utc>,
}

impl Doing {
    pub(crate) fn nothing(since: DateTime<Utc>) -> Self {
        Self { state: "idle", query: "".into(), began: None, changed: since }
    }

    pub(crate) fn begin(&mut self, query: &Arc<str>) {
        let now = Utc::now();
        *self = Self { state: "active", query: Arc::clone(query), began: Some(now), changed: now };
    }

    pub(crate) fn end(&mut self, status: TransactionStatus) {
        let state = match status {
            TransactionStatus::Idle => "idle",
            TransactionStatus::Transaction => "idle in transaction",
            TransactionStatus::Error => "idle in transaction (aborted)",
        };
        if self.state != state {
            (self.state, self.changed) = (state, Utc::now());
        }
    }
}

/// The beginning of a statement, which is all of most.
pub(crate) fn shown(text: &str) -> Arc<str> {
    let end = (0..=QUERY_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_shown_up_to_a_whole_letter() {
        assert_eq!(&*shown("SELECT 'ação'"), "SELECT 'ação'");
        let long = format!("{}ção", "x".repeat(QUERY_BYTES - 1));
        assert_eq!(shown(&long).len(), QUERY_BYTES - 1);
    }

    #[test]
    fn a_state_is_as_old_as_it_is() {
        let since = DateTime::UNIX_EPOCH;
        let mut doing = Doing::nothing(since);
        doing.end(TransactionStatus::Idle);
        assert_eq!((doing.state, doing.changed, doing.began), ("idle", since, None));
        doing.begin(&"BEGIN".into());
        assert_eq!((doing.state, doing.began), ("active", Some(doing.changed)));
        doing.end(TransactionStatus::Transaction);
        assert_eq!((doing.state, &*doing.query), ("idle in transaction", "BEGIN"));
    }
}
