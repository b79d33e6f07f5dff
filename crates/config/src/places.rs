//! Where each value was said, so that an error can name the file or the variable.

use std::collections::BTreeMap;

use figment::value::Value;
use figment::{Figment, Provider as _};
use vitral_catalog::Diagnostic;
use vitral_connect::ConnectionError;

use super::values::NEXT;
use super::{ConfigError, layers};

/// Keys, or what they begin with, and what they were called before. What is wrong is said of the
/// key as it stands in the file.
const FORMER: [(&str, &str); 5] = [
    ("domain.", "shop."),
    ("stream.commit_interval_ms", "stream.cycle_ms"),
    ("stream.live_refresh_ms", "stream.refresh_ms"),
    ("stream.uncommitted_bytes_max", "stream.uncommitted_bytes"),
    ("warehouse.pool_size", "warehouse.connections"),
];

/// The file or the variable of each key that a layer over the defaults has.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Places(BTreeMap<String, String>);

impl Places {
    pub(super) fn of(figment: &Figment) -> Self {
        let mut places = Self::default();
        // A layer that cannot be read has been refused before.
        for (key, value) in figment.data().into_iter().flatten().flat_map(|(_, layer)| layer) {
            places.add(figment, key, &value);
        }
        places
    }

    fn add(&mut self, figment: &Figment, key: String, value: &Value) {
        if let Value::Dict(_, values) = value {
            for (name, value) in values {
                self.add(figment, format!("{key}.{name}"), value);
            }
        }
        if let Some(place) = figment.get_metadata(value.tag()).and_then(|metadata| layers::place(metadata, &key)) {
            self.0.insert(key, place);
        }
    }

    /// A key that is read from the environment as it stands there.
    pub(super) fn add_variable(&mut self, key: String, variable: &str) {
        self.0.insert(key, layers::in_environment(variable));
    }

    /// The key with the place that said it; the key alone if nothing did.
    pub(super) fn key(&self, key: &str) -> String {
        let former = FORMER.iter().filter_map(|(now, former)| Some(format!("{former}{}", key.strip_prefix(now)?)));
        let found = std::iter::once(key.to_owned()).chain(former).find_map(|key| Some((self.0.get(&key)?, key)));
        found.map_or_else(|| key.to_owned(), |(place, key)| format!("{key}{place}"))
    }

    /// A sentence that begins with a key.
    fn sentence(&self, sentence: &str) -> String {
        let (key, rest) = sentence.split_at(sentence.find([' ', ':']).unwrap_or(sentence.len()));
        self.key(key) + rest
    }

    pub(super) fn diagnostic(&self, error: Diagnostic) -> Diagnostic {
        Diagnostic { message: self.sentence(&error.message), ..error }
    }

    /// The error with the place of each value that it refuses.
    pub(super) fn error(&self, error: ConfigError) -> ConfigError {
        match error {
            ConfigError::Wrong(problems) => {
                let problems = problems.split(NEXT).map(|problem| self.sentence(problem));
                ConfigError::Wrong(problems.collect::<Vec<_>>().join(NEXT))
            }
            ConfigError::Connection(source) => ConfigError::Connection(self.connection(source)),
            ConfigError::NamedConnection { key, source } => {
                ConfigError::NamedConnection { key: self.key(&key), source: self.connection(source) }
            }
            other => other,
        }
    }

    fn connection(&self, error: ConnectionError) -> ConnectionError {
        match error {
            ConnectionError::Name { name } => {
                let place = self.place(&format!("connections.{name}"));
                ConnectionError::Name { name: format!("{name}{place}") }
            }
            ConnectionError::Setting { name, key, reason } => {
                let place = self.setting(&format!("connections.{name}"), &key);
                ConnectionError::Setting { name, key: format!("{key}{place}"), reason }
            }
            other => other,
        }
    }

    /// The place of a connection's setting. What is missing is missing in the connection's table.
    fn setting(&self, connection: &str, key: &str) -> &str {
        // Kafka's `sasl.password`, in quotes here, is `sasl_password` in the environment.
        let key = key.replace('"', "");
        let (kind, name) = key.split_once('.').unwrap_or((&key, ""));
        let variable = format!("{connection}.{kind}.{}", name.replace('.', "_"));
        let found = self.0.get(&variable).or_else(|| self.0.get(&format!("{connection}.{key}")));
        found.map_or_else(|| self.place(connection), String::as_str)
    }

    fn place(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }
}
