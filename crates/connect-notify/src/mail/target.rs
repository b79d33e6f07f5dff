//! What a named connection says of a mail server.
//!
//! | Part | Means |
//! |---|---|
//! | `url` | `smtps://host:port` is encrypted from the start (port 465), `smtp://host:port` after STARTTLS (port 587) |
//! | `options.from` | the sender's address |
//! | `options.to` | the receivers' addresses, separated by commas |
//! | `options.user`, `secrets.password` | what to sign in with, if the server wants that |
//! | `options.ca` | a file of certificates to trust besides the system's |
//! | `options.tls` | `off` sends in the clear, as relays within a network have it; never a password, but to this machine |

use std::fmt;
use std::net::IpAddr;

use lettre::message::Mailbox;
use lettre::transport::smtp::client::Certificate;
use url::Url;
use vitral_connect::{Connection, ConnectionError, Secret};

const OPTIONS: [&str; 5] = ["from", "to", "user", "ca", "tls"];
const PASSWORD: &str = "password";
const PORT_ENCRYPTED: u16 = 465;
const PORT_SUBMISSION: u16 = 587;

/// How the way to the server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    /// From the first byte.
    Encrypted,
    /// After STARTTLS, without which nothing is sent.
    Upgraded,
    /// Not at all.
    Clear,
}

/// A mail server and those who get mail through it, as a connection describes them. Its `Debug`
/// shows the server alone.
#[derive(Clone)]
pub struct MailTarget {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) protection: Protection,
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
    pub(super) sign_in: Option<(String, Secret)>,
    pub(super) trusted: Option<Certificate>,
}

impl MailTarget {
    /// Fails where a part is missing, unknown or unreadable, or a password would be sent in the
    /// clear.
    pub fn new(connection: &Connection) -> Result<Self, ConnectionError> {
        let (host, port) = server(connection)?;
        if let Some(key) = connection.options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
            let reason = format!("is not an option of mail: it may be one of {}", OPTIONS.join(", "));
            return Err(connection.error(format!("options.{key:?}"), reason));
        }
        if let Some(key) = connection.secrets.keys().find(|key| key.as_str() != PASSWORD) {
            return Err(connection.error(format!("secrets.{key:?}"), "is not a secret of mail: it has password"));
        }
        let protection = match (connection.options.get("tls").map(String::as_str), connection.scheme()) {
            (Some("off"), "smtp") => Protection::Clear,
            (Some("off"), _) => {
                return Err(connection.error("options.tls", "is off, which smtps:// is not: write smtp://host"));
            }
            (Some("required") | None, "smtps") => Protection::Encrypted,
            (Some("required") | None, _) => Protection::Upgraded,
            (Some(_), _) => return Err(connection.error("options.tls", "is not known: use required or off")),
        };
        let sign_in = sign_in(connection)?;
        if protection == Protection::Clear && sign_in.is_some() && !is_local(&host) {
            return Err(
                connection.error("options.tls", "is off and would send the password in the clear: leave it out")
            );
        }
        let trusted = connection.options.get("ca").map(|path| {
            let wrong = |reason: String| connection.error("options.ca", format!("cannot be read: {reason}"));
            let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            Certificate::from_pem(&pem).map_err(|error| wrong(error.to_string()))
        });
        Ok(Self {
            port: port.unwrap_or(if protection == Protection::Encrypted { PORT_ENCRYPTED } else { PORT_SUBMISSION }),
            host,
            protection,
            from: addresses(connection, "from")?.remove(0),
            to: addresses(connection, "to")?,
            sign_in,
            trusted: trusted.transpose()?,
        })
    }

    /// `host:port`, for messages.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for MailTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailTarget").field("place", &self.place()).finish_non_exhaustive()
    }
}

fn server(connection: &Connection) -> Result<(String, Option<u16>), ConnectionError> {
    let wrong = |reason: &str| connection.error("url", reason);
    let url = Url::parse(connection.url.trim())
        .ok()
        .filter(|url| ["smtp", "smtps"].contains(&url.scheme()))
        .ok_or_else(|| wrong("is not a URL of smtp or smtps: write where the mail server is, such as smtps://host"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("contains a user or a password: set user among the options and password among the secrets"));
    }
    if !["", "/"].contains(&url.path()) || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("continues after the server: write smtps://host:port, and the rest among the options"));
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if host.is_empty() {
        return Err(wrong("has no host: write smtps://host"));
    }
    Ok((host, url.port()))
}

fn sign_in(connection: &Connection) -> Result<Option<(String, Secret)>, ConnectionError> {
    match (connection.options.get("user"), connection.secrets.get(PASSWORD)) {
        (Some(user), Some(password)) => Ok(Some((user.clone(), password.clone()))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(connection.error("secrets.password", "is missing: set it, or leave options.user out")),
        (None, Some(_)) => Err(connection.error("options.user", "is missing: set it, or leave secrets.password out")),
    }
}

/// One address at least.
fn addresses(connection: &Connection, key: &str) -> Result<Vec<Mailbox>, ConnectionError> {
    let name = format!("options.{key}");
    let text = connection.options.get(key).map_or("", String::as_str);
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let found = parts.map(str::parse).collect::<Result<Vec<Mailbox>, _>>();
    let found = found.map_err(|_| connection.error(&name, "holds what is not an address: write name@host"))?;
    match (found.len(), key) {
        (0, _) => Err(connection.error(name, "is missing: write an address, such as name@host")),
        (1, _) | (_, "to") => Ok(found),
        _ => Err(connection.error(name, "holds several addresses: mail has one sender")),
    }
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn target(url: &str, options: Pairs<'_>, secrets: Pairs<'_>) -> Result<MailTarget, String> {
        let mut connection = Connection::to(url);
        let both = [("from", "vitral@example.com"), ("to", "a@example.com, B <b@example.com>")];
        for (key, value) in both.iter().chain(options) {
            connection.options.insert((*key).to_owned(), (*value).to_owned());
        }
        let secrets = secrets.iter().map(|(key, value)| ((*key).to_owned(), Secret::new((*value).to_owned())));
        connection.secrets.extend(secrets);
        MailTarget::new(&connection).map_err(|error| error.to_string())
    }

    #[test]
    fn the_way_is_encrypted_unless_somebody_says_otherwise() {
        let found = target("smtps://mail.example.com", &[("user", "u")], &[("password", "hush")]).expect("valid");
        assert_eq!((found.place().as_str(), found.protection), ("mail.example.com:465", Protection::Encrypted));
        assert_eq!(found.to.len(), 2);
        assert!(!format!("{found:?}").contains("hush"));
        let found = target("smtp://mail.example.com/", &[], &[]).expect("valid");
        assert_eq!((found.port, found.protection), (587, Protection::Upgraded));
        let off = [("tls", "off"), ("user", "u")];
        assert_eq!(target("smtp://mail.example.com:25", &off[..1], &[]).expect("valid").protection, Protection::Clear);
        for local in ["smtp://127.0.0.1:1025", "smtp://localhost:1025", "smtp://[::1]:1025"] {
            assert_eq!(target(local, &off, &[("password", "hush")]).expect(local).port, 1025);
        }
    }

    #[test]
    fn what_is_wrong_is_named_without_its_value() {
        let password: Pairs<'_> = &[("password", "hush")];
        let cases: [(&str, Pairs<'_>, Pairs<'_>, &str); 15] = [
            ("mail.example.com", &[], &[], "is not a URL"),
            ("smtps://", &[], &[], "has no host"),
            ("smtps://u:hush@mail.example.com", &[], &[], "among the secrets"),
            ("smtps://mail.example.com/a@b", &[], &[], "continues after the server"),
            ("smtps://mail.example.com", &[("subject", "x")], &[], "options.\"subject\""),
            ("smtps://mail.example.com", &[], &[("token", "hush")], "secrets.\"token\""),
            ("smtps://mail.example.com", &[], password, "options.user is missing"),
            ("smtps://mail.example.com", &[("user", "u")], &[], "secrets.password is missing"),
            ("smtps://mail.example.com", &[("tls", "off")], &[], "options.tls is off"),
            ("smtps://mail.example.com", &[("tls", "maybe")], &[], "options.tls is not known"),
            ("smtp://mail.example.com", &[("tls", "off"), ("user", "u")], password, "in the clear"),
            ("smtps://mail.example.com", &[("from", "nobody")], &[], "options.from holds"),
            ("smtps://mail.example.com", &[("from", "a@b.c, d@e.f")], &[], "several addresses"),
            ("smtps://mail.example.com", &[("to", " , ")], &[], "options.to is missing"),
            ("smtps://mail.example.com", &[("ca", "/nowhere/ca.pem")], &[], "options.ca cannot be read"),
        ];
        for (url, options, secrets, words) in cases {
            let error = target(url, options, secrets).expect_err(words);
            assert!(error.contains(words) && !error.contains("hush"), "{words}: {error}");
        }
    }
}
