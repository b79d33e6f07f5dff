//! Views that are computed from what is written of them: whether a topic is one of those that are
//! read depends on the configuration.

use std::collections::BTreeSet;
use std::sync::Arc;

use vitral_catalog::{Audience, Catalog, Diagnostic, SinkConnector, View};
use vitral_config::{Config, Receiver};
use vitral_connect_kafka::KafkaConfig;
use vitral_query::{Limits, Reader, References};

/// Everything of a catalog that would go round forever, by way of the cluster that its topics are
/// read from.
pub fn errors(config: &Config, catalog: &Arc<Catalog>) -> anyhow::Result<Vec<Diagnostic>> {
    if catalog.reacting().next().is_none() {
        return Ok(Vec::new());
    }
    let own = config.kafka()?;
    let reader = Reader::reacting(Arc::clone(catalog), References::without_rows(), Limits::default())?;
    Ok(reader.names().circles(catalog, &|view| written(config, &own, view)))
}

/// The topics of this cluster that something of a view is written into. A connection that cannot be
/// used is an error elsewhere.
fn written(config: &Config, own: &KafkaConfig, view: &View) -> BTreeSet<String> {
    let is_own =
        |name: &String| matches!(config.receiver(name), Ok(Receiver::Kafka(kafka)) if kafka.shares_broker(own));
    let of_audience = |audience: &Audience| {
        let connections = audience.connections.as_ref().unwrap_or(&config.alerts.notify);
        connections.iter().any(is_own).then(|| audience.topic.clone())
    };
    let alert = view.alert.as_ref().and_then(|alert| of_audience(&alert.audience));
    let report = view.report.as_ref().and_then(|report| of_audience(&report.audience));
    let sink = view
        .sink
        .as_ref()
        .filter(|sink| sink.connector == SinkConnector::Kafka && sink.connection.as_ref().is_none_or(is_own));
    alert.into_iter().chain(report).chain(sink.map(|sink| sink.target.clone())).collect()
}

#[cfg(test)]
mod tests {
    use vitral_catalog::{DomainSettings, SourceFile};
    use vitral_connect::Connection;

    use super::*;

    const SQL: &str =
        "CREATE TABLE eventos (p TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');
CREATE VIEW a WITH (connector = 'kafka', topic = 'eventos', connection = 'outro', key = 'p') AS SELECT p FROM eventos;
CREATE VIEW b WITH (alert = 'p', topic = 'eventos') AS SELECT p FROM eventos;";

    #[test]
    fn a_topic_of_another_cluster_is_another_topic() {
        let file = SourceFile { path: "a.sql".to_owned(), text: SQL.to_owned() };
        let catalog = Arc::new(Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("sound"));
        let found = |outro: &str, notify: &[&str]| -> Vec<String> {
            let mut config = Config::default();
            config.connections.insert("outro".to_owned(), Connection::to(outro));
            config.alerts.notify = notify.iter().map(|name| (*name).to_owned()).collect();
            let errors = errors(&config, &catalog).expect("connections");
            errors.iter().map(ToString::to_string).collect()
        };
        assert!(found("kafka://elsewhere:9092", &[]).is_empty());
        assert!(found("kafka://elsewhere:9092", &["outro"]).is_empty());
        let same = found("kafka://elsewhere:9092,LOCALHOST", &[]);
        assert_eq!(same.len(), 1, "{same:?}");
        assert!(
            same[0].starts_with("a.sql:2:13: a is computed from what it writes: a -> topic eventos -> a"),
            "{same:?}"
        );
        let notified = found("kafka://elsewhere:9092", &["kafka"]);
        assert_eq!(notified.len(), 1, "{notified:?}");
        assert!(notified[0].starts_with("a.sql:3:13: b is computed from what it writes"), "{notified:?}");
    }
}
