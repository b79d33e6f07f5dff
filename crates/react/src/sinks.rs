//! Copies of views in other systems: each sink for itself, one epoch at a time.
//!
//! An epoch is what has changed among a view's committed rows since the last one: rows that are new
//! or different, and keys that are deleted. It is one commit of `sinks/NAME` before anything of it
//! is sent, so that a process that dies in between sends the same again. While a target is away no
//! further epoch is made: what changes meanwhile is the next one, however long it takes. What
//! corrects a view's rows (a replay, a repair, an import taken back, a backfill) is found as any
//! other change.

mod changes;
mod copying;
mod numbering;
mod open;
mod shape;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vitral_catalog::Catalog;
use vitral_connect::{ConnectError, Sink};
use vitral_panes::view::ViewReceiver;
use vitral_query::{Limits, QueryError, Reader, References};
use vitral_schemas::reconciliation::ReconciliationReceiver;
use vitral_schemas::time::Clock;
use vitral_store::alerts::AlertReceiver;
use vitral_store::{HistoryReceiver, Location, StoreError};

use self::copying::Copying;
use crate::alerts::Alerts;

/// What all sinks together may use: a part of what queries of clients have.
const LIMITS: Limits = Limits {
    memory_bytes: 256 << 20,
    rollup_bytes: 256 << 20,
    timeout: Duration::from_secs(60),
    running_max: 2,
    waiting_max: usize::MAX >> 4,
};

/// The other side of each sink, by the name of its view.
pub type Targets = BTreeMap<String, Arc<dyn Sink>>;

/// What sinks copy, and from where.
#[derive(Debug)]
pub struct SinkInputs {
    /// What is declared.
    pub catalog: Arc<Catalog>,
    /// Where everything is kept.
    pub store: Location,
    /// Where the files of reference tables lie.
    pub reference_dir: PathBuf,
    /// What the stream shows.
    pub view: ViewReceiver,
    /// What was imported.
    pub histories: HistoryReceiver,
    /// What reconciliations have found.
    pub reconciliations: ReconciliationReceiver,
    /// What alerts have seen.
    pub alerts: AlertReceiver,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// To where.
    pub targets: Targets,
}

impl SinkInputs {
    /// The same that alerts are evaluated on, and what these have seen.
    pub fn alongside(alerts: &Alerts, seen: &AlertReceiver, targets: Targets) -> Self {
        let inputs = alerts.inputs();
        Self {
            catalog: Arc::clone(&inputs.catalog),
            store: inputs.store.clone(),
            reference_dir: inputs.reference_dir.clone(),
            view: inputs.view.clone(),
            histories: inputs.histories.clone(),
            reconciliations: inputs.reconciliations.clone(),
            alerts: seen.clone(),
            clock: Arc::clone(&inputs.clock),
            targets,
        }
    }
}

/// Why a sink does not go on. All but the last may pass.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The view's rows cannot be had.
    #[error("the view's rows cannot be read")]
    Query(#[from] QueryError),
    /// What is sent cannot be kept: nothing is sent before it is.
    #[error("its epochs cannot be kept")]
    Store(#[from] StoreError),
    /// The other side failed or did not answer.
    #[error("the target did not accept its rows")]
    Target(#[from] ConnectError),
    /// Rows that do not fit together.
    #[error("its rows cannot be assembled")]
    Rows(#[from] arrow::error::ArrowError),
    /// Rows of what the view reads are missing: what is not among the others is not deleted.
    #[error("{0}")]
    Input(String),
    /// Somebody has to change the catalog.
    #[error("{0}")]
    Declared(String),
}

/// What all sinks share.
#[derive(Debug)]
pub(crate) struct Shared {
    inputs: SinkInputs,
    reader: Reader,
}

/// All sinks of a catalog. One process runs them for a store: the stream's.
#[derive(Debug)]
pub struct Sinks {
    shared: Shared,
    sinks: Vec<Copying>,
}

impl Sinks {
    /// As health and telemetry name it.
    pub const NAME: &'static str = "sinks";

    /// The sinks, to be run. Each that the catalog declares has a target.
    pub fn new(inputs: SinkInputs) -> Result<Self, SinkError> {
        let references = References::new(inputs.reference_dir.clone());
        let reader = Reader::reacting(Arc::clone(&inputs.catalog), references, LIMITS)?;
        let mut sinks = Vec::new();
        for (view, sink) in inputs.catalog.sinks() {
            if let Some(target) = inputs.targets.get(&view.name) {
                sinks.push(Copying::new(view, sink, Arc::clone(target), &reader)?);
            }
        }
        Ok(Self { shared: Shared { inputs, reader }, sinks })
    }

    /// Whether the catalog declares none.
    pub fn is_empty(&self) -> bool {
        self.sinks.is_empty()
    }

    /// Runs until it is dropped. Each sink that fails is tried again by itself.
    pub async fn run(&mut self) {
        if self.shared.inputs.view.wait_for(|view| view.ready).await.is_err() {
            return;
        }
        let Self { shared, sinks } = self;
        let shared = &*shared;
        futures::future::join_all(sinks.iter_mut().map(|sink| sink.run(shared))).await;
    }

    /// Does for each sink what can be done now; what came of it, by the name of its view.
    pub async fn poll(&mut self) -> Vec<(String, Result<(), SinkError>)> {
        let mut outcomes = Vec::new();
        for sink in &mut self.sinks {
            let outcome = sink.poll(&self.shared).await.map(|_| ());
            outcomes.push((sink.name().to_owned(), outcome));
        }
        outcomes
    }
}

impl Shared {
    fn health(&self) -> Arc<vitral_schemas::health::Health> {
        Arc::clone(&self.inputs.view.borrow().health)
    }
}
