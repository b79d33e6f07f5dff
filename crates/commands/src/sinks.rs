//! The other sides of views that are copied, and what is wrong with the connections that they name.

use std::sync::Arc;

use vitral_catalog::{Catalog, Diagnostic, Diagnostics, SinkConnector, View};
use vitral_config::{Config, ConfigError};
use vitral_connect::{Connection, ConnectionError, Sink};
use vitral_connect_kafka::{KafkaConfig, KafkaSink};
use vitral_connect_mongodb::SinkTarget;
use vitral_connect_postgres::{DatabaseUrl, PostgresSink, RedshiftSink};
use vitral_react::Targets;
use vitral_store::{Location, StoreError};

use crate::lookups::without_driver;

/// Every sink's target; nothing is connected yet.
pub fn targets(config: &Config, catalog: &Catalog) -> anyhow::Result<Targets> {
    let (targets, errors) = opened(config, catalog)?;
    if errors.is_empty() { Ok(targets) } else { Err(Diagnostics(errors).into()) }
}

/// Connections that are named and that cannot take rows, each where it is named, and tables that
/// are a job's.
pub fn errors(config: &Config, catalog: &Catalog) -> anyhow::Result<Vec<Diagnostic>> {
    let mut errors = opened(config, catalog)?.1;
    errors.extend(tables_of_jobs(config, catalog)?);
    Ok(errors)
}

/// A job replaces the rows of its table, and would take a sink's for its own.
fn tables_of_jobs(config: &Config, catalog: &Catalog) -> anyhow::Result<Vec<Diagnostic>> {
    let (connections, Some(warehouse)) = (config.connections()?, config.warehouse()?.url) else {
        return Ok(Vec::new());
    };
    let of_job = |(view, sink): (&View, &vitral_catalog::Sink)| {
        let connection = connections.get(sink.connection.as_deref()?, &[]).ok()?;
        let url = DatabaseUrl::try_from(connection).ok()?;
        let job = catalog.job_tables.iter().find(|table| table.table == sink.target)?;
        warehouse.has_tables_of(&url).then(|| {
            sink.connection_position.error(
                format!(
                    "sink {}: its table {} is one of the job {} ({}), in the same database",
                    view.name, sink.target, job.job, job.position
                ),
                "give the sink another table = '...', or leave it out: it is the view's name then".into(),
            )
        })
    };
    Ok(catalog.sinks().filter_map(of_job).collect())
}

fn opened(config: &Config, catalog: &Catalog) -> anyhow::Result<(Targets, Vec<Diagnostic>)> {
    let (mut targets, mut errors) = (Targets::new(), Vec::new());
    for (view, sink) in catalog.sinks() {
        match target(config, view, sink) {
            Ok(target) => drop(targets.insert(view.name.clone(), target)),
            Err(Failure::Connection(error)) => {
                let words = format!("sink {}: {error}", view.name);
                errors.push(sink.connection_position.error(words, error.remedy()));
            }
            Err(Failure::Driver) => {
                let what = format!("{} is copied into MongoDB", view.name);
                errors.push(without_driver(&sink.connection_position, &what));
            }
            Err(Failure::Redshift) => errors.push(sink.connection_position.error(
                format!("sink {}: Redshift accepts rows only by way of S3", view.name),
                "set warehouse.stage (s3://bucket/prefix) and warehouse.iam_role (arn:aws:iam::...) in the configuration"
                    .into(),
            )),
            Err(Failure::Other(error)) => return Err(error),
        }
    }
    Ok((targets, errors))
}

/// Why a target cannot be had.
enum Failure {
    Connection(ConnectionError),
    Driver,
    Redshift,
    Other(anyhow::Error),
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Connection(error) => Self::Connection(error),
            other => Self::Other(other.into()),
        }
    }
}

impl Failure {
    /// Of a URL that is of the right kind.
    fn of_url(connection: &Connection, error: StoreError) -> Self {
        match error {
            StoreError::WarehouseUrl { reason } => connection.error("url", format!("cannot be used: {reason}")).into(),
            other => Self::Other(other.into()),
        }
    }
}

fn target(config: &Config, view: &View, sink: &vitral_catalog::Sink) -> Result<Arc<dyn Sink>, Failure> {
    let connections = config.connections()?;
    let Some(name) = &sink.connection else {
        return Ok(Arc::new(KafkaSink::new(&config.kafka()?, &view.name, &sink.target, &sink.key)));
    };
    let connection = connections.get(name, schemes(sink.connector))?;
    Ok(match sink.connector {
        SinkConnector::Kafka => {
            let config = KafkaConfig::try_from(connection)?;
            Arc::new(KafkaSink::new(&config, &view.name, &sink.target, &sink.key))
        }
        SinkConnector::MongoDb if !vitral_connect_mongodb::IS_BUILT_IN => return Err(Failure::Driver),
        SinkConnector::MongoDb => {
            let (name, collection, key) = (view.name.clone(), sink.target.clone(), sink.key.clone());
            let target = SinkTarget { name, collection, key, expires: None };
            Arc::from(vitral_connect_mongodb::sink(target, connection)?)
        }
        SinkConnector::Postgres => {
            let url = database(connection, sink.connector, "postgresql://user@host/database")?;
            let target = PostgresSink::new(&url, &sink.target, &sink.key);
            Arc::new(target.map_err(|error| Failure::of_url(connection, error))?)
        }
        SinkConnector::Redshift => {
            let url = database(connection, sink.connector, "redshift://user@host/database")?;
            let warehouse = config.warehouse()?;
            let (Some(stage), Some(iam_role)) = (&warehouse.stage, &warehouse.iam_role) else {
                return Err(Failure::Redshift);
            };
            let stage = Location::bucket(stage, &config.store.options).map_err(|error| Failure::Other(error.into()))?;
            let target = RedshiftSink::new(&url, stage, iam_role, &sink.target, &sink.key);
            Arc::new(target.map_err(|error| Failure::of_url(connection, error))?)
        }
    })
}

/// Those of URLs that lead to where such a sink writes.
fn schemes(connector: SinkConnector) -> &'static [&'static str] {
    match connector {
        SinkConnector::Kafka => &["kafka"],
        SinkConnector::MongoDb => &["mongodb"],
        SinkConnector::Postgres => &["postgresql", "postgres"],
        SinkConnector::Redshift => &["redshift"],
    }
}

fn database(connection: &Connection, connector: SinkConnector, form: &str) -> Result<DatabaseUrl, ConnectionError> {
    let url = DatabaseUrl::try_from(connection)?;
    if schemes(connector).contains(&url.scheme()) {
        return Ok(url);
    }
    Err(connection.error("url", format!("is of another kind of database: write {form}")))
}

#[cfg(test)]
mod tests {
    use vitral_catalog::{DomainSettings, SourceFile};

    use super::*;

    const SQL: &str =
        "CREATE TABLE eventos (p TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');
CREATE VIEW a WITH (connector = 'postgres', connection = 'banco', key = 'p') AS SELECT p FROM eventos;
CREATE VIEW b WITH (connector = 'postgres', connection = 'barramento', key = 'p') AS SELECT p FROM eventos;
CREATE VIEW c WITH (connector = 'kafka', connection = 'nada', key = 'p') AS SELECT p FROM eventos;
CREATE VIEW d WITH (connector = 'redshift', connection = 'banco', key = 'p') AS SELECT p FROM eventos;
CREATE VIEW e WITH (connector = 'redshift', connection = 'armazem', key = 'p') AS SELECT p FROM eventos;
CREATE VIEW f WITH (connector = 'kafka', key = 'p') AS SELECT p FROM eventos;";

    fn config() -> Config {
        let mut config = Config::default();
        for (name, url) in [
            ("barramento", "kafka://a:9092"),
            ("banco", "postgresql://a/b"),
            ("armazem", "redshift://a/b"),
            ("kafka", "kafka://a:9092"),
        ] {
            config.connections.insert(name.to_owned(), Connection::to(url));
        }
        config
    }

    #[tokio::test]
    async fn connections_that_cannot_take_rows_are_errors_where_they_are_named() {
        let file = SourceFile { path: "a.sql".to_owned(), text: SQL.to_owned() };
        let catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("sound");
        let mut config = config();
        let found: Vec<String> =
            errors(&config, &catalog).expect("connections").iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 4, "{found:?}");
        for (error, (line, words)) in found.iter().zip([
            (3, "sink b: connections.barramento.url does not begin with postgresql://"),
            (4, "sink c: there is no connection \"nada\""),
            (5, "sink d: connections.banco.url is of another kind of database: write redshift://"),
            (6, "sink e: Redshift accepts rows only by way of S3"),
        ]) {
            assert!(error.starts_with(&format!("a.sql:{line}:")) && error.contains(words), "{error}");
        }
        assert!(found[0].contains("remedy: correct [connections.barramento]"), "{found:?}");
        assert!(found[1].contains("use one of these: barramento, kafka\n"), "of that kind alone: {found:?}");
        assert!(found[1].contains("remedy: declare [connections.nada]"), "{found:?}");
        assert!(targets(&config, &catalog).is_err());
        config.warehouse.stage = Some("s3://bucket/stage".to_owned());
        config.warehouse.iam_role = Some("arn:aws:iam::123456789012:role/warehouse".to_owned());
        assert_eq!(errors(&config, &catalog).expect("connections").len(), 3);
    }

    #[test]
    fn a_table_of_a_job_is_refused_where_the_warehouse_is_in_the_same_database() {
        let sql = "CREATE TABLE eventos (p TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');
CREATE MATERIALIZED VIEW por_minuto AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM eventos GROUP BY janela;
CREATE VIEW copia WITH (connector = 'postgres', connection = 'banco', table = 'por_minuto', key = 'janela_inicio') AS SELECT * FROM por_minuto;
CREATE VIEW outra WITH (connector = 'postgres', connection = 'banco', key = 'janela_inicio') AS SELECT * FROM por_minuto;";
        let file = SourceFile { path: "a.sql".to_owned(), text: sql.to_owned() };
        let catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("sound");
        let mut config = config();
        assert!(errors(&config, &catalog).expect("connections").is_empty(), "the warehouse is elsewhere");
        config.connections.insert("armazem_postgres".to_owned(), Connection::to("postgresql://outro@a/b"));
        config.warehouse.connection = Some("armazem_postgres".to_owned());
        let found = errors(&config, &catalog).expect("connections");
        let [error] = &found[..] else { panic!("{found:?}") };
        let error = error.to_string();
        assert!(error.starts_with("a.sql:3:") && error.contains("sink copia: its table por_minuto"), "{error}");
        assert!(error.contains("the job tempo_real (a.sql:2"), "{error}");
    }
}
