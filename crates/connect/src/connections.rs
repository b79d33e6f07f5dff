//! Named connections: how an outside system is reached, under the one name that settings and SQL
//! use for it.
//!
//! `[connections.NAME]` in the configuration holds a `url`, `options` and `secrets`. SQL says
//! `connection = 'NAME'`, so that no catalog contains an address or a secret. What a connection's
//! parts mean is up to the implementation that takes it.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const HIDDEN: &str = "(hidden)";

/// How an outside system is reached. Its `Debug` shows neither the URL, which may hold a password,
/// nor any value.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connection {
    /// Where the system is: `kafka://host:port,host:port`, `postgresql://user@host/database`,
    /// `redshift://user@host/database`, `mongodb://user@host:port/database`,
    /// `redis://user@host:port` or `https://host`; for notifications `https://host/path` or
    /// `smtps://host`.
    pub url: String,
    /// Settings of the system's client: librdkafka's for Kafka, such as
    /// `"security.protocol" = "SASL_SSL"`; parameters of the URL for a database, such as `sslmode`
    /// or MongoDB's `replicaSet`; `ca` for HTTP and Redis, a file of trusted certificates; `format`
    /// of notifications (`webhook`, `slack`, `alertmanager`); `from`, `to`, `user`, `ca` and `tls`
    /// for mail.
    pub options: BTreeMap<String, String>,
    /// Settings that are never printed: `"sasl.password"` for Kafka, `password` for a database,
    /// Redis or mail, `authorization` for HTTP; `path`, `token` and `signing_key` for
    /// notifications. They belong in the environment.
    pub secrets: BTreeMap<String, Secret>,
    #[serde(skip)]
    name: String,
}

/// A value that is never printed, logged or written back: `Debug` and `Serialize` show `(hidden)`,
/// and its memory is cleared.
#[derive(Clone)]
pub struct Secret(SecretString);

/// Every connection of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Connections(BTreeMap<String, Connection>);

/// Why a connection cannot be used. No message contains a value of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// Nothing is declared under the name.
    #[error("there is no connection {name:?}: declare [connections.{name}] with its url{}", or_one_of(.known))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names of those that are declared and of the right kind.
        known: Vec<String>,
    },
    /// The environment could not name it, or SQL would have to quote it.
    #[error(
        "connections.{name}: a connection's name begins with a lower-case letter and continues with lower-case letters, digits and single \
         underscores; rename it"
    )]
    Name {
        /// The name as it was declared.
        name: String,
    },
    /// A part of it is missing, or is not what this kind of system takes.
    #[error("connections.{name}.{key} {reason}")]
    Setting {
        /// The connection's name.
        name: String,
        /// `url`, `options.KEY` or `secrets.KEY`.
        key: String,
        /// What is wrong with it, and what to write instead.
        reason: String,
    },
}

impl ConnectionError {
    /// What to do where a catalog names the connection.
    pub fn remedy(&self) -> String {
        match self {
            Self::Unknown { name, .. } => {
                format!("declare [connections.{name}] with its url in the configuration, or name another connection")
            }
            Self::Name { name } | Self::Setting { name, .. } => {
                format!("correct [connections.{name}] of the configuration, or name another connection")
            }
        }
    }
}

fn or_one_of(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!(", or use one of these: {}", known.join(", ")) }
}

impl Connections {
    /// The connections under their names. Fails where a name is not allowed, a URL is missing, or a
    /// setting is both an option and a secret.
    pub fn new(declared: BTreeMap<String, Connection>) -> Result<Self, ConnectionError> {
        let mut connections = BTreeMap::new();
        for (name, connection) in declared {
            if !is_name(&name) {
                return Err(ConnectionError::Name { name });
            }
            let connection = Connection { name: name.clone(), ..connection };
            if connection.url.trim().is_empty() {
                return Err(connection.error("url", "is missing: write where the system is, such as kafka://host:9092"));
            }
            if let Some(key) = connection.secrets.keys().find(|key| connection.options.contains_key(*key)) {
                let reason = "is among the options too: keep it only among the secrets";
                return Err(connection.error(format!("secrets.{key:?}"), reason));
            }
            connections.insert(name, connection);
        }
        Ok(Self(connections))
    }

    /// The connection of this name. Fails where there is none, with the names of those whose URL
    /// has one of `schemes`: the caller can use no others.
    pub fn get(&self, name: &str, schemes: &[&str]) -> Result<&Connection, ConnectionError> {
        self.0.get(name).ok_or_else(|| {
            let known = self.0.iter().filter(|(_, connection)| schemes.contains(&connection.scheme()));
            let known = known.map(|(name, _)| name.clone()).collect();
            ConnectionError::Unknown { name: name.to_owned(), known }
        })
    }
}

impl Connection {
    /// A connection without options and secrets.
    pub fn to(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// The part of the URL before `://`; empty where it has none.
    pub fn scheme(&self) -> &str {
        self.url.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// What is wrong with one of its parts: `url`, `options.KEY` or `secrets.KEY`. `reason` must
    /// not contain the value.
    pub fn error(&self, key: impl Into<String>, reason: impl Into<String>) -> ConnectionError {
        ConnectionError::Setting { name: self.name.clone(), key: key.into(), reason: reason.into() }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<&String> = self.options.keys().collect();
        let secrets: Vec<&String> = self.secrets.keys().collect();
        f.debug_struct("Connection")
            .field("name", &self.name)
            .field("scheme", &self.scheme())
            .field("options", &options)
            .field("secrets", &secrets)
            .finish_non_exhaustive()
    }
}

impl Secret {
    /// Hides a value.
    pub fn new(value: String) -> Self {
        Self(value.into())
    }

    /// The value, for the client that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Takes strings alone, and refuses other values without repeating them, as serde's own errors
/// would.
struct SecretVisitor;

impl SecretVisitor {
    fn refused<E: Error>() -> Result<Secret, E> {
        Err(E::custom("a secret must be a string: put it in quotes"))
    }
}

impl Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Secret, E> {
        Ok(Secret::new(value.to_owned()))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        Self::refused()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Self::refused()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        Self::refused()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Self::refused()
    }
}

/// Whether the environment and SQL can write the name as it stands: two underscores separate keys
/// in the environment.
fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(is_allowed)
        && !name.contains("__")
        && !name.ends_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(
        declared: impl IntoIterator<Item = (&'static str, Connection)>,
    ) -> Result<Connections, ConnectionError> {
        Connections::new(declared.into_iter().map(|(name, connection)| (name.to_owned(), connection)).collect())
    }

    #[test]
    fn a_name_that_is_not_declared_is_refused_with_those_that_are() {
        let known =
            connections([("kafka", Connection::to("kafka://a:9092")), ("armazem", Connection::to("postgresql://b/c"))]);
        let known = known.expect("valid");
        assert_eq!(known.get("kafka", &["kafka"]).expect("declared").scheme(), "kafka");
        let error = known.get("kafak", &["kafka", "postgresql"]).expect_err("misspelt").to_string();
        assert!(error.contains("\"kafak\"") && error.ends_with("one of these: armazem, kafka"), "{error}");
        let error = known.get("armazen", &["postgresql"]).expect_err("misspelt").to_string();
        assert!(error.ends_with("one of these: armazem"), "of that kind alone: {error}");
        let error = known.get("perfis", &["mongodb"]).expect_err("none of that kind");
        assert!(error.to_string().ends_with("[connections.perfis] with its url"), "{error}");
        assert!(error.remedy().starts_with("declare [connections.perfis]"), "{}", error.remedy());
    }

    #[test]
    fn names_that_the_environment_cannot_write_are_refused() {
        for name in ["Kafka", "k-1", "1k", "a__b", "a_", "", "ação"] {
            let error = connections([(name, Connection::to("kafka://a:9092"))]).expect_err(name);
            assert_eq!(error, ConnectionError::Name { name: name.to_owned() });
        }
        connections([("kafka_2", Connection::to("kafka://a:9092"))]).expect("a name");
    }

    #[test]
    fn what_is_missing_or_said_twice_is_named_without_its_value() {
        let error = connections([("kafka", Connection::default())]).expect_err("no URL").to_string();
        assert!(error.starts_with("connections.kafka.url is missing"), "{error}");
        let mut twice = Connection::to("kafka://a:9092");
        twice.options.insert("sasl.password".to_owned(), "hush".to_owned());
        twice.secrets.insert("sasl.password".to_owned(), Secret::new("hush".to_owned()));
        let error = connections([("kafka", twice)]).expect_err("twice").to_string();
        assert!(error.contains("connections.kafka.secrets.\"sasl.password\"") && !error.contains("hush"), "{error}");
    }

    #[test]
    fn values_are_not_printed() {
        let mut connection = Connection::to("postgresql://u:hush@db.example.com/shop");
        connection.options.insert("sslmode".to_owned(), "hush".to_owned());
        connection.secrets.insert("password".to_owned(), Secret::new("hush".to_owned()));
        let shown = format!("{connection:?} {:?}", connections([("armazem", connection.clone())]));
        assert!(!shown.contains("hush") && shown.contains("password") && shown.contains("postgresql"), "{shown}");
        assert_eq!(connection.secrets["password"].expose(), "hush");
        assert_ne!(connection.secrets["password"], Secret::new("other".to_owned()));
    }
}
