//! The port for notifications.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};

use crate::decorators::{Retrying, TimedOut};
use crate::{ConnectError, RetryPolicy};

/// One message to people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notification {
    /// The same at each attempt, so that a receiver can recognise a repeat. It is of visible ASCII
    /// alone, to fit into headers.
    pub id: String,
    /// One line that says what happened.
    pub title: String,
    /// The details, as plain text.
    pub text: String,
    /// What happened.
    pub event: Event,
    /// The alert, or the report.
    pub subject: String,
    /// What the alert is about; empty for a report.
    pub key: String,
    /// How much it matters: `info`, `warning` or `critical`.
    pub severity: String,
    /// Since when the alert's condition has held, in milliseconds since the epoch.
    pub since_ms: i64,
    /// When this happened.
    pub at_ms: i64,
    /// The rows, as a JSON array.
    pub rows: String,
}

/// What a notification tells of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Event {
    /// An alert's condition holds.
    Fired,
    /// It still holds.
    Repeated,
    /// It does not hold any more.
    Resolved,
    /// A day's report.
    Reported,
    /// Somebody tries whether notifications arrive.
    #[default]
    Test,
}

impl Event {
    /// As receivers read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fired => "disparo",
            Self::Repeated => "repeticao",
            Self::Resolved => "resolucao",
            Self::Reported => "relatorio",
            Self::Test => "teste",
        }
    }
}

impl Notification {
    /// All of it as one JSON object. The rows are put in as they are: money keeps its decimals.
    pub fn to_json(&self) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let time = |ms: i64| {
            let time = DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default();
            text(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
        };
        let rows = if self.rows.is_empty() { "[]" } else { &self.rows };
        format!(
            "{{\"id\":{},\"evento\":{},\"alerta\":{},\"chave\":{},\"severidade\":{},\"desde\":{},\"instante\":{},\"titulo\":{},\
             \"texto\":{},\"linhas\":{rows}}}",
            text(&self.id),
            text(self.event.name()),
            text(&self.subject),
            text(&self.key),
            text(&self.severity),
            time(self.since_ms),
            time(self.at_ms),
            text(&self.title),
            text(&self.text),
        )
    }
}

/// Delivers notifications to people, at least once each.
#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync {
    /// Returns once the other side has it. A failed attempt may have arrived all the same: the next
    /// one has the same id.
    ///
    /// # Errors
    /// The other side refused it or did not answer.
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError>;
}

/// What callers put around a notifier.
pub trait NotifierExt: Notifier + Sized {
    /// Repeats calls that failed with an error that may pass.
    fn retrying(self, policy: RetryPolicy) -> Retrying<Self> {
        Retrying::new(self, policy)
    }

    /// Calls that take longer than `limit` fail with an error that may pass.
    fn timed_out(self, limit: Duration) -> TimedOut<Self> {
        TimedOut::new(self, limit)
    }
}

impl<T: Notifier> NotifierExt for T {}

/// A notifier behind any of the decorators can be one of many.
#[async_trait]
impl Notifier for Box<dyn Notifier> {
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError> {
        self.as_ref().deliver(notification).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_one_object_with_its_rows_unchanged() {
        let notification = Notification {
            id: "ruptura/p1/1/disparo".to_owned(),
            title: "a \"b\"\n".to_owned(),
            event: Event::Fired,
            since_ms: 1_500,
            rows: r#"[{"preco":12.50}]"#.to_owned(),
            ..Notification::default()
        };
        let json = notification.to_json();
        let parsed: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&parsed["titulo"], &parsed["evento"]), (&"a \"b\"\n".into(), &"disparo".into()));
        assert_eq!(parsed["desde"], "1970-01-01T00:00:01.500Z");
        assert!(json.ends_with(r#""linhas":[{"preco":12.50}]}"#), "{json}");
        assert!(Notification::default().to_json().ends_with(r#""linhas":[]}"#));
    }
}
