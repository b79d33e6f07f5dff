//! The names of a catalog over one read point, as the engine asks for them: a schema for plain
//! names, one for each domain, and each table is made when a statement names it.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, SchemaProvider,
    TableProvider,
};
use datafusion::datasource::{TableType, ViewTable};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::SessionState;
use vitral_catalog::names::{NOW_SCHEMA, SCHEMA};
use vitral_catalog::{Catalog, EngineTable, Meaning, Names, Scope};

use crate::error::QueryError;
use crate::open_rows::make_open_rows;
use crate::plan::{plan_query, statement_error};
use crate::read_point::ReadPoint;
use crate::reference::References;
use crate::{ledger, metric_rows, set_aside, tables};

pub(crate) const CATALOG: &str = "vitral";

/// What all read points share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub catalog: Arc<Catalog>,
    pub names: Names,
    pub references: References,
    pub scope: Scope,
}

/// Tables by what the catalog calls them.
#[derive(Debug)]
pub(crate) struct Namespace {
    shared: Arc<Shared>,
    point: ReadPoint,
    /// Plans views. It holds this namespace, not the other way round.
    session: OnceLock<Weak<SessionState>>,
}

/// The names as statements of one domain write them; [`SCHEMA`] is the first domain's.
#[derive(Debug)]
struct DomainSchema {
    name: String,
    namespace: Arc<Namespace>,
}

/// `agora`: the newest windows of metrics.
#[derive(Debug)]
struct NewestWindows(Arc<Namespace>);

impl Namespace {
    /// The session with the namespace of this read point.
    pub(crate) fn over(shared: &Arc<Shared>, point: ReadPoint, mut state: SessionState) -> Arc<SessionState> {
        let namespace = Arc::new(Self { shared: Arc::clone(shared), point, session: OnceLock::new() });
        state.register_catalog_list(catalogs(&namespace));
        let state = Arc::new(state);
        // It was made a moment ago: nobody has set it.
        let _ = namespace.session.set(Arc::downgrade(&state));
        state
    }

    fn session(&self) -> EngineResult<Arc<SessionState>> {
        let session = self.session.get().and_then(Weak::upgrade);
        session.ok_or_else(|| DataFusionError::Internal("the namespace has outlived its session".to_owned()))
    }

    async fn provide(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        let Shared { catalog, names, references, .. } = self.shared.as_ref();
        let ReadPoint { view, histories, reconciliations, alerts, engine_tables, .. } = &self.point;
        let unavailable = || self.unavailable(name);
        let plan = match names.get(name) {
            None => return Ok(None),
            Some(Meaning::Lookup { .. }) => return Ok(self.point.looked_up.get(name).map(Arc::clone)),
            Some(Meaning::Topic) => {
                let topic = catalog.topic(name).ok_or_else(unavailable)?;
                let shown = view.topics.get(name).ok_or_else(unavailable)?;
                tables::topic_plan(topic, shown, tables::imported(histories, name)?)?
            }
            Some(Meaning::Metric { .. }) => {
                let shown = view.metrics.get(name).ok_or_else(unavailable)?;
                make_open_rows(shown).await?;
                tables::metric_plan(shown)?
            }
            Some(Meaning::Keyed { .. }) => {
                let shown = view.keyed.get(name).ok_or_else(unavailable)?;
                return Ok(Some(set_aside::or_rows(name, shown)));
            }
            Some(Meaning::View(declared)) => {
                let schema = names.schema_of(&declared.position);
                let planned = plan_query(self.session()?.as_ref(), catalog, &declared.query, schema).await;
                planned.map_err(|source| statement_error(source, &declared.position))?
            }
            Some(Meaning::Reference) => {
                let reference = catalog.references.iter().find(|known| known.name == name).ok_or_else(unavailable)?;
                return Ok(Some(references.table(reference).await?));
            }
            Some(Meaning::Engine(EngineTable::Ledger)) => ledger::plan(catalog, view, histories)?,
            Some(Meaning::Engine(EngineTable::Reconciliation))
                if !engine_tables.contains_key(&EngineTable::Reconciliation) =>
            {
                return Ok(Some(tables::in_memory_table(reconciliations.as_ref().clone())?));
            }
            Some(Meaning::Engine(EngineTable::Alerts)) if !engine_tables.contains_key(&EngineTable::Alerts) => {
                return Ok(Some(tables::in_memory_table(alerts.as_ref().clone())?));
            }
            Some(Meaning::Engine(table)) => return Ok(engine_tables.get(table).map(Arc::clone)),
        };
        Ok(Some(Arc::new(ViewTable::new(plan, None))))
    }

    async fn newest(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        let Some(metric) = self.shared.catalog.metric(name) else { return Ok(None) };
        let shown = self.point.view.metrics.get(name).ok_or_else(|| self.unavailable(name))?;
        let now_ms = self.point.now_ms;
        let rows = match metric_rows::newest_open(shown, now_ms, None).await? {
            Some(rows) => rows,
            None => metric_rows::newest_published(self.session()?.as_ref(), metric, shown, now_ms, None).await?,
        };
        Ok(Some(tables::in_memory_table(rows)?))
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

    fn names(&self) -> impl Iterator<Item = (&str, &Meaning)> {
        self.shared.names.of(self.shared.scope)
    }
}

impl DomainSchema {
    /// What the catalog calls a table of this schema.
    fn find<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.namespace.shared.names.in_schema(&self.name, name)
    }
}

#[async_trait]
impl SchemaProvider for DomainSchema {
    fn table_names(&self) -> Vec<String> {
        let Shared { names, scope, .. } = self.namespace.shared.as_ref();
        names.listed(&self.name, *scope).into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        match self.find(name) {
            Some(name) => Ok(self.namespace.provide(name).await?),
            None => Ok(None),
        }
    }

    async fn table_type(&self, name: &str) -> EngineResult<Option<TableType>> {
        Ok(self.find(name).and_then(|name| self.namespace.shared.names.get(name)).map(|meaning| match meaning {
            Meaning::View(_) => TableType::View,
            _ => TableType::Base,
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some_and(|found| self.namespace.names().any(|(known, _)| known == found))
    }
}

#[async_trait]
impl SchemaProvider for NewestWindows {
    fn table_names(&self) -> Vec<String> {
        let metrics = self.0.names().filter(|(_, meaning)| matches!(meaning, Meaning::Metric { .. }));
        metrics.map(|(name, _)| name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        Ok(self.0.newest(name).await?)
    }

    async fn table_type(&self, name: &str) -> EngineResult<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        matches!(self.0.shared.names.get(name), Some(Meaning::Metric { .. }))
    }
}

fn catalogs(namespace: &Arc<Namespace>) -> Arc<dyn CatalogProviderList> {
    let catalog = MemoryCatalogProvider::new();
    let newest = Arc::new(NewestWindows(Arc::clone(namespace)));
    // It refuses nothing.
    let _ = catalog.register_schema(NOW_SCHEMA, newest);
    for name in [SCHEMA].into_iter().chain(namespace.shared.names.domains()) {
        let schema = DomainSchema { name: name.to_owned(), namespace: Arc::clone(namespace) };
        let _ = catalog.register_schema(name, Arc::new(schema));
    }
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Arc::new(catalogs)
}

#[cfg(test)]
mod tests;
