//! What a named connection says of an HTTP receiver.
//!
//! | Part | Means |
//! |---|---|
//! | `url` | `https://host/path` or `http://host/path` |
//! | `options.format` | `webhook` (the default), `slack` or `alertmanager` |
//! | `secrets.path` | what is put behind the URL: the part of a webhook's address that nobody should see |
//! | `secrets.token` | sent as `Authorization: Bearer` |
//! | `secrets.signing_key` | what a webhook's body is signed with |

use std::fmt;

use reqwest::header::HeaderValue;
use url::Url;
use vitral_connect::{Connection, ConnectionError, Secret};

const OPTIONS: [&str; 1] = ["format"];
const SECRETS: [&str; 3] = ["path", "token", "signing_key"];
/// A shorter key could be guessed.
const SIGNING_KEY_BYTES_MIN: usize = 16;

/// In which form notifications are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// All of a notification as one JSON object, signed if there is a key.
    Webhook,
    /// One text, as Slack's incoming webhooks take it.
    Slack,
    /// Alertmanager's API, version 2.
    Alertmanager,
}

/// A receiver, as a connection describes it. Its `Debug` shows its host alone.
#[derive(Clone)]
pub struct HttpTarget {
    pub(crate) url: Url,
    pub(crate) format: Format,
    pub(crate) token: Option<Secret>,
    pub(crate) signing_key: Option<Secret>,
}

impl HttpTarget {
    /// Fails where a part is missing or unknown, or the host is not one of `hosts`.
    pub fn new(connection: &Connection, hosts: &[String]) -> Result<Self, ConnectionError> {
        let wrong = |reason: &str| connection.error("url", reason);
        let mut url = Url::parse(connection.url.trim())
            .ok()
            .filter(|url| ["http", "https"].contains(&url.scheme()) && url.host_str().is_some())
            .ok_or_else(|| {
                wrong("is not a URL of http or https: write where notifications go, such as https://host/path")
            })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("contains a user or a password: set \"token\" among the secrets"));
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        if !hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(&host)) {
            return Err(wrong(&format!(
                "is of the host {host}, which http.allowed_hosts does not allow: add it there"
            )));
        }
        if let Some(key) = connection.options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
            let reason = format!("is not an option of a receiver: it may be one of {}", OPTIONS.join(", "));
            return Err(connection.error(format!("options.{key:?}"), reason));
        }
        if let Some(key) = connection.secrets.keys().find(|key| !SECRETS.contains(&key.as_str())) {
            let reason = format!("is not a secret of a receiver: it may be one of {}", SECRETS.join(", "));
            return Err(connection.error(format!("secrets.{key:?}"), reason));
        }
        let format = match connection.options.get("format").map_or("webhook", String::as_str) {
            "webhook" => Format::Webhook,
            "slack" => Format::Slack,
            "alertmanager" => Format::Alertmanager,
            _ => return Err(connection.error("options.format", "is not known: use webhook, slack or alertmanager")),
        };
        let signing_key = connection.secrets.get("signing_key").cloned();
        if signing_key.as_ref().is_some_and(|key| key.expose().len() < SIGNING_KEY_BYTES_MIN) {
            let reason = format!("is too short: use {SIGNING_KEY_BYTES_MIN} bytes or more");
            return Err(connection.error("secrets.signing_key", reason));
        }
        let token = connection.secrets.get("token").cloned();
        if token.as_ref().is_some_and(|token| HeaderValue::from_str(token.expose()).is_err()) {
            return Err(connection.error("secrets.token", "contains control characters, such as the end of a line"));
        }
        if let Some(path) = connection.secrets.get("path") {
            let whole = format!("{}/{}", url.path().trim_end_matches('/'), path.expose().trim_start_matches('/'));
            url.set_path(&whole);
        }
        Ok(Self { url, format, token, signing_key })
    }

    /// `scheme://host:port`, for messages.
    pub(crate) fn place(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl fmt::Debug for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTarget").field("place", &self.place()).field("format", &self.format).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(url: &str, options: &[(&str, &str)], secrets: &[(&str, &str)]) -> Connection {
        let mut connection = Connection::to(url);
        connection.options.extend(options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let secrets = secrets.iter().map(|(key, value)| ((*key).to_owned(), Secret::new((*value).to_owned())));
        connection.secrets.extend(secrets);
        connection
    }

    fn target(connection: &Connection) -> Result<HttpTarget, String> {
        HttpTarget::new(connection, &["hooks.example.com".to_owned()]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_path_is_part_of_the_url_and_never_shown() {
        let secrets = [("path", "/services/T0/hush"), ("signing_key", "0123456789abcdef")];
        let found =
            target(&connection("https://hooks.example.com/v1/", &[("format", "slack")], &secrets)).expect("valid");
        assert_eq!(found.url.as_str(), "https://hooks.example.com/v1/services/T0/hush");
        assert_eq!(found.format, Format::Slack);
        assert!(!format!("{found:?}").contains("hush") && found.place() == "https://hooks.example.com", "{found:?}");
    }

    #[test]
    fn what_is_wrong_is_named_without_its_value() {
        for (connection, words) in [
            (connection("hooks.example.com", &[], &[]), "is not a URL"),
            (connection("ftp://hooks.example.com", &[], &[]), "is not a URL"),
            (connection("https://u:hush@hooks.example.com", &[], &[]), "among the secrets"),
            (connection("https://other.example.com/hook", &[], &[]), "http.allowed_hosts does not allow"),
            (connection("https://hooks.example.com", &[("format", "sms")], &[]), "options.format is not known"),
            (connection("https://hooks.example.com", &[("form", "slack")], &[]), "options.\"form\""),
            (connection("https://hooks.example.com", &[], &[("password", "hush")]), "secrets.\"password\""),
            (connection("https://hooks.example.com", &[], &[("signing_key", "hush")]), "too short"),
            (connection("https://hooks.example.com", &[], &[("token", "hush\n")]), "control characters"),
        ] {
            let error = target(&connection).expect_err(words);
            assert!(error.contains(words) && !error.contains("hush"), "{words}: {error}");
        }
    }
}
