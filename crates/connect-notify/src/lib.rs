//! Notifiers over HTTP and by mail: a webhook of one's own, Slack's incoming webhooks and what has
//! the same form, Alertmanager, SMTP.
//!
//! Delivery: at least once. An attempt that failed may have arrived all the same, so every attempt
//! has the notification's id, as `Idempotency-Key` or `Message-ID`. Neither protocol offers
//! anything better. Nothing is followed to another host: what is sent goes where the connection
//! says.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod alertmanager;
mod http;
mod mail;
mod notifier;
mod signature;
mod slack;
mod target;
mod webhook;

pub use mail::MailTarget;
pub use notifier::{mail_notifier, notifier};
pub use target::{Format, HttpTarget};
