//! Which notifier a receiver has.

use vitral_connect::{ConnectError, Notifier};

use crate::alertmanager::Alertmanager;
use crate::http::Client;
use crate::mail::{Mail, MailTarget};
use crate::slack::Slack;
use crate::target::{Format, HttpTarget};
use crate::webhook::Webhook;

/// The notifier of a receiver. Fails where this machine's certificates cannot be read.
pub fn notifier(target: HttpTarget) -> Result<Box<dyn Notifier>, ConnectError> {
    let format = target.format;
    let client = Client::new(target)?;
    Ok(match format {
        Format::Webhook => Box::new(Webhook::new(client)),
        Format::Slack => Box::new(Slack::new(client)),
        Format::Alertmanager => Box::new(Alertmanager::new(client)?),
    })
}

/// The notifier of a mail server. Fails where certificates cannot be used.
pub fn mail_notifier(target: MailTarget) -> Result<Box<dyn Notifier>, ConnectError> {
    Ok(Box::new(Mail::new(target)?))
}
