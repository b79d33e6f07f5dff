//! What every handler can reach.

use std::sync::Arc;

use axum::body::Bytes;
use prometheus_client::registry::Registry;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use vitral_catalog::{Catalog, DomainSettings, Metric, Needs};
use vitral_connect::Publisher;
use vitral_panes::view::{KeyedTableView, MetricView, View};
use vitral_query::{Cache, ParameterRule, Principal, ReadPoint, ReadPoints, Reader, Warehouse, filter_rules};
use vitral_schemas::health::Bounds;
use vitral_schemas::notice::NoticeReceiver;
use vitral_store::Location;

use crate::gate::Gate;
use crate::imports::Imports;
use crate::live_states::newest::LiveStates;
use crate::metrics::LiveStreams;
use crate::problem::Problem;
use crate::telemetry::Telemetry;

pub(crate) struct Shared {
    pub catalog: Arc<Catalog>,
    pub settings: DomainSettings,
    pub points: ReadPoints,
    pub notices: NoticeReceiver,
    pub store: Option<Location>,
    pub publisher: Option<Arc<dyn Publisher>>,
    pub imports: Imports,
    pub warehouse: Warehouse,
    /// Of the API, once it was asked for.
    pub description: OnceCell<Bytes>,
    pub gate: Gate,
    pub reader: Reader,
    pub registry: Arc<Registry>,
    pub telemetry: Telemetry,
    pub live_streams: Arc<LiveStreams>,
    pub live_states: LiveStates,
    pub answer_bytes: usize,
    pub cache: Cache,
    pub bounds: Bounds,
    pub shutdown: CancellationToken,
}

impl Shared {
    /// The newest view. Before recovery is done its numbers would be wrong, so there is none.
    pub(crate) fn view(&self) -> Result<Arc<View>, Problem> {
        Ok(self.points.view()?)
    }

    /// What one answer is computed from.
    pub(crate) fn read_point(&self, principal: Principal) -> Result<ReadPoint, Problem> {
        Ok(self.points.take(principal)?)
    }

    /// What an answer to what needs this is computed from: with what is not in what the stream
    /// shows.
    pub(crate) async fn read_point_for(&self, principal: Principal, needs: &Needs) -> Result<ReadPoint, Problem> {
        let point = self.imports.added_to(self.read_point(principal)?, needs).await?;
        Ok(self.warehouse.added_to(point, needs, self.reader.names()).await?)
    }

    /// What the filters of a metric or table over this topic may be.
    pub(crate) fn filter_rules(&self, topic: &str, columns: &[impl AsRef<str>]) -> Vec<(String, ParameterRule)> {
        let topic = self.catalog.topic(topic);
        topic.map(|topic| filter_rules(topic, columns.iter().map(AsRef::as_ref))).unwrap_or_default()
    }

    /// A table with one row for each key, if the principal may read it.
    pub(crate) fn keyed<'a>(
        &self,
        principal: &Principal,
        view: &'a View,
        name: &str,
    ) -> Result<&'a KeyedTableView, Problem> {
        self.reader.check(principal, name)?;
        let topic = self.catalog.keyed_view(name).map_or(name, |keyed| keyed.topic.as_str());
        view.keyed.get(name).ok_or_else(|| match view.topics_waiting.get(topic) {
            Some(reason) => Problem::topic_waiting(topic, reason),
            None => Problem::unavailable(name),
        })
    }

    /// A metric, if the principal may read it.
    pub(crate) fn metric<'a>(
        &'a self,
        principal: &Principal,
        view: &'a View,
        name: &str,
    ) -> Result<(&'a Metric, &'a MetricView), Problem> {
        let Some(metric) = self.catalog.metric(name) else {
            let known = self.catalog.metrics.iter().map(|metric| metric.name.as_str());
            let known = known.chain(self.catalog.keyed.iter().map(|view| view.name.as_str()));
            let known: Vec<_> = known.filter(|known| self.reader.may_read(principal, known)).collect();
            return Err(Problem::unknown_metric(name, &known));
        };
        self.reader.check(principal, name)?;
        let shown = view.metrics.get(name).ok_or_else(|| match view.topics_waiting.get(&metric.topic) {
            Some(reason) => Problem::topic_waiting(&metric.topic, reason),
            None => Problem::unavailable(name),
        })?;
        Ok((metric, shown))
    }
}
