//! Who is notified of alerts and reports that name nobody.

use serde::{Deserialize, Serialize};
use vitral_connect::ConnectionError;
use vitral_connect_kafka::KafkaConfig;
use vitral_connect_notify::{HttpTarget, MailTarget};

use crate::{Config, ConfigError};

/// The schemes of a URL through which people can be notified.
const RECEIVERS: [&str; 5] = ["kafka", "http", "https", "smtp", "smtps"];

/// Who is notified of alerts and reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// The connections through which people are notified of alerts and reports that have no
    /// `notify`; without one, they are shown and not sent.
    pub notify: Vec<String>,
}

/// What people are notified through.
#[derive(Debug)]
pub enum Receiver {
    /// A topic of this cluster.
    Kafka(KafkaConfig),
    /// This address.
    Http(Box<HttpTarget>),
    /// This mail server.
    Mail(Box<MailTarget>),
}

impl Config {
    /// What a connection is, by its URL. Fails where nobody can be notified through it.
    pub fn receiver(&self, name: &str) -> Result<Receiver, ConfigError> {
        let connections = self.connections()?;
        let connection = connections.get(name, &RECEIVERS)?;
        Ok(match connection.scheme() {
            "kafka" => Receiver::Kafka(KafkaConfig::try_from(connection)?),
            "http" | "https" => Receiver::Http(Box::new(HttpTarget::new(connection, &self.http.allowed_hosts)?)),
            "smtp" | "smtps" => Receiver::Mail(Box::new(MailTarget::new(connection)?)),
            _ => {
                return Err(not_a_receiver(connection).into());
            }
        })
    }

    /// Connections that are named for all alerts and through which nobody can be notified.
    pub(crate) fn check_receivers(&self) -> Result<(), ConfigError> {
        let wrong = |error| match error {
            ConfigError::Connection(source) => ConfigError::NamedConnection { key: "alerts.notify".to_owned(), source },
            other => other,
        };
        self.alerts.notify.iter().try_for_each(|name| self.receiver(name).map(|_| ()).map_err(wrong))
    }
}

fn not_a_receiver(connection: &vitral_connect::Connection) -> ConnectionError {
    let words =
        "is not one through which people can be notified: write https://host/path, smtps://host or kafka://host:port";
    connection.error("url", words)
}

#[cfg(test)]
mod tests {
    use crate::tests::load;

    #[test]
    fn connections_for_all_alerts_are_checked() {
        let text = "[connections.operacao]\nurl = 'https://hooks.example.com/x'\n[connections.banco]\nurl = 'postgresql://a/b'\n\
                    [connections.correio]\nurl = 'smtps://mail.example.com'\n\
                    options = { from = 'a@example.com', to = 'b@example.com' }\n\
                    [http]\nallowed_hosts = ['hooks.example.com']\n[alerts]\nnotify = ";
        let config = load(&format!("{text}['operacao', 'kafka', 'correio']")).expect("all are sound");
        assert!(!config.warnings().iter().any(|warning| warning.contains("operacao")), "{:?}", config.warnings());
        for (names, words) in [("['nada']", "there is no connection"), ("['banco']", "is not one through which")] {
            let error = load(&format!("{text}{names}")).expect_err(names);
            let error = format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string));
            assert!(error.contains("alerts.notify") && error.contains(words), "{error}");
        }
    }
}
