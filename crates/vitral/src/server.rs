//! What `demo` and `stream` share: pipelines of all topics, the API, and their orderly shutdown.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use vitral_api::{ApiInputs, Telemetry};
use vitral_batch::ledger::replay;
use vitral_batch::reconcile::continuous::ContinuousReconciliation;
use vitral_catalog::Catalog;
use vitral_commands::api::{access, note_address};
use vitral_commands::front::{Fronts, Listeners, listen, listen_sql};
use vitral_commands::{check, lookups, row_logs, warehouse};
use vitral_config::{Config, REFERENCE_DIR};
use vitral_connect::Connector;
use vitral_panes::view::{View, ViewReceiver};
use vitral_process::telemetry;
use vitral_react::{AlertInputs, Alerts, SinkInputs, Sinks};
use vitral_schemas::health::Health;
use vitral_schemas::notice::NoticeSender;
use vitral_schemas::reconciliation::ReconciliationReceiver;
use vitral_schemas::time::SystemClock;
use vitral_schemas::topic::Topic;
use vitral_store::{AlertReceiver, HistoryPoller, HistoryReceiver, Location};
use vitral_stream::{StreamConfig, StreamHandle, StreamTelemetry, pipeline};

use crate::supervisor::Supervisor;

pub struct Server {
    pub api_address: SocketAddr,
    pub sql_address: Option<SocketAddr>,
    #[cfg_attr(not(feature = "demo"), expect(dead_code, reason = "read by the demo alone"))]
    pub view: ViewReceiver,
    /// What the page shows a newcomer; the API follows it for as long as it is kept.
    #[cfg_attr(not(feature = "demo"), expect(dead_code, reason = "written by the demo alone"))]
    pub notices: NoticeSender,
    streams: Vec<StreamHandle>,
    /// Work that only reads, but for the results of the hourly check, which are one commit each.
    background: Supervisor,
    fronts: Fronts,
}

/// Where a server is to answer.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub api: SocketAddr,
    /// Where none is given, `sql.listen` says so.
    pub sql: Option<SocketAddr>,
}

/// What is done besides streams and API, before its start, and what the API sees of it.
struct Background {
    reconciliation: ContinuousReconciliation,
    reconciliations: ReconciliationReceiver,
    history_poller: HistoryPoller,
    histories: HistoryReceiver,
    alerts: Alerts,
    seen_by_alerts: AlertReceiver,
    sinks: Sinks,
}

impl Background {
    fn new(
        config: &Config,
        catalog: &Arc<Catalog>,
        store: &Location,
        reference_dir: &Path,
        view: &ViewReceiver,
    ) -> anyhow::Result<Self> {
        let settings = config.settings()?;
        let health = Arc::clone(&view.borrow().health);
        let hourly = config.reconcile.hourly;
        let (reconciliation, reconciliations) =
            ContinuousReconciliation::new(Arc::clone(catalog), settings.clone(), store.clone(), view.clone(), hourly);
        let (history_poller, histories) = HistoryPoller::new(catalog.topics.clone(), store.clone(), health);
        let (alerts, seen_by_alerts) = Alerts::new(AlertInputs {
            catalog: Arc::clone(catalog),
            settings,
            store: store.clone(),
            reference_dir: reference_dir.to_owned(),
            view: view.clone(),
            histories: histories.clone(),
            reconciliations: reconciliations.clone(),
            clock: Arc::new(SystemClock),
            notify: config.alerts.notify.clone(),
            notifiers: vitral_commands::notifiers::notifiers(config, catalog)?,
        })?;
        let targets = vitral_commands::sinks::targets(config, catalog)?;
        let sinks = Sinks::new(SinkInputs::alongside(&alerts, &seen_by_alerts, targets))?;
        Ok(Self { reconciliation, reconciliations, history_poller, histories, alerts, seen_by_alerts, sinks })
    }

    fn start(self, health: Arc<Health>) -> Supervisor {
        let mut supervisor = Supervisor::new(health);
        supervisor.start(self.reconciliation);
        supervisor.start(self.history_poller);
        supervisor.start(self.alerts);
        if !self.sinks.is_empty() {
            supervisor.start(self.sinks);
        }
        supervisor
    }
}

impl Server {
    /// Starts a pipeline for each topic and the API. The API answers from the first moment;
    /// `/readyz` turns ready after recovery.
    pub async fn start(
        config: &Config,
        catalog: Arc<Catalog>,
        connector: Arc<dyn Connector>,
        stream: StreamConfig,
        addresses: Addresses,
        data_dir: PathBuf,
    ) -> anyhow::Result<Self> {
        check::topics(&catalog, &stream.store).await?;
        let reference_dir = data_dir.join(REFERENCE_DIR);
        let lookups = lookups::open(config, &catalog, &reference_dir)?;
        let settings = config.settings()?;
        replay::finish(&catalog, &settings, &stream.store).await?;
        let api = listen(addresses.api, "--api").await?;
        let (sender, view) = tokio::sync::watch::channel(Arc::new(View::default()));
        let health = Arc::clone(&view.borrow().health);
        let mut registry = Registry::default();
        vitral_api::register_health(&mut registry, Arc::clone(&health), config.bounds());
        telemetry::register(&mut registry);
        let stream_telemetry = StreamTelemetry::register(&mut registry);
        let api_telemetry = Telemetry::register(&mut registry);
        let redis = config.open_redis()?;
        let cache = config.kept_answers(&catalog, &settings, redis.as_ref());
        vitral_api::register_cache(&mut registry, cache.clone());
        let background = Background::new(config, &catalog, &stream.store, &reference_dir, &view)?;
        let inputs = ApiInputs {
            catalog: Arc::clone(&catalog),
            view: view.clone(),
            reconciliations: background.reconciliations.clone(),
            histories: background.histories.clone(),
            clock: Arc::new(SystemClock),
            registry: Arc::new(registry),
            telemetry: api_telemetry,
            shutdown: CancellationToken::new(),
        };
        let notices = NoticeSender::new(Arc::from([]));
        let mut answers = config.answers(settings.clone(), reference_dir);
        answers.cache = cache;
        answers.access = access(config, &stream.store, addresses.api, redis.as_ref()).await?;
        answers.notices = notices.subscribe();
        answers.alerts = background.seen_by_alerts.clone();
        answers.store = Some(stream.store.clone());
        answers.warehouse = warehouse::reader(config, &catalog, &stream.store)?;
        answers.publisher = Some(connector.publisher(answers.limits.timeout)?);
        let store = stream.store.clone();
        let sql = listen_sql(config, addresses.sql, &answers.access).await?;
        let fronts = Fronts::start(config, Listeners { api, sql }, answers, inputs, &store)?;
        note_address(&store, fronts.api.address, config.tls()?.is_some()).await;
        let context = pipeline::Context {
            config: stream,
            connector,
            lookups,
            row_sinks: row_logs::open(config, &catalog)?,
            catalog: Arc::clone(&catalog),
            settings,
            clock: Arc::new(SystemClock),
            view: sender,
            telemetry: stream_telemetry,
            runtime: tokio::runtime::Handle::current(),
        };
        let start = |topic: &Topic| vitral_stream::start(context.clone(), topic.clone());
        let streams = catalog.topics.iter().map(start).collect::<Result<_, _>>()?;
        let background = background.start(health);
        let (api_address, sql_address) = (fronts.api.address, fronts.sql.as_ref().map(|sql| sql.address));
        Ok(Self { api_address, sql_address, view, notices, streams, background, fronts })
    }

    /// Resolves with the error of the first part that ends by itself.
    pub async fn failed(&mut self) -> anyhow::Error {
        let streams = self.streams.iter_mut().map(|stream| Box::pin(stream.finished()));
        tokio::select! {
            (ended, ..) = futures::future::select_all(streams) => match ended {
                Err(error) => error.into(),
                Ok(()) => anyhow::anyhow!("the stream ended"),
            },
            error = self.fronts.failed() => error,
        }
    }

    /// After a part has failed: what the others read is committed, if there is time.
    pub async fn stop_within(self, patience: Duration) {
        match tokio::time::timeout(patience, self.stop()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = format!("{error:#}"), "another part failed at the end"),
            Err(_) => tracing::error!(seconds = patience.as_secs(), "the other parts did not end in time"),
        }
    }

    /// Ordered end: read no more, commit what was read, then close the fronts.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.background.stop().await;
        for stream in &self.streams {
            stream.stop();
        }
        let mut outcome = Ok(());
        for stream in &mut self.streams {
            if let Err(error) = stream.finished().await {
                outcome = Err(error.into());
            }
        }
        self.fronts.stop().await?;
        outcome
    }
}
