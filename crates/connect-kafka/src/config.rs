//! How Kafka is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use vitral_connect::{Connection, ConnectionError};

const SCHEME: &str = "kafka://";
/// Where a broker listens that is named without a port.
const PORT: &str = "9092";

/// One cluster, as one user. Its `Debug` shows no value of its options, among which are passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Further settings of the client library (`security.protocol`, `sasl.username`, ...).
    pub options: BTreeMap<String, String>,
}

impl TryFrom<&Connection> for KafkaConfig {
    type Error = ConnectionError;

    /// The brokers of a URL `kafka://host:port,host:port`, with the connection's options and
    /// secrets as settings of the client library. Fails where the URL is of another kind or
    /// contains more than brokers; the settings are checked where a client is made.
    fn try_from(connection: &Connection) -> Result<Self, ConnectionError> {
        let wrong = |reason: &str| Err(connection.error("url", reason));
        let Some(brokers) = connection.url.trim().strip_prefix(SCHEME) else {
            return wrong("does not begin with kafka://: write kafka://host:port, several brokers separated by commas");
        };
        let brokers = brokers.trim_end_matches('/');
        if brokers.contains('@') {
            return wrong(
                "contains an @: it is host:port alone; set \"sasl.username\" among the options and \"sasl.password\" among the secrets",
            );
        }
        if brokers.is_empty() || brokers.contains(['?', '#']) {
            return wrong("is not kafka://host:port: name the brokers, and put settings among the options");
        }
        let secrets = connection.secrets.iter().map(|(key, secret)| (key.clone(), secret.expose().to_owned()));
        Ok(Self {
            brokers: brokers.to_owned(),
            options: connection.options.clone().into_iter().chain(secrets).collect(),
        })
    }
}

impl KafkaConfig {
    /// Whether both name a broker in common: then they are one cluster. What goes by several names
    /// is not known to be one.
    pub fn shares_broker(&self, other: &Self) -> bool {
        let brokers = |config: &Self| -> BTreeSet<String> {
            let listed = config.brokers.split(',').filter(|broker| !broker.trim().is_empty());
            listed.map(address).collect()
        };
        !brokers(self).is_disjoint(&brokers(other))
    }
}

/// A broker's address, in one form for each.
fn address(broker: &str) -> String {
    let broker = broker.trim().to_lowercase();
    let (host, port) = match broker.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (broker.as_str(), PORT),
    };
    let host = if matches!(host, "localhost" | "[::1]") { "127.0.0.1" } else { host };
    format!("{host}:{port}")
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<&String> = self.options.keys().collect();
        f.debug_struct("KafkaConfig").field("brokers", &self.brokers).field("options", &options).finish()
    }
}

#[cfg(test)]
mod tests {
    use vitral_connect::Secret;

    use super::*;

    #[test]
    fn a_broker_in_common_makes_one_cluster() {
        let config = |brokers: &str| KafkaConfig { brokers: brokers.to_owned(), ..KafkaConfig::default() };
        for (one, other, is_one) in [
            ("a:9092", "a:9092", true),
            ("a:9092, b:9092", "c:9092,B", true),
            ("localhost:9092", "127.0.0.1", true),
            ("[::1]", "localhost:9092", true),
            ("a:9092", "a:9093", false),
            ("a:9092", "b:9092", false),
        ] {
            assert_eq!(config(one).shares_broker(&config(other)), is_one, "{one} {other}");
        }
    }

    #[test]
    fn a_connection_s_options_and_secrets_are_the_client_s_settings() {
        let mut connection = Connection::to("kafka://a:9092,b:9093/");
        connection.options.insert("sasl.username".to_owned(), "shop".to_owned());
        connection.secrets.insert("sasl.password".to_owned(), Secret::new("hush".to_owned()));
        let config = KafkaConfig::try_from(&connection).expect("valid");
        assert_eq!(config.brokers, "a:9092,b:9093");
        assert_eq!(
            (config.options["sasl.username"].as_str(), config.options["sasl.password"].as_str()),
            ("shop", "hush")
        );
        let shown = format!("{config:?}");
        assert!(!shown.contains("hush") && shown.contains("sasl.password"), "{shown}");
    }

    #[test]
    fn a_url_that_names_no_brokers_or_more_than_them_is_refused() {
        for (url, word) in [
            ("postgresql://hush@db/shop", "kafka://host:port"),
            ("a:9092", "kafka://host:port"),
            ("kafka://", "name the brokers"),
            ("kafka://a:9092?hush=1", "options"),
            ("kafka://u:hush@a:9092", "sasl.password"),
        ] {
            let error = KafkaConfig::try_from(&Connection::to(url)).expect_err(url).to_string();
            assert!(error.contains(word) && !error.contains("hush"), "{url}: {error}");
        }
    }
}
