//! Notifiers of the connections that alerts and reports name, and what is wrong with those that
//! they name.

use std::sync::Arc;

use vitral_catalog::{Catalog, Diagnostic};
use vitral_config::{Config, ConfigError, Receiver};
use vitral_connect::Notifier;
use vitral_connect_kafka::KafkaNotifier;
use vitral_react::{Alerts, Destination, Notifiers};

/// Everything that is named, opened; nothing is sent or asked yet.
pub fn notifiers(config: &Config, catalog: &Catalog) -> anyhow::Result<Notifiers> {
    let mut notifiers = Notifiers::default();
    for destination in Alerts::destinations(catalog, &config.alerts.notify) {
        let notifier = notifier(config, &destination)?;
        notifiers.add(destination, notifier);
    }
    Ok(notifiers)
}

/// The one for a destination.
pub fn notifier(config: &Config, destination: &Destination) -> anyhow::Result<Arc<dyn Notifier>> {
    Ok(match config.receiver(&destination.connection)? {
        Receiver::Kafka(kafka) => Arc::new(KafkaNotifier::new(&kafka, &destination.topic)?),
        Receiver::Http(target) => vitral_connect_notify::notifier(*target)?.into(),
        Receiver::Mail(target) => vitral_connect_notify::mail_notifier(*target)?.into(),
    })
}

/// Connections that are named and through which nobody can be notified, each where it is named.
pub fn errors(config: &Config, catalog: &Catalog) -> anyhow::Result<Vec<Diagnostic>> {
    let audiences = catalog.alerts().map(|(_, alert)| &alert.audience);
    let audiences = audiences.chain(catalog.reports().map(|(_, report)| &report.audience));
    let mut errors = Vec::new();
    for audience in audiences {
        for name in audience.connections.iter().flatten() {
            match config.receiver(name) {
                Ok(_) => {}
                Err(ConfigError::Connection(error)) => {
                    errors.push(audience.position.error(format!("notify = '{name}': {error}"), error.remedy()));
                }
                Err(other) => return Err(other.into()),
            }
        }
    }
    Ok(errors)
}

#[cfg(test)]
mod tests {
    use vitral_catalog::{DomainSettings, SourceFile};
    use vitral_connect::Connection;

    use super::*;

    const SQL: &str =
        "CREATE TABLE eventos (p TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');
CREATE VIEW falta WITH (alert = 'p', notify = 'operacao, barramento, banco, nada') AS SELECT p FROM eventos;";

    fn config(hosts: &[&str]) -> Config {
        let mut config = Config::default();
        for (name, url) in [
            ("operacao", "https://hooks.example.com/x"),
            ("barramento", "kafka://a:9092"),
            ("banco", "postgresql://a/b"),
        ] {
            config.connections.insert(name.to_owned(), Connection::to(url));
        }
        config.http.allowed_hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        config
    }

    #[test]
    fn connections_through_which_nobody_can_be_notified_are_errors_where_they_are_named() {
        let file = SourceFile { path: "a.sql".to_owned(), text: SQL.to_owned() };
        let catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("sound");
        let text = |hosts: &[&str]| -> Vec<String> {
            errors(&config(hosts), &catalog).expect("connections").iter().map(ToString::to_string).collect()
        };
        let found = text(&["hooks.example.com"]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.sql:2:38: notify = 'banco': connections.banco.url is not one"), "{found:?}");
        assert!(found[0].contains("remedy: correct [connections.banco]"), "{found:?}");
        assert!(found[1].contains("notify = 'nada': there is no connection \"nada\""), "{found:?}");
        assert!(found[1].contains("use one of these: barramento, kafka, operacao\n"), "{found:?}");
        assert!(found[1].contains("remedy: declare [connections.nada]"), "{found:?}");
        assert!(text(&[])[0].contains("http.allowed_hosts does not allow"));
    }
}
