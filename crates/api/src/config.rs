//! What the API is made of: its limits, and what the binary hands in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use vitral_schemas::catalog::{Catalog, ShopSettings};
use vitral_schemas::history::HistoryReceiver;
use vitral_schemas::reconciliation::ReconciliationReceiver;
use vitral_schemas::time::Clock;
use vitral_schemas::view::ViewReceiver;

use crate::Telemetry;

#[derive(Debug, Clone)]
pub struct ApiConfig {
    pub settings: ShopSettings,
    /// Where the files of the catalog's reference tables lie.
    pub reference_dir: PathBuf,
    /// What all queries together may hold; one that needs more is refused, none spills to disk.
    pub query_memory_bytes: usize,
    /// How long a request may wait for and run its query.
    pub query_timeout: Duration,
    /// Queries that run at the same time; more wait. Too many take each other's memory and time.
    pub queries_max: usize,
    /// Open live streams; each holds a connection for hours.
    pub live_streams_max: usize,
}

impl ApiConfig {
    pub fn new(settings: ShopSettings, reference_dir: PathBuf) -> Self {
        Self {
            settings,
            reference_dir,
            query_memory_bytes: 512 << 20,
            query_timeout: Duration::from_secs(10),
            queries_max: 8,
            live_streams_max: 256,
        }
    }
}

/// What the binary hands in.
#[derive(Debug)]
pub struct ApiInputs {
    pub catalog: Arc<Catalog>,
    pub view: ViewReceiver,
    /// What reconciliations have found; without rows before the first.
    pub reconciliations: ReconciliationReceiver,
    /// What was imported beside the topics' messages.
    pub histories: HistoryReceiver,
    pub clock: Arc<dyn Clock>,
    /// Answers `/metrics`; complete, with [`Telemetry`] and every other crate's registered in it.
    pub registry: Arc<Registry>,
    pub telemetry: Telemetry,
    /// Ends the live streams, and makes `/readyz` say no.
    pub shutdown: CancellationToken,
}
