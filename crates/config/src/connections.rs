//! Named connections: those that are declared, those that the environment sets, and those that
//! earlier keys still describe.

use std::collections::BTreeMap;

use vitral_catalog::Catalog;
use vitral_connect::{Connection, Connections, Secret};
use vitral_connect_kafka::KafkaConfig;
use vitral_connect_postgres::{DatabaseUrl, WarehouseConfig};

use super::{Config, ConfigError, redacted};

/// The connection that `kafka.connection` names unless it is set.
pub(super) const KAFKA: &str = "kafka";
/// Where that is until somebody declares it.
const KAFKA_HERE: &str = "kafka://127.0.0.1:9092";
/// The connections that take the place of `warehouse.url` and `warehouse.replica_url`.
const WAREHOUSE: &str = "warehouse";
const WAREHOUSE_REPLICA: &str = "warehouse_replica";

/// The schemes of a URL of the warehouse.
const DATABASES: [&str; 3] = ["postgresql", "postgres", "redshift"];

pub(super) const ENV_PREFIX: &str = "VITRAL__CONNECTIONS__";

impl Config {
    /// Every connection by its name, for settings and for SQL.
    pub fn connections(&self) -> Result<Connections, ConfigError> {
        Ok(Connections::new(self.declared())?)
    }

    /// What is declared, with Kafka on this machine where nothing else is said.
    fn declared(&self) -> BTreeMap<String, Connection> {
        let mut declared = self.connections.clone();
        if self.kafka.connection == KAFKA {
            let here = || match &self.cluster {
                Some(cluster) => {
                    let mut connection = Connection::to(format!("{KAFKA}://{}", cluster.brokers));
                    connection.options.clone_from(&cluster.options);
                    connection
                }
                None => Connection::to(KAFKA_HERE),
            };
            declared.entry(KAFKA.to_owned()).or_insert_with(here);
        }
        declared
    }

    /// The cluster that topics are read from.
    pub fn kafka(&self) -> Result<KafkaConfig, ConfigError> {
        if let Some(cluster) = &self.cluster {
            return Ok(cluster.clone());
        }
        let connections = self.connections()?;
        Ok(KafkaConfig::try_from(named(&connections, &self.kafka.connection, "kafka.connection", &[KAFKA])?)?)
    }

    /// Where jobs put their tables.
    pub fn warehouse(&self) -> Result<WarehouseConfig, ConfigError> {
        let connections = self.connections()?;
        let url = |name: &Option<String>, key: &'static str| -> Result<Option<DatabaseUrl>, ConfigError> {
            let Some(name) = name else { return Ok(None) };
            Ok(Some(DatabaseUrl::try_from(named(&connections, name, key, &DATABASES)?)?))
        };
        let warehouse = &self.warehouse;
        if warehouse.connection.is_none() && warehouse.replica_connection.is_some() {
            let words = "warehouse.replica_connection is set without warehouse.connection: set both";
            return Err(ConfigError::Wrong(words.to_owned()));
        }
        Ok(WarehouseConfig {
            url: url(&warehouse.connection, "warehouse.connection")?,
            replica_url: url(&warehouse.replica_connection, "warehouse.replica_connection")?,
            pool_size: warehouse.pool_size,
            stage: warehouse.stage.clone(),
            iam_role: warehouse.iam_role.clone(),
        })
    }

    /// Refuses connections that cannot be used.
    pub(super) fn check_connections(&self) -> Result<(), ConfigError> {
        self.kafka()?;
        self.warehouse()?;
        self.redis()?;
        self.check_receivers()
    }

    /// A sentence on each connection that neither the configuration nor this catalog names.
    pub fn unused_connections(&self, catalog: &Catalog) -> Vec<String> {
        let mut used = catalog.connections();
        let warehouse = &self.warehouse;
        used.insert(&self.kafka.connection);
        used.extend(warehouse.connection.iter().chain(&warehouse.replica_connection).map(String::as_str));
        used.extend(self.cache.connection.iter().chain(&self.alerts.notify).map(String::as_str));
        let unused = self.connections.keys().filter(|name| !used.contains(name.as_str()));
        let said = unused.map(|name| {
            format!(
                "connections.{name} is declared and nothing uses it: name it in the configuration (kafka.connection, warehouse.connection, \
                 cache.connection, alerts.notify) or in a statement of the catalog, or remove it"
            )
        });
        said.collect()
    }

    /// Connections from the environment, as they stand there: a password may be all digits.
    ///
    /// `VITRAL__CONNECTIONS__NAME__URL`, `..__OPTIONS__KEY` and `..__SECRETS__KEY`, where Kafka's
    /// `SASL_PASSWORD` is `sasl.password`. What is said there replaces what the file says.
    pub(super) fn take_connections(&mut self, variables: &[(String, String)]) -> Result<(), ConfigError> {
        let mut settings = Vec::new();
        for (variable, value) in variables {
            let Some(key) = variable.to_uppercase().strip_prefix(ENV_PREFIX).map(str::to_lowercase) else { continue };
            self.places.add_variable(format!("connections.{}", key.replace("__", ".")), variable);
            match key.split("__").collect::<Vec<_>>()[..] {
                [name, "url"] => self.connections.entry(name.to_owned()).or_default().url = value.clone(),
                [name, kind @ ("options" | "secrets"), key] => {
                    settings.push((name.to_owned(), kind == "secrets", key.to_owned(), value));
                }
                _ => {
                    return Err(ConfigError::Wrong(format!(
                        "{variable} is not a key: a connection has __URL, __OPTIONS__KEY and __SECRETS__KEY"
                    )));
                }
            }
        }
        for (name, is_secret, key, value) in settings {
            let is_of_kafka = name == self.kafka.connection;
            let connection = self.connections.entry(name).or_default();
            let key = if is_of_kafka || connection.scheme() == KAFKA { key.replace('_', ".") } else { key };
            if is_secret {
                connection.options.remove(&key);
                connection.secrets.insert(key, Secret::new(value.clone()));
            } else {
                connection.options.insert(key, value.clone());
            }
        }
        Ok(())
    }

    /// Keys that connections have replaced hold for one release, with a warning. Where a connection
    /// says something else, that is an error: nobody could tell which of the two is meant.
    pub(super) fn take_former_connections(&mut self) -> Result<(), ConfigError> {
        let (brokers, options) = (self.kafka.brokers.take(), std::mem::take(&mut self.kafka.options));
        let name = self.kafka.connection.clone();
        if let Some(brokers) = brokers {
            self.take_former_url("kafka.brokers", &name, format!("kafka://{brokers}"))?;
        }
        if !options.is_empty() {
            let connection = self.connections.entry(name.clone()).or_insert_with(|| Connection::to(KAFKA_HERE));
            for (key, value) in options {
                let known = connection.options.get(&key).map(String::as_str);
                match known.or(connection.secrets.get(&key).map(Secret::expose)) {
                    Some(known) if known == value => {}
                    Some(_) => {
                        return Err(ConfigError::Wrong(format!(
                            "kafka.options and connections.{name} have different values for {key:?}: remove it from kafka.options"
                        )));
                    }
                    None if redacted::is_harmless(&key, redacted::KAFKA_OPTIONS) => {
                        connection.options.insert(key, value);
                    }
                    None => {
                        connection.secrets.insert(key, Secret::new(value));
                    }
                }
            }
            self.warn_of_former(
                "kafka.options",
                &format!("connections.{name}.options, or connections.{name}.secrets for passwords"),
            );
        }
        let (url, replica_url) = (self.warehouse.url.take(), self.warehouse.replica_url.take());
        if let Some(url) = url {
            let name = self.warehouse.connection.get_or_insert_with(|| WAREHOUSE.to_owned()).clone();
            self.take_former_url("warehouse.url", &name, url)?;
        }
        if let Some(url) = replica_url {
            let name = self.warehouse.replica_connection.get_or_insert_with(|| WAREHOUSE_REPLICA.to_owned()).clone();
            self.take_former_url("warehouse.replica_url", &name, url)?;
        }
        if let Some(connections) = self.warehouse.connections.take() {
            self.warehouse.pool_size = connections;
            self.warn_of_former("warehouse.connections", "warehouse.pool_size");
        }
        Ok(())
    }

    fn take_former_url(&mut self, key: &str, name: &str, url: String) -> Result<(), ConfigError> {
        let connection = self.connections.entry(name.to_owned()).or_default();
        if !connection.url.is_empty() && connection.url != url {
            return Err(ConfigError::Wrong(format!("{key} and connections.{name}.url are different: remove {key}")));
        }
        connection.url = url;
        self.warn_of_former(key, &format!("connections.{name}.url"));
        Ok(())
    }

    fn warn_of_former(&mut self, former: &str, current: &str) {
        self.warnings.push(format!("{former} is {current} now: move it, the next release will not accept the old key"));
    }

    /// The connections for printing.
    pub(super) fn shown_connections(&self) -> BTreeMap<String, Connection> {
        let mut shown = self.declared();
        for connection in shown.values_mut() {
            let harmless = match connection.scheme() {
                KAFKA => redacted::KAFKA_OPTIONS,
                "http" | "https" => redacted::RECEIVER_OPTIONS,
                _ => redacted::DATABASE_OPTIONS,
            };
            redacted::options(&mut connection.options, harmless);
            connection.url = match connection.url.strip_prefix("kafka://") {
                Some(brokers) => format!("kafka://{}", redacted::brokers(brokers)),
                None => redacted::url(&connection.url),
            };
        }
        shown
    }
}

/// The connection that a key of the configuration names.
fn named<'a>(
    connections: &'a Connections,
    name: &str,
    key: &'static str,
    schemes: &[&str],
) -> Result<&'a Connection, ConfigError> {
    connections.get(name, schemes).map_err(|source| ConfigError::NamedConnection { key: key.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use vitral_catalog::{DomainSettings, SourceFile};

    use super::*;
    use crate::tests::load;

    fn environment(config: &mut Config, variables: &[(&str, &str)]) -> Result<(), ConfigError> {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        config.take_connections(&variables)
    }

    #[test]
    fn settings_name_the_connections_that_they_use() {
        let config = load(
            "[connections.principal]\nurl = 'kafka://a:9092,b:9092'\noptions = { 'security.protocol' = 'SASL_SSL' }\n\
             secrets = { 'sasl.password' = 'hush' }\n\
             [connections.armazem]\nurl = 'postgresql://vitral@db/loja'\nsecrets = { password = 'hush' }\n\
             [kafka]\nconnection = 'principal'\n[warehouse]\nconnection = 'armazem'\npool_size = 7",
        )
        .expect("valid");
        let kafka = config.kafka().expect("a cluster");
        assert_eq!((kafka.brokers.as_str(), kafka.options.len()), ("a:9092,b:9092", 2));
        let warehouse = config.warehouse().expect("a database");
        assert!(warehouse.url.expect("a database").expose().contains("password=hush"));
        assert_eq!((warehouse.replica_url, warehouse.pool_size), (None, 7));
        assert_eq!(config.warnings(), &[] as &[String]);
        let shown = toml::to_string_pretty(&config.effective().expect("sound")).expect("shown");
        assert!(
            !shown.contains("hush") && shown.contains("kafka://a:9092,b:9092") && shown.contains("(hidden)"),
            "{shown}"
        );
    }

    #[test]
    fn without_a_word_kafka_is_on_this_machine() {
        let config = load("").expect("the defaults");
        assert_eq!(config.kafka().expect("a cluster").brokers, "127.0.0.1:9092");
        assert_eq!(config.warehouse().expect("none").url, None);
        // A connection of that name is the one, without being named once more.
        let config = load("[connections.kafka]\nurl = 'kafka://a:9092'").expect("valid");
        assert_eq!(config.kafka().expect("a cluster").brokers, "a:9092");
    }

    #[test]
    fn connections_that_cannot_be_used_stop_the_start() {
        for (text, words) in [
            ("[kafka]\nconnection = 'kafak'", ["kafka.connection", "[connections.kafak]"]),
            ("[warehouse]\nconnection = 'loja'", ["warehouse.connection", "[connections.loja]"]),
            ("[connections.kafka]\noptions = { acks = '1' }", ["connections.kafka.url", "missing"]),
            ("[connections.kafka]\nurl = 'postgresql://u:hush@db/x'", ["connections.kafka.url", "kafka://"]),
            ("[connections.kafka]\nurl = 'kafka://u:hush@a:9092'", ["connections.kafka.url", "sasl.password"]),
            (
                "[connections.db]\nurl = 'kafka://a'\n[warehouse]\nconnection = 'db'",
                ["connections.db.url", "postgresql://"],
            ),
            ("[connections.Kafka]\nurl = 'kafka://a:9092'", ["connections.Kafka", "lower-case"]),
            ("[connections.kafka]\nurl = 'kafka://a'\npassword = 'hush'", ["connections.kafka", "is not a key"]),
            (
                "[connections.kafka]\nurl = 'kafka://a'\nsecrets = { pin = 4711 }",
                ["connections.kafka.secrets.pin", "quotes"],
            ),
        ] {
            let error = format!("{:#}", anyhow::Error::from(load(text).expect_err(text)));
            assert!(!error.contains("use one of these"), "none is of that kind: {error}");
            assert!(words.iter().all(|word| error.contains(word)) && !error.contains("hush"), "{text}: {error}");
            assert!(!error.contains("4711"), "{error}");
        }
    }

    #[test]
    fn a_connection_that_nothing_uses_is_reported() {
        let config = load(
            "[connections.pg]\nurl = 'no url'\n[connections.fora]\nurl = 'postgresql://db/loja'\n[connections.gente]\nurl = 'kafka://a'\n\
             [connections.armazem]\nurl = 'postgresql://db/loja'\n[connections.todos]\nurl = 'kafka://a'\n\
             [warehouse]\nconnection = 'armazem'\n[alerts]\nnotify = ['todos']",
        )
        .expect("valid");
        let text = "CREATE TABLE e (u TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');
            CREATE VIEW s WITH (connector = 'postgres', connection = 'pg', key = 'u') AS SELECT u FROM e;
            CREATE VIEW a WITH (alert = 'u', notify = 'gente') AS SELECT u FROM e;";
        let file = SourceFile { path: "a.sql".to_owned(), text: text.to_owned() };
        let catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog");
        let unused = config.unused_connections(&catalog);
        assert!(unused.len() == 1 && unused[0].contains("connections.fora is declared"), "{unused:?}");
        let none = Catalog::parse(&[], &DomainSettings::default()).expect("a catalog");
        assert_eq!(config.unused_connections(&none).len(), 3);
    }

    #[test]
    fn the_environment_replaces_what_the_file_says() {
        let mut config = load(
            "[connections.kafka]\nurl = 'kafka://a:9092'\noptions = { 'sasl.username' = 'file', 'sasl.password' = 'file' }",
        )
        .expect("valid");
        let variables = [
            ("VITRAL__CONNECTIONS__KAFKA__SECRETS__SASL_PASSWORD", "007"),
            ("VITRAL__CONNECTIONS__KAFKA__OPTIONS__SASL_USERNAME", "u"),
            ("vitral__connections__kafka__url", "kafka://b:9092"),
            ("VITRAL__CONNECTIONS__ARMAZEM__SECRETS__PASSWORD", "123"),
            ("VITRAL__CONNECTIONS__ARMAZEM__OPTIONS__CONNECT_TIMEOUT", "3"),
            ("VITRAL__CONNECTIONS__ARMAZEM__URL", "postgresql://vitral@db/loja"),
            ("VITRAL__KAFKA__CONNECTION", "x"),
        ];
        environment(&mut config, &variables).expect("keys");
        config.warehouse.connection = Some("armazem".to_owned());
        let kafka = config.kafka().expect("a cluster");
        assert_eq!((kafka.brokers.as_str(), kafka.options["sasl.username"].as_str()), ("b:9092", "u"));
        assert_eq!(kafka.options["sasl.password"], "007");
        let url = config.warehouse().expect("a database").url.expect("one");
        assert!(url.expose().contains("password=123") && url.expose().contains("connect_timeout=3"));
        let error =
            environment(&mut config, &[("VITRAL__CONNECTIONS__KAFKA__PASSWORD", "hush")]).expect_err("no such key");
        let error = error.to_string();
        assert!(
            error.contains("KAFKA__PASSWORD") && error.contains("__SECRETS__") && !error.contains("hush"),
            "{error}"
        );
    }

    #[test]
    fn earlier_keys_still_describe_connections() {
        let config = load(
            "[kafka]\nbrokers = 'a:9092'\n[kafka.options]\n'client.id' = 'loja'\n'sasl.password' = 'hush'\n\
             [warehouse]\nurl = 'postgresql://u:hush@db/loja'\nreplica_url = 'postgresql://u@db2/loja'\nconnections = 9",
        )
        .expect("valid");
        let kafka = config.kafka().expect("a cluster");
        assert_eq!((kafka.brokers.as_str(), kafka.options["sasl.password"].as_str()), ("a:9092", "hush"));
        let warehouse = config.warehouse().expect("a database");
        assert_eq!(warehouse.url.map(|url| url.expose().to_owned()).as_deref(), Some("postgresql://u:hush@db/loja"));
        assert_eq!((warehouse.replica_url.is_some(), warehouse.pool_size), (true, 9));
        let warnings = config.warnings();
        for key in ["kafka.brokers", "kafka.options", "warehouse.url", "warehouse.replica_url", "warehouse.connections"]
        {
            assert_eq!(warnings.iter().filter(|warning| warning.starts_with(key)).count(), 1, "{key}: {warnings:?}");
        }
        assert!(!warnings.iter().any(|warning| warning.contains("hush")), "{warnings:?}");
        let shown = toml::to_string_pretty(&config.effective().expect("sound")).expect("shown");
        assert!(shown.contains("[connections.kafka") && shown.contains("\"client.id\" = \"loja\""), "{shown}");
        assert!(!shown.contains("hush") && !shown.contains("brokers"), "{shown}");
    }

    #[test]
    fn an_earlier_key_that_says_something_else_is_refused() {
        for (text, key) in [
            ("[connections.kafka]\nurl = 'kafka://a:9092'\n[kafka]\nbrokers = 'b:9092'", "kafka.brokers"),
            (
                "[connections.kafka]\nurl = 'kafka://a:9092'\nsecrets = { 'sasl.password' = 'hush' }\n\
                 [kafka.options]\n'sasl.password' = 'hush 2'",
                "kafka.options",
            ),
            (
                "[connections.loja]\nurl = 'postgresql://u:hush@a/b'\n[warehouse]\nconnection = 'loja'\nurl = 'postgresql://c/d'",
                "warehouse.url",
            ),
        ] {
            let error = format!("{:#}", anyhow::Error::from(load(text).expect_err(text)));
            assert!(
                error.contains(&format!("remove it from {key}")) || error.contains(&format!("remove {key}")),
                "{error}"
            );
            assert!(!error.contains("hush"), "{error}");
        }
        // Saying the same thing twice does not contradict it.
        load("[connections.kafka]\nurl = 'kafka://a:9092'\n[kafka]\nbrokers = 'a:9092'").expect("the same");
    }
}
