//! What the API is made of: its limits, and what the binary hands in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use vitral_access::Access;
use vitral_catalog::{Catalog, DomainSettings};
use vitral_connect::Publisher;
use vitral_panes::view::ViewReceiver;
use vitral_query::{Cache, Limits, Warehouse};
use vitral_schemas::health::Bounds;
use vitral_schemas::notice::NoticeReceiver;
use vitral_schemas::reconciliation::ReconciliationReceiver;
use vitral_schemas::time::Clock;
use vitral_store::alerts::episode_schema;
use vitral_store::{AlertReceiver, HistoryReceiver, Location};

use crate::Telemetry;

/// What is set for the API: its bounds, and what its answers depend on.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// The domains in use, with their zone and currency.
    pub settings: DomainSettings,
    /// Where the files of the catalog's reference tables lie.
    pub reference_dir: PathBuf,
    /// What all queries together may use.
    pub limits: Limits,
    /// What one answer may have; a longer one is refused, or broken off where it has begun.
    pub answer_bytes: usize,
    /// Answers that are given again.
    pub cache: Cache,
    /// Names of this server besides `localhost` and addresses; a request for another host is
    /// refused.
    pub hosts: Vec<String>,
    /// How long something may take before `/readyz` says no.
    pub bounds: Bounds,
    /// Open live streams, each of which holds a connection for hours; one client gets half of them.
    pub live_streams_max: usize,
    /// Messages that did not count and that a newcomer should hear about.
    pub notices: NoticeReceiver,
    /// What alerts have seen; without rows where none are run.
    pub alerts: AlertReceiver,
    /// The store in which imports, silences and, in `auditoria`, denials are kept; without one no
    /// imports are shown, nobody may ask for a silence, and only the log knows of denials.
    pub store: Option<Location>,
    /// Sends what is posted to the topics; none where there is no broker.
    pub publisher: Option<Arc<dyn Publisher>>,
    /// What reads the tables of jobs; without anything, none is made yet.
    pub warehouse: Warehouse,
    /// Who may ask.
    pub access: Access,
    /// How long a request's body may take.
    pub body: Duration,
    /// How often it is checked that somebody may still see a live stream.
    pub stream_check: Duration,
    /// Origins of other pages that may read answers and send requests.
    pub cors_origins: Vec<String>,
    /// Addresses, or ranges of them, of proxies that are believed for whom they ask.
    pub trusted_proxies: Vec<String>,
}

impl ApiConfig {
    /// The bounds as they are without a configuration; answers of up to 64 MiB, and as
    /// much of kept ones.
    pub fn new(settings: DomainSettings, reference_dir: PathBuf) -> Self {
        Self {
            settings,
            reference_dir,
            limits: Limits::default(),
            answer_bytes: 64 << 20,
            cache: Cache::new(64 << 20),
            hosts: Vec::new(),
            bounds: Bounds { commit: Duration::from_secs(60), still: Duration::from_secs(120) },
            live_streams_max: 256,
            notices: tokio::sync::watch::channel(Arc::from([])).1,
            alerts: tokio::sync::watch::channel(Arc::new(RecordBatch::new_empty(episode_schema()))).1,
            store: None,
            publisher: None,
            warehouse: Warehouse::default(),
            access: Access::off(),
            body: Duration::from_secs(30),
            stream_check: Duration::from_secs(15),
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// What the binary hands in.
#[derive(Debug)]
pub struct ApiInputs {
    /// What is declared: metrics and endpoints are served as it says.
    pub catalog: Arc<Catalog>,
    /// What the stream shows.
    pub view: ViewReceiver,
    /// What reconciliations have found; without rows before the first.
    pub reconciliations: ReconciliationReceiver,
    /// What was imported alongside the topics' messages.
    pub histories: HistoryReceiver,
    /// The time of requests.
    pub clock: Arc<dyn Clock>,
    /// Answers `/metrics`; complete, with [`Telemetry`] and every other crate's registered in it.
    pub registry: Arc<Registry>,
    /// The API's own.
    pub telemetry: Telemetry,
    /// Ends the live streams, and makes `/readyz` say no.
    pub shutdown: CancellationToken,
}
