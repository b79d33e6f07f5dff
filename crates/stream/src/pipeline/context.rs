//! What pipelines are given.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use datafusion::error::DataFusionError;
use vitral_catalog::{Catalog, DomainSettings};
use vitral_connect::{Connector, Lookups, Sink};
use vitral_panes::view::ViewSender;
use vitral_schemas::time::Clock;
use vitral_schemas::topic::Topic;

use crate::config::StreamConfig;
use crate::error::StreamError;
use crate::telemetry::{StreamTelemetry, TopicLabel};

/// What all pipelines of a process share.
#[derive(Clone)]
pub struct Context {
    /// How they read, commit and refresh.
    pub config: StreamConfig,
    /// Where topics are read and refused messages go.
    pub connector: Arc<dyn Connector>,
    /// The tables that columns are looked up in.
    pub lookups: Lookups,
    /// Where logs of rows are written to, by the logs' names.
    pub row_sinks: BTreeMap<String, Arc<dyn Sink>>,
    /// What is declared: topics and metrics.
    pub catalog: Arc<Catalog>,
    /// The domain's zone and currency.
    pub settings: DomainSettings,
    /// What "now" is, for clocks on the wall and for lengths of time.
    pub clock: Arc<dyn Clock>,
    /// Where readers learn what there is.
    pub view: ViewSender,
    /// What the process reports at `/metrics`.
    pub telemetry: StreamTelemetry,
    /// Where commits, questions to brokers and snapshots run; pipelines have threads of their own.
    pub runtime: tokio::runtime::Handle,
}

/// The same, of one topic.
#[derive(Clone)]
pub(super) struct TopicContext {
    shared: Context,
    pub(super) topic: Topic,
    pub(super) label: TopicLabel,
}

impl TopicContext {
    pub(super) fn new(shared: Context, topic: Topic) -> Self {
        let label = TopicLabel { topic: topic.name.clone() };
        Self { shared, topic, label }
    }

    pub(super) fn failed(&self, action: &'static str, source: DataFusionError) -> StreamError {
        StreamError::Batch { topic: self.topic.name.clone(), action, source }
    }

    /// Why a topic waits whose broker is away.
    pub(super) fn does_not_answer(&self) -> String {
        format!("{} does not answer", self.connector.name())
    }
}

impl Deref for TopicContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.shared
    }
}
