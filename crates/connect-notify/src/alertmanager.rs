//! Alertmanager's API, version 2: an alert that fires until its end is reported.

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use url::Url;
use vitral_connect::{ConnectError, Event, Notification, Notifier};

use crate::http::Client;

/// Alertmanager forgets an alert at its end. That one fires is reported once, so the end lies far
/// ahead until it is resolved.
const FIRES_FOR_MS: i64 = 365 * 24 * 3_600_000;

/// Posts to `/api/v2/alerts` below the connection's URL.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    client: Client,
    url: Url,
}

impl Alertmanager {
    pub(crate) fn new(client: Client) -> Result<Self, ConnectError> {
        let mut url = client.target.url.clone();
        let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self { client, url })
    }
}

#[async_trait]
impl Notifier for Alertmanager {
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError> {
        self.client.post(&self.url, &notification.id, body(notification), &[]).await
    }
}

/// Labels tell alerts apart: those of one episode have the same.
fn body(notification: &Notification) -> String {
    let time = |ms: i64| {
        let time = DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default();
        time.to_rfc3339_opts(SecondsFormat::Millis, true)
    };
    let lasts = matches!(notification.event, Event::Fired | Event::Repeated);
    let ends_ms = if lasts { notification.at_ms.saturating_add(FIRES_FOR_MS) } else { notification.at_ms };
    // One that ends before it begins is refused.
    let begins_ms = notification.since_ms.min(ends_ms);
    let alert = json!({
        "labels": {
            "alertname": notification.subject,
            "chave": notification.key,
            "severity": notification.severity,
            "source": "vitral",
        },
        "annotations": {
            "summary": notification.title,
            "description": notification.text,
            "id": notification.id,
        },
        "startsAt": time(begins_ms),
        "endsAt": time(ends_ms),
    });
    json!([alert]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolved_alert_has_the_labels_with_which_it_fired_and_an_end() {
        let fired = Notification {
            event: Event::Fired,
            subject: "ruptura".to_owned(),
            key: "p1".to_owned(),
            since_ms: 1_000,
            at_ms: 2_000,
            ..Notification::default()
        };
        let resolved = Notification { event: Event::Resolved, at_ms: 9_000, ..fired.clone() };
        let parsed = |notification| -> serde_json::Value { serde_json::from_str(&body(notification)).expect("JSON") };
        let (fired, resolved) = (parsed(&fired), parsed(&resolved));
        assert_eq!(fired[0]["labels"], resolved[0]["labels"]);
        assert_eq!(fired[0]["startsAt"], "1970-01-01T00:00:01.000Z");
        assert_eq!(resolved[0]["endsAt"], "1970-01-01T00:00:09.000Z");
        assert!(fired[0]["endsAt"].as_str() > Some("1970-12-31"));
    }
}
