//! The namespace over what is stored in a data directory or bucket, without a server.
//!
//! Rows are those of the last commits: what a running stream has not committed yet, and its open
//! windows, are in its API alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use vitral_catalog::{Catalog, Diagnostics, DomainSettings, EngineTable, KeyedView, Metric, Name, Needs};
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::plan::MetricPlan;
use vitral_panes::view::{Completeness, KeyedTableView, MetricFailure, MetricView, TopicView, View};
use vitral_schemas::topic::Topic;
use vitral_store::alerts::{alerts_table, transitions_table};
use vitral_store::{
    AppendTable, Archive, Histories, History, KeyedPlan, KeyedTable, Layout, Location, MetricTable, Quarantine,
};

use crate::error::QueryError;
use crate::principal::Principal;
use crate::read_point::ReadPoint;

/// What is stored, to be read without a server.
#[derive(Debug)]
pub struct Store {
    catalog: Arc<Catalog>,
    settings: DomainSettings,
    location: Location,
}

impl Store {
    /// The tables of a catalog in a data directory or bucket; nothing is opened yet.
    pub fn new(catalog: Arc<Catalog>, settings: DomainSettings, location: Location) -> Self {
        Self { catalog, settings, location }
    }

    /// Opens what a statement reads, and nothing else.
    pub async fn read_point(&self, needs: &Needs, now_ms: i64) -> Result<ReadPoint, QueryError> {
        let reads_all = needs.names.iter().any(|name| matches!(name, Name::Information(_)));
        let (mut view, mut histories) = (View { ready: true, ..View::default() }, Histories::default());
        let mut missing = Vec::new();
        for topic in self.catalog.topics.iter().filter(|topic| self.reads_rows(topic, needs)) {
            let archive = Archive::read(topic, &self.location).await?;
            let history = History::read(topic, &Layout::of(&self.location).history(topic)).await?;
            if archive.is_none() && history.is_none() {
                missing.push(topic.name.clone());
            }
            let rows: Arc<dyn TableProvider> = match archive {
                Some(archive) => {
                    let watermark = archive.watermark().await?;
                    view.committed_watermarks.extend(watermark.map(|watermark| (topic.name.clone(), watermark)));
                    archive.provider().await?
                }
                None => Arc::new(EmptyTable::new(topic.archive_schema())),
            };
            let shown = TopicView { archive: rows, tail: Arc::from([]), completeness: Completeness::default() };
            view.topics.insert(topic.name.clone(), shown);
            if let Some(history) = history {
                histories.set(&topic.name, Some(history.provider().await?));
            }
        }
        // A wrong folder has nothing at all; of several topics some may be new.
        if !missing.is_empty() && missing.len() == view.topics.len() && !reads_all {
            return Err(QueryError::NothingStored { names: missing.join(", "), place: self.location.to_string() });
        }
        for metric in &self.catalog.metrics {
            let named = |name: &Name| matches!(name, Name::Table(table) | Name::Newest(table) if *table == metric.name);
            if needs.names.iter().any(named)
                && let Some(topic) = self.catalog.topic(&metric.topic)
            {
                let shown = self.metric_view(metric, topic, reads_all).await?;
                view.metrics.insert(metric.name.clone(), shown);
                self.add_watermark(topic, &mut view).await?;
            }
        }
        for keyed in self.catalog.keyed.iter().filter(|keyed| needs.table(&keyed.name)) {
            let Some(topic) = self.catalog.topic(&keyed.topic) else { continue };
            view.keyed.insert(keyed.name.clone(), self.keyed_view(keyed, topic, reads_all).await?);
            self.add_watermark(topic, &mut view).await?;
        }
        let mut engine_tables = BTreeMap::new();
        for table in EngineTable::ALL.into_iter().filter(|table| needs.table(table.name())) {
            match self.engine_table(table).await? {
                Some(rows) => drop(engine_tables.insert(table, rows)),
                None if table.is_always_there() || reads_all => {}
                None => {
                    let place = self.location.to_string();
                    return Err(QueryError::NothingStored { names: table.name().to_owned(), place });
                }
            }
        }
        Ok(ReadPoint {
            histories: Arc::new(histories),
            engine_tables: Arc::new(engine_tables),
            ..ReadPoint::new(Principal::operator(), Arc::new(view), now_ms)
        })
    }

    /// The committed watermark of a topic of which only what is made of it is read.
    async fn add_watermark(&self, topic: &Topic, view: &mut View) -> Result<(), QueryError> {
        if !view.committed_watermarks.contains_key(&topic.name)
            && let Some(archive) = Archive::read(topic, &self.location).await?
        {
            let watermark = archive.watermark().await?;
            view.committed_watermarks.extend(watermark.map(|watermark| (topic.name.clone(), watermark)));
        }
        Ok(())
    }

    fn reads_rows(&self, topic: &Topic, needs: &Needs) -> bool {
        needs.table(&topic.name) || needs.table(EngineTable::Ledger.name())
    }

    async fn metric_view(&self, metric: &Metric, topic: &Topic, may_lack: bool) -> Result<MetricView, QueryError> {
        let session = engine_session(EngineConfig::default())?;
        let plan = MetricPlan::new(metric, topic, &self.settings, &session)?;
        let version = metric.version(&self.settings, topic.lateness_ms);
        let location = Layout::of(&self.location).metrics();
        let (published, published_through_ms) = match MetricTable::rows(&metric.name, &version, &location).await? {
            Some((rows, through_ms)) => (rows, through_ms),
            None if !may_lack && !MetricTable::versions(&metric.name, &location).await?.is_empty() => {
                return Err(QueryError::NotPublished { metric: metric.name.clone() });
            }
            None if !may_lack && Archive::read(topic, &self.location).await?.is_none() => {
                let place = self.location.to_string();
                return Err(QueryError::NothingStored { names: metric.name.clone(), place });
            }
            None => (Arc::new(EmptyTable::new(Arc::clone(plan.rows_schema()))) as _, None),
        };
        Ok(MetricView {
            topic: topic.name.clone(),
            window: metric.window,
            schema: Arc::clone(plan.rows_schema()),
            published,
            published_through_ms,
            open: Arc::default(),
            open_at_commit: None,
            completeness: Completeness::default(),
            failure: None,
        })
    }

    async fn keyed_view(&self, keyed: &KeyedView, topic: &Topic, may_lack: bool) -> Result<KeyedTableView, QueryError> {
        let plan = KeyedPlan::new(keyed, topic, &self.settings);
        let plan = Arc::new(plan.map_err(|errors| QueryError::Catalog(Diagnostics(errors)))?);
        let table = KeyedTable::read(&plan, &self.location).await?;
        if table.is_none() && !may_lack {
            if Archive::read(topic, &self.location).await?.is_none() {
                let place = self.location.to_string();
                return Err(QueryError::NothingStored { names: keyed.name.clone(), place });
            }
            return Err(QueryError::NotPublished { metric: keyed.name.clone() });
        }
        let (mut since_ms, mut failure) = (None, None);
        let rows: Arc<dyn TableProvider> = match &table {
            Some(table) => {
                since_ms = table.since_ms().await?;
                failure = table.failure().await?;
                table.rows().await?
            }
            None => Arc::new(EmptyTable::new(Arc::clone(plan.rows_schema()))),
        };
        let failure = failure.map(|(since_ms, reason)| MetricFailure { reason, since_ms, is_set_aside: true });
        let (topic, keys, through) = (topic.name.clone(), keyed.keys.clone(), Arc::default());
        Ok(KeyedTableView { topic, keys, rows, through, since_ms, failure })
    }

    async fn engine_table(&self, table: EngineTable) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        match table {
            // Made of the topics' own tables.
            EngineTable::Ledger => Ok(None),
            EngineTable::Alerts => Ok(alerts_table(&self.location).await?),
            EngineTable::AlertTransitions => Ok(transitions_table(&self.location).await?),
            EngineTable::Quarantine => Ok(Quarantine::of(&self.location).provider().await?),
            EngineTable::Reconciliation | EngineTable::Imports | EngineTable::Audit => {
                let name = table.name();
                match AppendTable::read(name, &Layout::of(&self.location).table(name)).await? {
                    Some(rows) => Ok(Some(rows.provider().await?)),
                    None => Ok(None),
                }
            }
        }
    }
}
