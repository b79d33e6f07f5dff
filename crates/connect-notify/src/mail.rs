//! Mail: one message for each notification, in plain text, through a server that the configuration
//! names.
//!
//! Delivery: at least once. Each attempt has the same `Message-ID`, made of the notification's id,
//! by which mailboxes and people tell repeats; SMTP offers nothing better. A repeat or an end
//! answers the message of the beginning, so that mail programs show them together.

mod target;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_lc_rs::digest;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use vitral_connect::{ConnectError, Event, Notification, Notifier};

pub use self::target::MailTarget;
use self::target::Protection;

/// A server that does not take a connection in this time is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// For a whole conversation: servers keep strangers waiting for some seconds before they greet.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A line of a message has 998 bytes at most, and a `Message-ID` cannot be broken.
const ID_BYTES_MAX: usize = 200;
/// By RFC 3834: nobody's absence is to be answered.
const AUTOMATIC: (&str, &str) = ("Auto-Submitted", "auto-generated");

/// Sends to one server.
#[derive(Debug)]
pub(crate) struct Mail {
    target: MailTarget,
    tls: Tls,
}

impl Mail {
    /// Fails where certificates cannot be used.
    pub fn new(target: MailTarget) -> Result<Self, ConnectError> {
        let parameters = || {
            let mut builder = TlsParameters::builder(target.host.clone());
            if let Some(trusted) = &target.trusted {
                builder = builder.add_root_certificate(trusted.clone());
            }
            builder.build().map_err(|error| ConnectError::permanent(format!("{}: {error}", target.place())))
        };
        let tls = match target.protection {
            Protection::Encrypted => Tls::Wrapper(parameters()?),
            Protection::Upgraded => Tls::Required(parameters()?),
            Protection::Clear => Tls::None,
        };
        Ok(Self { target, tls })
    }

    /// A connection for each message: there are few, and one that a server has closed in between
    /// cannot be taken for one that accepts.
    fn transport(&self) -> AsyncSmtpTransport<Tokio1Executor> {
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.target.host.clone())
            .port(self.target.port)
            .tls(self.tls.clone())
            .timeout(Some(CONNECT_TIMEOUT));
        if let Some((user, password)) = &self.target.sign_in {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        builder.build()
    }

    fn message(&self, notification: &Notification) -> Result<Message, lettre::error::Error> {
        let Notification { id, text, .. } = notification;
        let at = Duration::from_millis(u64::try_from(notification.at_ms).unwrap_or_default());
        let (automatic, generated) = AUTOMATIC;
        let mut builder = Message::builder()
            .from(self.target.from.clone())
            .date(SystemTime::UNIX_EPOCH + at)
            .message_id(Some(self.message_id(id)))
            .subject(one_line(&notification.title))
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(automatic), generated.to_owned()))
            .header(ContentType::TEXT_PLAIN);
        for receiver in &self.target.to {
            builder = builder.to(receiver.clone());
        }
        if let Some(beginning) = beginning(notification) {
            let beginning = self.message_id(&beginning);
            builder = builder.in_reply_to(beginning.clone()).references(beginning);
        }
        builder.body(format!("{text}\n\nid: {id}\n"))
    }

    /// Ids are of visible ASCII; dots would have to stand between other signs.
    fn message_id(&self, id: &str) -> String {
        let mut local = id.replace('.', "%2E");
        if local.len() > ID_BYTES_MAX {
            let hash = digest::digest(&digest::SHA256, id.as_bytes());
            local = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        }
        format!("<{local}@{}>", self.target.from.email.domain())
    }

    fn failed(&self, error: &SmtpError) -> ConnectError {
        let words = format!("{}: {error}", self.target.place());
        // SMTP does not say whether it refuses this message or any, and passwords are corrected. It
        // is there, and others may be what it takes.
        if error.is_permanent() || error.is_client() {
            ConnectError::passing(words)
        } else {
            ConnectError::outage(words)
        }
    }
}

#[async_trait]
impl Notifier for Mail {
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError> {
        let message = self.message(notification).map_err(|error| ConnectError::permanent(error.to_string()))?;
        match tokio::time::timeout(TIMEOUT, self.transport().send(message)).await {
            Ok(outcome) => outcome.map(drop).map_err(|error| self.failed(&error)),
            Err(_) => Err(ConnectError::outage(format!("{}: no answer within {TIMEOUT:?}", self.target.place()))),
        }
    }
}

/// The id of the notification that this one follows.
fn beginning(notification: &Notification) -> Option<String> {
    let (episode, _) = notification.id.rsplit_once('/')?;
    let follows = matches!(notification.event, Event::Repeated | Event::Resolved);
    follows.then(|| format!("{episode}/{}", Event::Fired.name()))
}

/// Keys are anybody's texts.
fn one_line(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect()
}

#[cfg(test)]
mod tests {
    use vitral_connect::Connection;

    use super::*;

    fn mail() -> Mail {
        let mut connection = Connection::to("smtp://127.0.0.1:1025");
        for (key, value) in
            [("from", "Vitral <vitral@example.com>"), ("to", "a@example.com,b@example.com"), ("tls", "off")]
        {
            connection.options.insert(key.to_owned(), value.to_owned());
        }
        Mail::new(MailTarget::new(&connection).expect("a target")).expect("mail")
    }

    fn formatted(notification: &Notification) -> String {
        String::from_utf8(mail().message(notification).expect("a message").formatted()).expect("ASCII")
    }

    #[test]
    fn an_end_answers_the_beginning() {
        let notification = Notification {
            id: "ruptura/p.1/2/resolucao".to_owned(),
            title: "Resolvido: ruptura, p.1\r\nBcc: x@example.com".to_owned(),
            text: "n: 3".to_owned(),
            event: Event::Resolved,
            at_ms: 1_000,
            ..Notification::default()
        };
        let text = formatted(&notification);
        for line in [
            "Message-ID: <ruptura/p%2E1/2/resolucao@example.com>",
            "In-Reply-To: <ruptura/p%2E1/2/disparo@example.com>",
            "Subject: Resolvido: ruptura, p.1  Bcc: x@example.com",
            "Date: Thu, 01 Jan 1970 00:00:01 +0000",
            "Auto-Submitted: auto-generated",
            "id: ruptura/p.1/2/resolucao",
        ] {
            assert!(text.split("\r\n").any(|found| found == line), "{line}: {text}");
        }
        assert_eq!(text, formatted(&notification), "each attempt is the same");
    }

    #[test]
    fn long_ids_fit_into_a_line_and_stay_apart() {
        let (mail, long) = (mail(), "a".repeat(1_500));
        let ids = [format!("{long}/1/disparo"), format!("{long}/1/resolucao")].map(|id| mail.message_id(&id));
        assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() < 100), "{ids:?}");
    }
}
