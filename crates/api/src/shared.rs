//! What every handler can reach.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use vitral_catalog::{Catalog, DomainSettings, Metric};
use vitral_panes::view::{KeyedTableView, MetricView, View, ViewReceiver};
use vitral_query::{ParameterRule, Principal, ReadPoint, Reader, filter_rules};
use vitral_schemas::health::Bounds;
use vitral_schemas::notice::NoticeReceiver;
use vitral_schemas::reconciliation::ReconciliationReceiver;
use vitral_schemas::time::Clock;
use vitral_store::{AlertReceiver, HistoryReceiver, Location};

use crate::metrics::LiveStreams;
use crate::problem::Problem;
use crate::telemetry::Telemetry;

pub(crate) struct Shared {
    pub catalog: Arc<Catalog>,
    pub settings: DomainSettings,
    pub view: ViewReceiver,
    pub reconciliations: ReconciliationReceiver,
    pub histories: HistoryReceiver,
    pub notices: NoticeReceiver,
    pub alerts: AlertReceiver,
    pub silences: Option<Location>,
    pub clock: Arc<dyn Clock>,
    pub reader: Reader,
    pub registry: Arc<Registry>,
    pub telemetry: Telemetry,
    pub live_streams: Arc<LiveStreams>,
    pub answer_bytes: usize,
    pub bounds: Bounds,
    pub shutdown: CancellationToken,
}

impl Shared {
    /// The newest view. Before recovery is done its numbers would be wrong, so there is none.
    pub(crate) fn view(&self) -> Result<Arc<View>, Problem> {
        let view = Arc::clone(&self.view.borrow());
        if view.ready { Ok(view) } else { Err(Problem::starting()) }
    }

    /// What one answer is computed from.
    pub(crate) fn read_point(&self) -> Result<ReadPoint, Problem> {
        Ok(ReadPoint {
            principal: Principal::Anonymous,
            view: self.view()?,
            histories: Arc::clone(&self.histories.borrow()),
            reconciliations: Arc::clone(&self.reconciliations.borrow()),
            alerts: Arc::clone(&self.alerts.borrow()),
            engine_tables: Arc::default(),
            looked_up: Arc::default(),
            now_ms: self.clock.now_ms(),
        })
    }

    /// What the filters of a metric or table over this topic may be.
    pub(crate) fn filter_rules(&self, topic: &str, columns: &[impl AsRef<str>]) -> Vec<(String, ParameterRule)> {
        let topic = self.catalog.topic(topic);
        topic.map(|topic| filter_rules(topic, columns.iter().map(AsRef::as_ref))).unwrap_or_default()
    }

    /// A table with one row for each key.
    pub(crate) fn keyed<'a>(&self, view: &'a View, name: &str) -> Result<&'a KeyedTableView, Problem> {
        let topic = self.catalog.keyed_view(name).map_or(name, |keyed| keyed.topic.as_str());
        view.keyed.get(name).ok_or_else(|| match view.topics_waiting.get(topic) {
            Some(reason) => Problem::topic_waiting(topic, reason),
            None => Problem::unavailable(name),
        })
    }

    pub(crate) fn metric<'a>(&'a self, view: &'a View, name: &str) -> Result<(&'a Metric, &'a MetricView), Problem> {
        let Some(metric) = self.catalog.metric(name) else {
            let known = self.catalog.metrics.iter().map(|metric| metric.name.as_str());
            let known: Vec<_> = known.chain(self.catalog.keyed.iter().map(|view| view.name.as_str())).collect();
            return Err(Problem::unknown_metric(name, &known));
        };
        let shown = view.metrics.get(name).ok_or_else(|| match view.topics_waiting.get(&metric.topic) {
            Some(reason) => Problem::topic_waiting(&metric.topic, reason),
            None => Problem::unavailable(name),
        })?;
        Ok((metric, shown))
    }
}
