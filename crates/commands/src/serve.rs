//! `vitral serve`: the API as a process of its own, next to the stream that it follows and any
//! number of others. It only reads (docs/adr/0048).

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use url::Url;
use vitral_api::{ApiInputs, Telemetry};
use vitral_batch::reconcile::continuous::ContinuousReconciliation;
use vitral_config::{Config, REFERENCE_DIR};
use vitral_connect::Connector as _;
use vitral_connect_kafka::KafkaConnector;
use vitral_follow::{AlertPoller, Follower, HttpStream, StreamAddress};
use vitral_process::telemetry;
use vitral_schemas::health::Health;
use vitral_schemas::time::SystemClock;
use vitral_store::{HistoryPoller, Location};

use crate::api::access;
use crate::args::Common;
use crate::front::{Fronts, Listeners, listen, listen_sql};
use crate::warehouse;

/// What `vitral serve` takes.
#[derive(Debug, Args)]
pub struct Flags {
    /// Where to serve the API and the page (default: api.listen).
    #[arg(long, value_name = "ADDR")]
    api: Option<SocketAddr>,
    /// Where to answer SQL clients (default: sql.listen).
    #[arg(long, value_name = "ADDR")]
    sql: Option<SocketAddr>,
}

/// What runs, and what is to be run, of a process that only answers.
pub struct Serving {
    /// They answer already.
    pub fronts: Fronts,
    /// Shows what the stream shows.
    pub follower: Follower,
    /// Shows what was imported.
    pub histories: HistoryPoller,
    /// Shows what alerts have seen.
    pub alerts: AlertPoller,
    /// Shows what reconciliations have found; it runs none.
    pub reconciliations: ContinuousReconciliation,
    /// Of all of them.
    pub health: Arc<Health>,
}

/// Starts the API, and makes what is to be run next to it.
///
/// # Errors
/// The configuration or the catalog is wrong, or the address cannot be had.
pub async fn start(config: &Config, common: &Common, flags: &Flags) -> anyhow::Result<Serving> {
    let catalog = Arc::new(config.catalog()?);
    let settings = config.settings()?;
    let address = match flags.api {
        Some(address) => address,
        None => {
            let listen = &config.api.listen;
            listen.parse().with_context(|| format!("configuration: api.listen is {listen:?}"))?
        }
    };
    let store = config.location(&common.data_dir)?;
    let clock = Arc::new(SystemClock);
    let redis = config.open_redis()?;
    let access = access(config, &store, address, redis.as_ref()).await?;
    let warehouse = warehouse::reader(config, &catalog, &store)?;
    let stream = Box::new(stream(config, &store, access.internal_secret().cloned())?);
    let (follower, view) = Follower::new(&catalog, &settings, &store, stream, clock.clone())?;
    let health = Arc::clone(&view.borrow().health);
    let (histories, imported) = HistoryPoller::new(catalog.topics.clone(), store.clone(), Arc::clone(&health));
    let (alerts, seen_by_alerts) = AlertPoller::new(store.clone(), Arc::clone(&health));
    let (reconciliations, found) =
        ContinuousReconciliation::new(Arc::clone(&catalog), settings.clone(), store.clone(), view.clone(), false);
    let mut registry = Registry::default();
    vitral_api::register_health(&mut registry, Arc::clone(&health), config.bounds());
    telemetry::register(&mut registry);
    let telemetry = Telemetry::register(&mut registry);
    let cache = config.kept_answers(&catalog, &settings, redis.as_ref());
    vitral_api::register_cache(&mut registry, cache.clone());
    let mut answers = config.answers(settings, common.data_dir.join(REFERENCE_DIR));
    answers.access = access;
    answers.warehouse = warehouse;
    answers.cache = cache;
    // What is posted goes to the topics, as it does at the stream's own API.
    answers.publisher = Some(KafkaConnector::new(config.kafka()?).publisher(answers.limits.timeout)?);
    answers.alerts = seen_by_alerts;
    // Imports are read there too.
    answers.store = Some(store.clone());
    let inputs = ApiInputs {
        catalog,
        view,
        reconciliations: found,
        histories: imported,
        clock,
        registry: Arc::new(registry),
        telemetry,
        shutdown: CancellationToken::new(),
    };
    let sql = listen_sql(config, flags.sql, &answers.access).await?;
    let listeners = Listeners { api: listen(address, "--api").await?, sql };
    let fronts = Fronts::start(config, listeners, answers, inputs, &store)?;
    Ok(Serving { fronts, follower, histories, alerts, reconciliations, health })
}

fn stream(config: &Config, store: &Location, secret: Option<SecretString>) -> anyhow::Result<HttpStream> {
    let address = match &config.serve.stream_url {
        Some(url) => StreamAddress::Given(Url::parse(url).context("configuration: serve.stream_url")?),
        None => StreamAddress::Stored(store.clone()),
    };
    HttpStream::new(address, secret).map_err(anyhow::Error::msg)
}
