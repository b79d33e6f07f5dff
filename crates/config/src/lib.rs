//! The configuration: defaults < `vitral.toml` < environment (`VITRAL__SECTION__KEY`) < flags.
//!
//! Every key is a field here or in a file next to this one, with what it means as its comment:
//! docs/configuration.md is written from them. What a section becomes, such as the limits of
//! queries, belongs to the crate that is configured.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod access;
mod alerts;
mod api;
mod cache;
mod cluster;
mod connections;
mod error;
mod http;
mod layers;
mod places;
mod query;
pub mod redacted;
mod retention;
mod serve;
mod sql;
mod stream;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use vitral_catalog::{
    CONFIGURATION, Catalog, DEFAULT_DOMAIN, Diagnostic, Diagnostics, DomainOptions, DomainSettings, Setting,
};
use vitral_connect::Connection;
use vitral_connect_kafka::KafkaConfig;
use vitral_store::Location;

pub use self::access::{Access, Mode, Oidc, RequestRate};
pub use self::alerts::{Alerts, Receiver};
pub use self::api::Api;
pub use self::cache::Cache;
pub use self::error::ConfigError;
pub use self::http::Http;
use self::places::Places;
pub use self::query::Query;
pub use self::retention::{Days, Retention};
pub use self::serve::Serve;
pub use self::sql::Sql;
pub use self::stream::{Panes, Reconcile, Stream};

/// Reference tables are read from here, below the data directory.
pub const REFERENCE_DIR: &str = "reference";

const DEFAULT_FILE: &str = "vitral.toml";
const ENV_PREFIX: &str = "VITRAL__";
const KAFKA_OPTIONS_ENV: &str = "VITRAL__KAFKA__OPTIONS__";
const STORE_OPTIONS_ENV: &str = "VITRAL__STORE__OPTIONS__";

/// The configuration, section by section.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is read and served.
    pub catalog: CatalogSources,
    /// Over what the `domain.toml` of the domains in use says.
    pub domain: DomainOptions,
    /// The earlier name of `domain`.
    #[serde(skip_serializing_if = "is_unset")]
    pub shop: DomainOptions,
    /// Outside systems, under the names by which settings and SQL refer to them.
    pub connections: BTreeMap<String, Connection>,
    /// Where messages come from.
    pub kafka: Kafka,
    /// Where everything is kept.
    pub store: Store,
    /// Where jobs put their tables.
    pub warehouse: Warehouse,
    /// What becomes of old rows.
    pub retention: Retention,
    /// How the stream reads and commits.
    pub stream: Stream,
    /// What open windows may use.
    pub panes: Panes,
    /// What proves the stream's numbers.
    pub reconcile: Reconcile,
    /// Where the API answers.
    pub api: Api,
    /// Who may ask.
    pub access: Access,
    /// What `vitral serve` follows.
    pub serve: Serve,
    /// What is kept of answers, and where processes share them.
    pub cache: Cache,
    /// Where SQL clients are answered.
    pub sql: Sql,
    /// What the queries of readers may use.
    pub query: Query,
    /// Which services may be spoken to.
    pub http: Http,
    /// Who is notified of alerts and reports.
    pub alerts: Alerts,
    /// What is logged.
    pub log: Log,
    /// The cluster that topics are read from, if it is not the connection's.
    #[serde(skip)]
    cluster: Option<KafkaConfig>,
    /// What is to be logged once logs are written.
    #[serde(skip)]
    warnings: Vec<String>,
    /// Where it was said.
    #[serde(skip)]
    places: Places,
}

/// What is read and served: domains, and folders of SQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSources {
    /// Domains in use: built-in ones, and folders of `dirs` that have a name. The first has the
    /// page, and its tables need no prefix.
    pub domains: Vec<String>,
    /// Folders of SQL files, merged over the domains in order; a `domain.toml` sets title, zone and
    /// currency, and with a `name` makes the folder a domain.
    pub dirs: Vec<PathBuf>,
}

/// Where messages come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// The connection to the cluster. Until `[connections.kafka]` is declared, it is
    /// `kafka://127.0.0.1:9092`.
    pub connection: String,
    /// What `connections.NAME.url` has replaced, for one release.
    #[serde(skip_serializing_if = "Option::is_none")]
    brokers: Option<String>,
    /// What `connections.NAME.options` and `.secrets` have replaced, for one release.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    options: BTreeMap<String, String>,
}

/// Where everything is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The bucket of archive, metric tables and snapshots: `s3://bucket/prefix`, `gs://...` or
    /// `az://...`; without it, the data directory.
    pub url: Option<String>,
    /// Settings of the bucket's client, such as `aws_region = "sa-east-1"`; what is absent comes
    /// from the environment.
    pub options: BTreeMap<String, String>,
}

/// Where jobs put their tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Warehouse {
    /// The connection to the database that jobs write to, PostgreSQL or Redshift; without it, they
    /// write Delta tables next to the archive.
    pub connection: Option<String>,
    /// The connection to a replica of that database, from which `armazem.NAME` is read while it
    /// answers.
    pub replica_connection: Option<String>,
    /// How many connections to the database may be open, and as many to the replica.
    pub pool_size: usize,
    /// What `connections.NAME.url` has replaced, for one release.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The same for the replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    replica_url: Option<String>,
    /// The former name of `warehouse.pool_size`, for one release.
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<usize>,
    /// Redshift only: where in S3 rows wait for its `COPY`; `store.options` apply there too.
    pub stage: Option<String>,
    /// Redshift only: the role in which it reads `stage`.
    pub iam_role: Option<String>,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is logged: `error`, `warn`, `info`, `debug`, or directives such as
    /// `vitral_stream=debug,info`.
    pub level: String,
}

impl Default for CatalogSources {
    fn default() -> Self {
        Self { domains: vec![DEFAULT_DOMAIN.to_owned()], dirs: Vec::new() }
    }
}

impl Default for Warehouse {
    fn default() -> Self {
        Self {
            connection: None,
            replica_connection: None,
            pool_size: 4,
            url: None,
            replica_url: None,
            connections: None,
            stage: None,
            iam_role: None,
        }
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self { connection: connections::KAFKA.to_owned(), brokers: None, options: BTreeMap::new() }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned() }
    }
}

impl Config {
    /// All layers but the flags. A file that was named must exist.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        if let Some(file) = file
            && !file.is_file()
        {
            return Err(ConfigError::NoFile(file.to_owned()));
        }
        // Exactly this one: a file of a folder above is another installation's.
        let default = Path::new(DEFAULT_FILE);
        let toml = match file.or(default.exists().then_some(default)) {
            Some(file) => Toml::file_exact(file),
            None => Toml::string(""),
        };
        // What is not read by figment is taken below as it stands.
        let is_for_figment =
            |key: &str| !key.contains("__options__") && !key.starts_with("connections__") && !access::is_secret(key);
        let environment = Env::prefixed(ENV_PREFIX).filter(move |key| is_for_figment(&key.as_str().to_lowercase()));
        let figment = Figment::from(Serialized::defaults(Self::default())).merge(toml).merge(environment.split("__"));
        let mut config: Self = figment.extract().map_err(|error| ConfigError::Wrong(layers::describe(error)))?;
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let variables: Vec<(String, String)> = std::env::vars_os().filter_map(text).collect();
        config.places = Places::of(&figment);
        config.take_options(&variables);
        config.take_access_secrets(&variables);
        config.complete(&variables).map_err(|error| config.places.error(error))?;
        Ok(config)
    }

    /// Takes what figment does not read, and refuses what makes no sense.
    fn complete(&mut self, variables: &[(String, String)]) -> Result<(), ConfigError> {
        self.take_connections(variables)?;
        self.warnings.extend(self.stream.take_former_keys());
        self.take_former_connections()?;
        if !is_unset(&self.shop) {
            let words = "[shop] is called [domain] now: rename it, the next release does not know the old name";
            self.warnings.push(words.to_owned());
        }
        self.check_domain()?;
        self.check_connections()?;
        values::check(self)
    }

    /// The clients' own settings from the environment, as they stand there: a password may be all
    /// digits. `VITRAL__KAFKA__OPTIONS__SASL_PASSWORD` is `sasl.password`,
    /// `VITRAL__STORE__OPTIONS__AWS_REGION` is `aws_region`.
    fn take_options(&mut self, variables: &[(String, String)]) {
        for (name, value) in variables {
            if let Some(key) = name.strip_prefix(KAFKA_OPTIONS_ENV) {
                self.kafka.options.insert(key.to_lowercase().replace('_', "."), value.clone());
            } else if let Some(key) = name.strip_prefix(STORE_OPTIONS_ENV) {
                self.store.options.insert(key.to_lowercase(), value.clone());
            }
        }
    }

    /// What is to be logged about the configuration itself.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// A key for an error, with the file or the variable that said its value.
    pub fn key(&self, key: &str) -> String {
        self.places.key(key)
    }

    /// What holds for the catalog in use.
    pub fn settings(&self) -> Result<DomainSettings, ConfigError> {
        let (settings, errors) = self.settings_part()?;
        match errors.iter().any(is_of_configuration) {
            _ if errors.is_empty() => Ok(settings),
            true => Err(Diagnostics(errors).into()),
            false => Err(ConfigError::Catalog(Diagnostics(errors))),
        }
    }

    /// Refuses what the configuration itself says of domains. What a `domain.toml` says is among
    /// the errors of the catalog, which all that read one name.
    fn check_domain(&self) -> Result<(), ConfigError> {
        let (_, errors) = self.settings_part()?;
        if errors.iter().any(is_of_configuration) { Err(Diagnostics(errors).into()) } else { Ok(()) }
    }

    /// The same with what could be read, and every error.
    pub fn settings_part(&self) -> Result<(DomainSettings, Vec<Diagnostic>), ConfigError> {
        let (domain, shop) = (&self.domain, &self.shop);
        let configured = DomainOptions {
            title: under_one_name("title", &domain.title, &shop.title)?,
            time_zone: under_one_name("time_zone", &domain.time_zone, &shop.time_zone)?,
            currency: under_one_name("currency", &domain.currency, &shop.currency)?,
            settings: own_settings(&domain.settings, &shop.settings)?,
        };
        let (settings, errors) = DomainSettings::load_part(&self.catalog.domains, &self.catalog.dirs, &configured);
        let placed = |error| if is_of_configuration(&error) { self.places.diagnostic(error) } else { error };
        Ok((settings, errors.into_iter().map(placed).collect()))
    }

    /// All domains and folders in use, read and resolved.
    pub fn catalog(&self) -> Result<Catalog, ConfigError> {
        Catalog::load(&self.catalog.dirs, &self.settings()?).map_err(ConfigError::Catalog)
    }

    /// Where archive, metric tables and snapshots are.
    pub fn location(&self, data_dir: &Path) -> Result<Location, ConfigError> {
        let location = match &self.store.url {
            Some(url) => Location::bucket(url, &self.store.options),
            None => Location::folder(data_dir),
        };
        Ok(location?)
    }

    /// For printing: what holds, wherever it is said, without secrets.
    pub fn effective(&self) -> Result<Self, ConfigError> {
        let DomainSettings { title, time_zone, currency, settings, .. } = self.settings()?;
        let domain = DomainOptions {
            title: Some(title),
            time_zone: Some(time_zone.name().to_owned()),
            currency: Some(currency),
            settings,
        };
        Ok(Self { domain, shop: DomainOptions::default(), ..self.without_secrets() })
    }

    fn without_secrets(&self) -> Self {
        let mut shown = self.clone();
        shown.connections = self.shown_connections();
        redacted::options(&mut shown.store.options, redacted::STORE_OPTIONS);
        for url in [&mut shown.store.url, &mut shown.warehouse.stage] {
            *url = url.take().map(|url| redacted::url(&url));
        }
        shown
    }
}

fn is_of_configuration(error: &Diagnostic) -> bool {
    error.position.file == CONFIGURATION
}

fn is_unset(options: &DomainOptions) -> bool {
    *options == DomainOptions::default()
}

/// A key of `domain`, which may stand under its earlier name.
fn under_one_name(key: &str, domain: &Option<String>, shop: &Option<String>) -> Result<Option<String>, ConfigError> {
    match (domain, shop) {
        (Some(new), Some(old)) if new != old => Err(ConfigError::Wrong(format!(
            "domain.{key} is {new:?} and shop.{key}, its earlier name, is {old:?}: keep only domain.{key}"
        ))),
        (new, old) => Ok(new.clone().or_else(|| old.clone())),
    }
}

/// The settings of domains of their own, of which each may stand under `shop` too.
fn own_settings(
    domain: &BTreeMap<String, Setting>,
    shop: &BTreeMap<String, Setting>,
) -> Result<BTreeMap<String, Setting>, ConfigError> {
    let mut all = domain.clone();
    for (key, old) in shop {
        match all.insert(key.clone(), old.clone()) {
            Some(new) if new != *old => {
                return Err(ConfigError::Wrong(format!(
                    "domain.{key} and shop.{key}, its earlier name, differ: keep only domain.{key}"
                )));
            }
            _ => {}
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
