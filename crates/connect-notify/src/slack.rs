//! Slack's incoming webhooks, whose form Mattermost, Rocket.Chat, Discord (`/slack`) and others
//! take too.

use async_trait::async_trait;
use vitral_connect::{ConnectError, Notification, Notifier};

use crate::http::Client;

/// Longer texts are refused.
const TEXT_CHARS_MAX: usize = 3_000;

/// Posts `{"text": ...}`.
#[derive(Debug)]
pub(crate) struct Slack(Client);

impl Slack {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }
}

#[async_trait]
impl Notifier for Slack {
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError> {
        let body = serde_json::json!({ "text": text(notification) }).to_string();
        self.0.post(&self.0.target.url, &notification.id, body, &[]).await
    }
}

/// A title and the details. Signs that Slack would read as its own are written as it asks for; the
/// id is there for those who see a repeat.
fn text(notification: &Notification) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let details: String = notification.text.chars().take(TEXT_CHARS_MAX).collect();
    format!("*{}*\n{}\n_{}_", escaped(&notification.title), escaped(&details), escaped(&notification.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_slack_are_escaped_and_long_texts_cut() {
        let notification = Notification {
            id: "a/b/1/disparo".to_owned(),
            title: "<@U1> & mais".to_owned(),
            text: "x".repeat(5_000),
            ..Notification::default()
        };
        let text = text(&notification);
        assert!(text.starts_with("*&lt;@U1&gt; &amp; mais*\n") && text.ends_with("_a/b/1/disparo_"), "{text}");
        assert!(text.len() < 3_100, "{}", text.len());
    }
}
