//! A webhook of one's own: the whole notification as JSON, signed.

use async_trait::async_trait;
use chrono::Utc;
use vitral_connect::{ConnectError, Notification, Notifier};

use crate::http::Client;
use crate::signature::signature;

/// Carries the signature.
const SIGNATURE: &str = "vitral-signature";

/// Posts [`Notification::to_json`].
#[derive(Debug)]
pub(crate) struct Webhook(Client);

impl Webhook {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }
}

#[async_trait]
impl Notifier for Webhook {
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError> {
        let body = notification.to_json();
        let target = &self.0.target;
        let signed = target.signing_key.as_ref().map(|key| signature(key, Utc::now().timestamp(), &body));
        let further: Vec<_> = signed.into_iter().map(|signed| (SIGNATURE, signed)).collect();
        self.0.post(&target.url, &notification.id, body, &further).await
    }
}
