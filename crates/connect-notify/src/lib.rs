//! Notifiers over HTTP: a webhook of one's own, Slack's incoming webhooks and what has the same form, and Alertmanager.
//!
//! Delivery: at least once. An attempt that failed may have arrived all the same, so every attempt has the notification's id, as
//! `Idempotency-Key`. HTTP offers nothing better. Nothing is followed to another host: what is sent goes where the connection says.

#![warn(missing_docs)]

mod alertmanager;
mod http;
mod notifier;
mod signature;
mod slack;
mod target;
mod webhook;

pub use notifier::notifier;
pub use target::{Format, HttpTarget};
