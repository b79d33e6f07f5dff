//! A named connection as the driver takes it.

use std::fmt::Write as _;

use mongodb::options::ConnectionString;
use vitral_connect::{Connection, ConnectionError};

/// The one secret that MongoDB takes.
const PASSWORD: &str = "password";

/// Where the server is, and the database on it.
pub(crate) struct Settings {
    pub(crate) url: ConnectionString,
    pub(crate) database: String,
}

impl TryFrom<&Connection> for Settings {
    type Error = ConnectionError;

    fn try_from(connection: &Connection) -> Result<Self, ConnectionError> {
        let wrong = |reason: &str| connection.error("url", reason);
        match connection.scheme() {
            "mongodb" => {}
            "mongodb+srv" => {
                return Err(wrong(
                    "begins with mongodb+srv://, and hosts are not looked up in DNS: write mongodb:// with all hosts, commas between \
                     them, and options.replicaSet and options.tls as DNS has them",
                ));
            }
            _ => return Err(wrong("does not begin with mongodb://")),
        }
        if let Some(key) = connection.secrets.keys().find(|key| *key != PASSWORD) {
            return Err(connection.error(format!("secrets.{key:?}"), "is not known: MongoDB accepts password"));
        }
        let mut url = connection.url.trim().to_owned();
        if let Some(secret) = connection.secrets.get(PASSWORD) {
            url = with_password(&url, secret.expose()).map_err(wrong)?;
        }
        for (key, value) in &connection.options {
            let separator = match () {
                () if url.ends_with(['?', '&']) => "",
                () if url.contains('?') => "&",
                () if url.matches('/').count() > 2 => "?",
                () => "/?",
            };
            let _ = write!(url, "{separator}{}={}", encoded(key), encoded(value));
        }
        // What the driver says of it may contain parts of it.
        let url = ConnectionString::parse(&url).map_err(|_| {
            wrong("or an option cannot be read: write mongodb://user@host:27017/database, and options as MongoDB names them")
        })?;
        let Some(database) = url.default_database.clone() else {
            return Err(wrong("does not name a database: write mongodb://host:27017/database"));
        };
        Ok(Self { url, database })
    }
}

fn with_password(url: &str, password: &str) -> Result<String, &'static str> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("mongodb", url));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let Some((user, hosts)) = authority.rsplit_once('@') else {
        return Err("does not name a user, and secrets.password is set: write mongodb://user@host:27017/database");
    };
    if user.contains(':') {
        return Err("has a password, and secrets.password is set too: take it out of the URL");
    }
    Ok(format!("{scheme}://{user}:{}@{hosts}{tail}", encoded(password)))
}

/// With every byte that may mean something in a URL as its number.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use vitral_connect::Secret;

    use super::*;

    fn connection(url: &str, password: Option<&str>, options: &[(&str, &str)]) -> Connection {
        let mut connection = Connection::to(url);
        connection.secrets.extend(password.map(|value| (PASSWORD.to_owned(), Secret::new(value.to_owned()))));
        connection.options.extend(options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        connection
    }

    #[test]
    fn password_and_options_become_part_of_it() {
        let url = "mongodb://vitral@a:27017,b/loja?retryReads=false";
        let options = [("replicaSet", "rs0"), ("authSource", "admin"), ("appName", "a b")];
        let settings = Settings::try_from(&connection(url, Some("p@ss/w:rd"), &options)).expect("settings");
        let credential = settings.url.credential.expect("a credential");
        assert_eq!(credential.username.as_deref(), Some("vitral"));
        assert_eq!(credential.source.as_deref(), Some("admin"));
        assert_eq!((settings.database.as_str(), settings.url.replica_set.as_deref()), ("loja", Some("rs0")));
        assert_eq!(settings.url.app_name.as_deref(), Some("a b"));
        assert!(with_password(url, "p@ss/w:rd").is_ok_and(|url| url.contains("vitral:p%40ss%2Fw%3Ard@a")));
        for options in [&[][..], &[("tls", "true")]] {
            Settings::try_from(&connection("mongodb://a/d", None, options)).expect("settings");
        }
    }

    #[test]
    fn what_is_wrong_is_named_without_values() {
        for (url, password, options, words) in [
            ("postgresql://a/hush", None, &[][..], "mongodb://"),
            ("mongodb+srv://a.example.com/hush", None, &[], "mongodb+srv"),
            ("mongodb://a:27017", None, &[], "database"),
            ("mongodb://a:27017", None, &[("tls", "true")], "database"),
            ("mongodb://a:hush/d", None, &[], "cannot be read"),
            ("mongodb://a/d", None, &[("connectTimeoutMS", "hush")], "cannot be read"),
            ("mongodb://u:hush@a/d", Some("hush"), &[], "take it out"),
            ("mongodb://a/d", Some("hush"), &[], "a user"),
        ] {
            let error = Settings::try_from(&connection(url, password, options)).map(|_| ()).expect_err(url).to_string();
            assert!(error.contains(words) && !error.contains("hush"), "{url}: {error}");
        }
    }
}
