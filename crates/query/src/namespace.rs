//! The names of a catalog over one read point, as the engine asks for them: a schema for plain
//! names, one for each domain, and each table is made when a statement names it.
//!
//! There are two sessions over it. In the one for what the catalog declares, views and endpoints,
//! every name is there, and to read what the principal may not see is an error. In the other one,
//! for what a principal writes, only the names are there that it may name; views are planned in
//! the first one all the same.

pub(crate) mod sums;

use std::sync::{Arc, OnceLock, Weak};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, SchemaProvider,
    TableProvider,
};
use datafusion::datasource::{TableType, ViewTable};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::SessionState;
use vitral_catalog::names::{NOW_SCHEMA, SCHEMA, SUMS_SCHEMA, WAREHOUSE_SCHEMA};
use vitral_catalog::{EngineTable, Meaning};

use crate::error::QueryError;
use crate::metric_rows::SeenMetric;
use crate::open_rows::make_open_rows;
use crate::plan::{plan_query, statement_error};
use crate::read_point::ReadPoint;
use crate::seen_rows;
use crate::shared::Shared;
use crate::visibility::Sight;
use crate::{ledger, set_aside, tables};

pub(crate) const CATALOG: &str = "vitral";

/// Tables by what the catalog calls them.
#[derive(Debug)]
pub(crate) struct Namespace {
    shared: Arc<Shared>,
    point: ReadPoint,
    /// Plans views. It holds this namespace, not the other way round.
    session: OnceLock<Weak<SessionState>>,
}

/// The namespace for statements of one kind.
#[derive(Debug, Clone)]
struct Written {
    namespace: Arc<Namespace>,
    /// For statements that a principal writes, the session that plans views.
    views: Option<Arc<SessionState>>,
}

/// The names as statements of one domain write them; [`SCHEMA`] is the first domain's, and
/// [`WAREHOUSE_SCHEMA`] has the tables of jobs.
#[derive(Debug)]
struct DomainSchema {
    name: String,
    written: Written,
}

/// `agora`: the newest windows of metrics.
#[derive(Debug)]
struct NewestWindows(Written);

/// `soma`: sums over ranges of time.
#[derive(Debug)]
struct RangeSums(Written);

impl Namespace {
    /// The session with the namespace of this read point, for what the catalog declares.
    pub(crate) fn over(shared: &Arc<Shared>, point: ReadPoint, state: SessionState) -> Arc<SessionState> {
        Self::declared(shared, point, state).1
    }

    /// The same for what the read point's principal writes.
    pub(crate) fn over_named(shared: &Arc<Shared>, point: ReadPoint, mut state: SessionState) -> Arc<SessionState> {
        let (namespace, views) = Self::declared(shared, point, state.clone());
        if namespace.sight().is_of_everything() {
            return views;
        }
        state.register_catalog_list(Written { namespace, views: Some(views) }.catalogs());
        Arc::new(state)
    }

    fn declared(shared: &Arc<Shared>, point: ReadPoint, mut state: SessionState) -> (Arc<Self>, Arc<SessionState>) {
        let namespace = Arc::new(Self { shared: Arc::clone(shared), point, session: OnceLock::new() });
        state.register_catalog_list(Written { namespace: Arc::clone(&namespace), views: None }.catalogs());
        let state = Arc::new(state);
        // It was made a moment ago: nobody has set it.
        let _ = namespace.session.set(Arc::downgrade(&state));
        (namespace, state)
    }

    fn sight(&self) -> Sight<'_> {
        Sight { shared: &self.shared, principal: &self.point.principal }
    }

    fn session(&self) -> EngineResult<Arc<SessionState>> {
        let session = self.session.get().and_then(Weak::upgrade);
        session.ok_or_else(|| DataFusionError::Internal("the namespace has outlived its session".to_owned()))
    }

    async fn provide(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        let Shared { catalog, names, references, .. } = self.shared.as_ref();
        let ReadPoint { view, histories, principal, .. } = &self.point;
        let unavailable = || self.unavailable(name);
        let Some(meaning) = names.get(name) else { return Ok(None) };
        self.sight().check(name)?;
        let plan = match meaning {
            Meaning::Lookup { .. } => match self.point.looked_up.get(name) {
                Some(rows) => return self.seen(name, Arc::clone(rows)).map(Some),
                None => return Ok(None),
            },
            Meaning::Topic => {
                let topic = catalog.topic(name).ok_or_else(unavailable)?;
                let shown = view.topics.get(name).ok_or_else(unavailable)?;
                tables::topic_plan(topic, shown, tables::imported(histories, name)?)?
            }
            Meaning::Metric { .. } => {
                let shown = view.metrics.get(name).ok_or_else(unavailable)?;
                make_open_rows(shown).await?;
                tables::metric_plan(shown)?
            }
            Meaning::Keyed { .. } if self.is_summed_for_some(name) => {
                let keyed = catalog.keyed_view(name).ok_or_else(unavailable)?;
                let rows = sums::statement(self.session()?.as_ref(), &self.shared, keyed).await?;
                // The topic's rows are filtered already.
                return Ok(Some(Arc::new(ViewTable::new(rows, None))));
            }
            Meaning::Keyed { .. } => {
                let shown = view.keyed.get(name).ok_or_else(unavailable)?;
                return self.seen(name, set_aside::or_rows(name, shown, principal)).map(Some);
            }
            Meaning::View(declared) => {
                let schema = names.schema_of(&declared.position);
                let planned = plan_query(self.session()?.as_ref(), catalog, &declared.query, schema).await;
                let plan = planned.map_err(|source| statement_error(source, &declared.position))?;
                // It reads what is filtered already.
                return Ok(Some(Arc::new(ViewTable::new(plan, None))));
            }
            Meaning::Reference => {
                let reference = catalog.references.iter().find(|known| known.name == name).ok_or_else(unavailable)?;
                return self.seen(name, references.table(reference).await?).map(Some);
            }
            Meaning::Engine(table) => return self.engine_table(*table),
            Meaning::Warehouse { .. } => return Ok(self.point.warehouse.tables.get(name).map(Arc::clone)),
        };
        seen_rows::table(name, principal.filters(), plan).map(Some)
    }

    /// The rows of a table that the principal sees.
    fn seen(&self, name: &str, rows: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>, QueryError> {
        match self.point.principal.filters() {
            filters if filters.is_empty() => Ok(rows),
            filters => seen_rows::table(name, filters, tables::scan(rows)?.build()?),
        }
    }

    fn engine_table(&self, table: EngineTable) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        let ReadPoint { view, histories, reconciliations, alerts, engine_tables, .. } = &self.point;
        let in_memory = |rows: &RecordBatch| tables::in_memory_table(rows.clone());
        match (table, engine_tables.get(&table)) {
            (EngineTable::Ledger, _) => {
                let plan = ledger::plan(&self.shared.catalog, view, histories)?;
                Ok(Some(Arc::new(ViewTable::new(plan, None))))
            }
            (_, Some(rows)) => Ok(Some(Arc::clone(rows))),
            (EngineTable::Reconciliation, None) => Ok(Some(in_memory(reconciliations)?)),
            (EngineTable::Alerts, None) => Ok(Some(in_memory(alerts)?)),
            (_, None) => Ok(None),
        }
    }

    async fn newest(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        let Some(metric) = self.shared.catalog.metric(name) else { return Ok(None) };
        self.sight().check(name)?;
        let shown = self.point.view.metrics.get(name).ok_or_else(|| self.unavailable(name))?;
        let filters = self.point.principal.filters();
        let rows = SeenMetric { metric, view: shown, filters, recent: &self.shared.recent };
        let now_ms = self.point.now_ms;
        let rows = match rows.newest_open(now_ms, None).await? {
            Some(rows) => rows,
            None => rows.newest_published(self.session()?.as_ref(), now_ms, None).await?,
        };
        Ok(Some(tables::in_memory_table(rows)?))
    }

    /// Whether it is a table of sums, and the principal sees some rows only.
    fn is_summed_for_some(&self, name: &str) -> bool {
        let view = self.shared.catalog.keyed_view(name);
        view.is_some_and(|view| view.rollup.is_some()) && !self.point.principal.filters().is_empty()
    }

    async fn sums(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        let Some(view) = self.shared.catalog.keyed_view(name) else { return Ok(None) };
        self.sight().check(name)?;
        let session = self.session()?;
        let table = sums::rollup_table(&self.shared.rollups, &self.shared, view, &self.point, &session).await?;
        Ok(table.map(|table| Arc::new(table) as _))
    }

    /// Why a topic or metric of the catalog is not in the view.
    fn unavailable(&self, name: &str) -> QueryError {
        let catalog = &self.shared.catalog;
        let topic = catalog.metric(name).map(|metric| metric.topic.as_str());
        let topic = topic.or_else(|| catalog.keyed_view(name).map(|view| view.topic.as_str())).unwrap_or(name);
        match self.point.view.topics_waiting.get(topic) {
            Some(reason) => QueryError::TopicWaiting { topic: topic.to_owned(), reason: reason.clone() },
            None => QueryError::Unavailable(name.to_owned()),
        }
    }

    /// False for a table of the warehouse that is not there: such are found before anything is
    /// planned.
    fn has_rows(&self, name: &str) -> bool {
        let is_of_warehouse = matches!(self.shared.names.get(name), Some(Meaning::Warehouse { .. }));
        !is_of_warehouse || self.point.warehouse.tables.contains_key(name)
    }

    fn names(&self) -> impl Iterator<Item = (&str, &Meaning)> {
        self.shared.names.of(self.shared.scope)
    }
}

impl Written {
    fn catalogs(self) -> Arc<dyn CatalogProviderList> {
        let catalog = MemoryCatalogProvider::new();
        // It refuses nothing.
        let _ = catalog.register_schema(NOW_SCHEMA, Arc::new(NewestWindows(self.clone())));
        let _ = catalog.register_schema(SUMS_SCHEMA, Arc::new(RangeSums(self.clone())));
        for name in [SCHEMA, WAREHOUSE_SCHEMA].into_iter().chain(self.namespace.shared.names.domains()) {
            let schema = DomainSchema { name: name.to_owned(), written: self.clone() };
            let _ = catalog.register_schema(name, Arc::new(schema));
        }
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        Arc::new(catalogs)
    }

    /// Whether statements of this kind have the name.
    fn has(&self, name: &str) -> bool {
        self.namespace.has_rows(name) && (self.views.is_none() || self.namespace.sight().may_name(name))
    }
}

impl DomainSchema {
    /// What the catalog calls a table of this schema.
    fn find<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let found = self.written.namespace.shared.names.in_schema(&self.name, name);
        found.filter(|found| self.written.has(found))
    }
}

#[async_trait]
impl SchemaProvider for DomainSchema {
    fn table_names(&self) -> Vec<String> {
        let Shared { names, scope, .. } = self.written.namespace.shared.as_ref();
        let listed = names.listed(&self.name, *scope).into_iter().filter(|(_, id)| self.written.has(id));
        listed.map(|(name, _)| name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        match self.find(name) {
            Some(name) => Ok(self.written.namespace.provide(name).await?),
            None => Ok(None),
        }
    }

    async fn table_type(&self, name: &str) -> EngineResult<Option<TableType>> {
        Ok(self.find(name).and_then(|name| self.written.namespace.shared.names.get(name)).map(
            |meaning| match meaning {
                Meaning::View(_) => TableType::View,
                _ => TableType::Base,
            },
        ))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some_and(|found| self.written.namespace.names().any(|(known, _)| known == found))
    }
}

#[async_trait]
impl SchemaProvider for NewestWindows {
    fn table_names(&self) -> Vec<String> {
        let metrics = self.0.namespace.names().filter(|(_, meaning)| matches!(meaning, Meaning::Metric { .. }));
        metrics.filter(|(name, _)| self.0.has(name)).map(|(name, _)| name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        if self.table_exist(name) { Ok(self.0.namespace.newest(name).await?) } else { Ok(None) }
    }

    async fn table_type(&self, name: &str) -> EngineResult<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        matches!(self.0.namespace.shared.names.get(name), Some(Meaning::Metric { .. })) && self.0.has(name)
    }
}

#[async_trait]
impl SchemaProvider for RangeSums {
    fn table_names(&self) -> Vec<String> {
        let views = self.0.namespace.shared.catalog.keyed.iter();
        let views = views.filter(|view| view.rollup.is_some() && self.0.has(&view.name));
        views.map(|view| view.name.clone()).collect()
    }

    async fn table(&self, name: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        if self.table_exist(name) { Ok(self.0.namespace.sums(name).await?) } else { Ok(None) }
    }

    async fn table_type(&self, name: &str) -> EngineResult<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        let view = self.0.namespace.shared.catalog.keyed_view(name);
        view.is_some_and(|view| view.rollup.is_some()) && self.0.has(name)
    }
}

#[cfg(test)]
mod tests;
