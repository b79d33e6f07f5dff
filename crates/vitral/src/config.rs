//! The configuration: defaults < `vitral.toml` < environment (`VITRAL__SECTION__KEY`) < flags.

mod connections;
mod query;
mod retention;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use vitral_api::ServeConfig;
use vitral_catalog::{Catalog, DEFAULT_DOMAIN, DomainOptions, DomainSettings};
use vitral_connect::Connection;
use vitral_schemas::health::Bounds;
use vitral_store::Location;
use vitral_stream::{Limits, StreamConfig};

pub use self::query::Query;
pub use self::retention::Retention;
use crate::process;

pub(crate) mod redacted;

const DEFAULT_FILE: &str = "vitral.toml";
const ENV_PREFIX: &str = "VITRAL__";
const KAFKA_OPTIONS_ENV: &str = "VITRAL__KAFKA__OPTIONS__";
const STORE_OPTIONS_ENV: &str = "VITRAL__STORE__OPTIONS__";

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub catalog: CatalogSources,
    /// Over what the `domain.toml` of the domains in use says.
    pub domain: DomainOptions,
    /// The earlier name of `domain`.
    #[serde(skip_serializing_if = "is_unset")]
    pub shop: DomainOptions,
    /// Outside systems, under the names by which settings and SQL refer to them.
    pub connections: BTreeMap<String, Connection>,
    pub kafka: Kafka,
    pub store: Store,
    pub warehouse: Warehouse,
    pub retention: Retention,
    pub stream: Stream,
    pub panes: Panes,
    pub reconcile: Reconcile,
    pub api: Api,
    pub query: Query,
    pub log: Log,
    /// What is to be logged once logs are written.
    #[serde(skip)]
    warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSources {
    /// Built-in domains in use. The first is the one that the page is of.
    pub domains: Vec<String>,
    /// Folders of SQL files, merged over the built-in catalog in order; one with a `domain.toml` has its title, zone and currency.
    pub dirs: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// The connection to the cluster. Until `[connections.kafka]` is declared, it is `kafka://127.0.0.1:9092`.
    pub connection: String,
    /// What `connections.NAME.url` has replaced, for one release.
    #[serde(skip_serializing_if = "Option::is_none")]
    brokers: Option<String>,
    /// What `connections.NAME.options` and `.secrets` have replaced, for one release.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The bucket of archive, metric tables and snapshots: `s3://bucket/prefix`, `gs://...` or `az://...`; without it, the data directory.
    pub url: Option<String>,
    /// Settings of the bucket's client, such as `aws_region = "sa-east-1"`; what is absent comes from the environment.
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Warehouse {
    /// The connection to the database that jobs write to, PostgreSQL or Redshift; without it, they write Delta tables next to the archive.
    pub connection: Option<String>,
    /// The connection to a replica of that database, for reading.
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reconcile {
    /// Whether each hour is recomputed from the archive and compared once it is final.
    pub hourly: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// The time between commits to the archive.
    pub commit_interval_ms: u64,
    /// The time between refreshes of live results.
    pub live_refresh_ms: u64,
    /// The former name of `stream.commit_interval_ms`, for one release.
    #[serde(skip_serializing_if = "Option::is_none")]
    cycle_ms: Option<u64>,
    /// The former name of `stream.live_refresh_ms`, for one release.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_ms: Option<u64>,
    /// How many messages are decoded together at most.
    pub batch_rows: usize,
    /// How long a batch waits for further messages.
    pub batch_wait_ms: u64,
    /// How much decoded data may wait for its commit; beyond it, reading pauses.
    pub uncommitted_bytes: usize,
    /// How much memory the ids of events that can still arrive twice may use; a stream that needs more stops and says so.
    pub known_ids_bytes: usize,
    /// The time between snapshots of the open state; 0 for none.
    pub snapshot_seconds: u64,
    /// How long an orderly stop may take.
    pub shutdown_seconds: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Panes {
    /// How much memory open windows may use.
    pub memory_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// The address at which `vitral stream` serves the API and the page.
    pub listen: String,
    /// The names of this server, besides `localhost` and addresses: requests for other hosts are refused.
    pub hosts: Vec<String>,
    /// How many connections may be open, within what the process's file descriptors allow.
    pub connections: usize,
    /// How long one answer may be.
    pub answer_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is logged: `error`, `warn`, `info`, `debug`, or directives such as `vitral_stream=debug,info`.
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

impl Default for Reconcile {
    fn default() -> Self {
        Self { hourly: true }
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self { connection: connections::KAFKA.to_owned(), brokers: None, options: BTreeMap::new() }
    }
}

impl Default for Stream {
    fn default() -> Self {
        let defaults = stream_defaults();
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            commit_interval_ms: ms(defaults.commit_interval),
            live_refresh_ms: ms(defaults.live_refresh),
            cycle_ms: None,
            refresh_ms: None,
            batch_rows: defaults.batch_rows,
            batch_wait_ms: ms(defaults.batch_wait),
            uncommitted_bytes: defaults.limits.uncommitted_bytes,
            known_ids_bytes: defaults.limits.known_ids_bytes,
            snapshot_seconds: defaults.snapshot.map_or(0, |every| every.as_secs()),
            shutdown_seconds: defaults.shutdown.as_secs(),
        }
    }
}

impl Default for Panes {
    fn default() -> Self {
        Self { memory_bytes: stream_defaults().limits.panes_memory_bytes }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            hosts: Vec::new(),
            connections: ServeConfig::default().connections,
            answer_bytes: 64 << 20,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned() }
    }
}

impl Config {
    /// All layers but the flags. A file that was named must exist.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(file) = file
            && !file.is_file()
        {
            bail!("{} is not a file: name another with --config, or leave it out", file.display());
        }
        let toml = file.map_or_else(|| Toml::file(DEFAULT_FILE), Toml::file_exact);
        // What is not read by figment is taken below as it stands.
        let is_for_figment = |key: &str| !key.contains("__options__") && !key.starts_with("connections__");
        let environment = Env::prefixed(ENV_PREFIX).filter(move |key| is_for_figment(&key.as_str().to_lowercase()));
        let figment = Figment::from(Serialized::defaults(Self::default())).merge(toml).merge(environment.split("__"));
        let mut config: Self = figment.extract().map_err(|error| {
            let lines: Vec<String> = error.into_iter().map(|error| error.to_string()).collect();
            anyhow!("configuration: {}", lines.join("; "))
        })?;
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let variables: Vec<(String, String)> = std::env::vars_os().filter_map(text).collect();
        config.take_options(&variables);
        config.take_connections(&variables)?;
        config.take_former_keys();
        config.take_former_connections()?;
        config.settings()?;
        config.check_connections()?;
        for (name, value, least) in [
            ("stream.batch_rows", config.stream.batch_rows, 1),
            ("stream.uncommitted_bytes", config.stream.uncommitted_bytes, 1 << 20),
            ("panes.memory_bytes", config.panes.memory_bytes, 1 << 20),
            ("api.connections", config.api.connections, 2),
            ("api.answer_bytes", config.api.answer_bytes, 1 << 20),
            ("query.memory_bytes", config.query.memory_bytes, 1 << 20),
            ("query.timeout_seconds", usize::try_from(config.query.timeout_seconds).unwrap_or(usize::MAX), 1),
            ("query.running_max", config.query.running_max, 1),
        ] {
            if value < least {
                bail!("configuration: {name} is {value}, it must be at least {least}");
            }
        }
        Ok(config)
    }

    /// The clients' own settings from the environment, as they stand there: a password may be all digits.
    /// `VITRAL__KAFKA__OPTIONS__SASL_PASSWORD` is `sasl.password`, `VITRAL__STORE__OPTIONS__AWS_REGION` is `aws_region`.
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

    /// Keys that were renamed hold under their former name, with a warning, until the next release.
    fn take_former_keys(&mut self) {
        let stream = &mut self.stream;
        for (former, value, key, current) in [
            ("cycle_ms", &mut stream.cycle_ms, "commit_interval_ms", &mut stream.commit_interval_ms),
            ("refresh_ms", &mut stream.refresh_ms, "live_refresh_ms", &mut stream.live_refresh_ms),
        ] {
            if let Some(value) = value.take() {
                *current = value;
                self.warnings.push(format!(
                    "stream.{former} is called stream.{key} now: rename it, the next release does not know the old name"
                ));
            }
        }
    }

    /// What holds for the catalog in use.
    pub fn settings(&self) -> anyhow::Result<DomainSettings> {
        let (domain, shop) = (&self.domain, &self.shop);
        let configured = DomainOptions {
            title: under_one_name("title", &domain.title, &shop.title)?,
            time_zone: under_one_name("time_zone", &domain.time_zone, &shop.time_zone)?,
            currency: under_one_name("currency", &domain.currency, &shop.currency)?,
        };
        Ok(DomainSettings::load(&self.catalog.domains, &self.catalog.dirs, &configured)?)
    }

    pub fn catalog(&self) -> anyhow::Result<Catalog> {
        Catalog::load(&self.catalog.dirs, &self.settings()?).context("the catalog is broken")
    }

    /// Where archive, metric tables and snapshots are.
    pub fn location(&self, data_dir: &Path) -> anyhow::Result<Location> {
        let location = match &self.store.url {
            Some(url) => Location::bucket(url, &self.store.options),
            None => Location::folder(data_dir),
        };
        location.context("configuration")
    }

    pub fn stream(&self, store: Location) -> StreamConfig {
        StreamConfig {
            commit_interval: Duration::from_millis(self.stream.commit_interval_ms),
            live_refresh: Duration::from_millis(self.stream.live_refresh_ms),
            batch_rows: self.stream.batch_rows,
            batch_wait: Duration::from_millis(self.stream.batch_wait_ms),
            shutdown: Duration::from_secs(self.stream.shutdown_seconds),
            limits: Limits {
                uncommitted_bytes: self.stream.uncommitted_bytes,
                panes_memory_bytes: self.panes.memory_bytes,
                known_ids_bytes: self.stream.known_ids_bytes,
            },
            snapshot: (self.stream.snapshot_seconds > 0).then(|| Duration::from_secs(self.stream.snapshot_seconds)),
            ..StreamConfig::new(store)
        }
    }

    /// The API's bounds, for a process that may have so many descriptors.
    pub fn serve(&self, descriptor_limit: Option<u64>) -> ServeConfig {
        let within = descriptor_limit.map_or(usize::MAX, process::connections_within);
        let connections = self.api.connections.min(within);
        ServeConfig { connections, ..ServeConfig::default() }
    }

    /// How long something may take before the process is not ready: many commit intervals.
    pub fn bounds(&self) -> Bounds {
        let commit =
            Duration::from_millis(self.stream.commit_interval_ms.saturating_mul(30)).max(Duration::from_secs(60));
        Bounds { commit, still: commit * 2 }
    }

    /// For printing: what holds, wherever it is said, without secrets.
    pub fn effective(&self) -> anyhow::Result<Self> {
        let DomainSettings { title, time_zone, currency, .. } = self.settings()?;
        let domain = DomainOptions {
            title: Some(title),
            time_zone: Some(time_zone.name().to_owned()),
            currency: Some(currency),
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

fn is_unset(options: &DomainOptions) -> bool {
    *options == DomainOptions::default()
}

/// A key of `domain`, which may stand under its earlier name.
fn under_one_name(key: &str, domain: &Option<String>, shop: &Option<String>) -> anyhow::Result<Option<String>> {
    match (domain, shop) {
        (Some(new), Some(old)) if new != old => bail!(
            "configuration: domain.{key} is {new:?} and shop.{key}, its earlier name, is {old:?}: keep domain.{key} alone"
        ),
        (new, old) => Ok(new.clone().or_else(|| old.clone())),
    }
}

/// The folder is not looked at.
fn stream_defaults() -> StreamConfig {
    let nowhere = Location::folder(Path::new("/")).unwrap_or_else(|_| unreachable!("the root is a folder"));
    StreamConfig::new(nowhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn load(text: &str) -> anyhow::Result<Config> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("vitral.toml");
        std::fs::write(&file, text)?;
        Config::load(Some(&file))
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load("[shop]\ncurency = 'BRL'").expect_err("a wrong key").to_string();
        assert!(error.contains("curency") && error.contains("shop"), "{error}");
        let error = load("[shopp]\ncurrency = 'BRL'").expect_err("a wrong section").to_string();
        assert!(error.contains("shopp"), "{error}");
    }

    #[test]
    fn values_are_checked() {
        assert!(load("[shop]\ntime_zone = 'Mars/Olympus'").expect_err("no zone").to_string().contains("Mars/Olympus"));
        assert!(load("[shop]\ncurrency = 'R$'").expect_err("no code").to_string().contains("R$"));
        let config = load("[domain]\ntime_zone = 'UTC'\n[stream]\ncommit_interval_ms = 5").expect("valid");
        let settings = config.settings().expect("sound");
        assert_eq!((settings.time_zone.name(), config.stream.commit_interval_ms), ("UTC", 5));
        assert_eq!(settings.currency, "BRL");
    }

    #[test]
    fn the_domain_has_an_earlier_name() {
        let settings = |text: &str| load(text).and_then(|config| config.settings());
        let same =
            settings("[shop]\ntime_zone = 'UTC'\n[domain]\ntime_zone = 'UTC'\ncurrency = 'EUR'").expect("the same");
        assert_eq!((same.time_zone.name(), same.currency.as_str()), ("UTC", "EUR"));
        assert_eq!(settings("[shop]\ncurrency = 'USD'").expect("the earlier name").currency, "USD");
        let error = settings("[shop]\ncurrency = 'USD'\n[domain]\ncurrency = 'EUR'").expect_err("two").to_string();
        assert!(error.contains("USD") && error.contains("EUR") && error.contains("keep domain.currency"), "{error}");
    }

    #[test]
    fn domains_can_be_left_out() {
        let config = load("[catalog]\ndomains = []\n[domain]\ncurrency = 'EUR'").expect("valid");
        let catalog = config.catalog().expect("sound");
        assert!(catalog.topics.is_empty() && catalog.metrics.is_empty());
        assert!(catalog.endpoints.iter().any(|endpoint| endpoint.path == "/livro"), "what every catalog has");
        let error = load("[catalog]\ndomains = ['comercio']").expect_err("unknown").to_string();
        assert!(error.contains("comercio") && error.contains("ecommerce"), "{error}");
    }

    #[test]
    fn what_is_shown_is_what_holds() {
        let config = load("[shop]\ncurrency = 'USD'").expect("valid");
        let shown = toml::to_string_pretty(&config.effective().expect("sound")).expect("shown");
        assert!(
            shown.contains("[domain]") && shown.contains("currency = \"USD\"") && !shown.contains("[shop]"),
            "{shown}"
        );
        assert!(shown.contains("America/Sao_Paulo") && shown.contains("domains = [\"ecommerce\"]"), "{shown}");
    }

    #[test]
    fn keys_that_were_renamed_hold_under_their_former_name_with_a_warning() {
        let config = load("[stream]\ncycle_ms = 5\nrefresh_ms = 7").expect("valid");
        assert_eq!((config.stream.commit_interval_ms, config.stream.live_refresh_ms), (5, 7));
        assert_eq!(config.warnings.len(), 2);
        assert!(config.warnings[0].contains("stream.commit_interval_ms"), "{:?}", config.warnings);
        let shown = toml::to_string_pretty(&config).expect("shown");
        assert!(!shown.contains("cycle_ms") && shown.contains("live_refresh_ms = 7"), "{shown}");
        assert!(load("").expect("the defaults").warnings.is_empty());
    }

    #[test]
    fn rows_are_kept_for_days_or_for_ever() {
        let days = |text: &str| load(&format!("[retention]\n{text}")).map(|config| config.retention.days());
        assert_eq!(days("").expect("the defaults"), (Some(30), Some(395)));
        // The sum of two large numbers is their sum.
        assert_eq!(days("hot_days = 36500\ncold_days = 36500").expect("valid"), (Some(36_500), Some(73_000)));
        assert_eq!(days("cold_days = 'never'").expect("valid"), (Some(30), None));
        assert_eq!(days("hot_days = 'never'\ncold_days = 0").expect("valid"), (None, None));
        assert_eq!(days("hot_days = 0\ncold_days = 0").expect("valid"), (Some(0), Some(0)));
        for wrong in ["65535", "65506", "-1", "'always'", "1.5", "true"] {
            let error = days(&format!("cold_days = {wrong}")).expect_err(wrong).to_string();
            assert!(error.contains("never") && error.contains("cold_days"), "{wrong}: {error}");
        }
        let shown = toml::to_string_pretty(&load("[retention]\ncold_days = 'never'").expect("valid")).expect("shown");
        assert!(shown.contains("cold_days = \"never\"") && shown.contains("hot_days = 30"), "{shown}");
    }

    #[test]
    fn what_is_not_known_to_be_harmless_is_hidden() {
        let config = load(
            "[connections.kafka]\nurl = 'kafka://h:9092,h2:9092'\n[connections.kafka.options]\n'sasl.password' = 'hush'\n\
             'client.id' = 'shop'\n'sasl.oauthbearer.config' = 'hush'\n'ssl.key.pem' = 'hush'\n\
             [connections.loja]\nurl = 'postgresql://u:hush@h/d?sslmode=require&options=hush'\noptions = { options = 'hush' }\n\
             [connections.replica]\nurl = 'postgresql://h/d?user=u&password=hush'\n\
             [connections.other]\nurl = 'mongodb://u:hush@h,h2/d'\noptions = { any = 'hush' }\n\
             [store]\nurl = 's3://hush@bucket/prefix'\n\
             [store.options]\nazure_storage_connection_string = 'hush'\naws_region = 'sa-east-1'\naws_endpoint = 'http://u:hush@h'\n\
             [warehouse]\nconnection = 'loja'\nreplica_connection = 'replica'\nstage = 's3://hush:hush@stage/x'",
        )
        .expect("valid");
        assert!(!format!("{:?}", config.connections).contains("hush"));
        let shown = toml::to_string_pretty(&config.without_secrets()).expect("shown");
        assert!(!shown.contains("hush"), "{shown}");
        for harmless in ["\"client.id\" = \"shop\"", "sslmode=require", "sa-east-1", "h2:9092", "bucket/prefix"] {
            assert!(shown.contains(harmless), "{harmless}: {shown}");
        }
    }

    #[test]
    fn a_client_s_settings_come_from_the_environment_as_they_stand_there() {
        let mut config = Config::default();
        let variables = [
            ("VITRAL__KAFKA__OPTIONS__SASL_PASSWORD", "007"),
            ("VITRAL__KAFKA__OPTIONS__SASL_USERNAME", "u"),
            ("VITRAL__STORE__OPTIONS__AWS_REGION", "sa-east-1"),
            ("OTHER", "x"),
        ];
        config.take_options(&variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let options = &config.kafka.options;
        assert_eq!((options["sasl.password"].as_str(), options["sasl.username"].as_str()), ("007", "u"));
        assert_eq!((options.len(), config.store.options["aws_region"].as_str()), (2, "sa-east-1"));
    }
}
