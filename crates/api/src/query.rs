//! Read-only queries over one view: a session that sees just what a statement mentions, within bounds.

mod error;
mod ledger;
pub(crate) mod metric_rows;
mod permits;
mod reference;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider, TableProvider,
};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::ViewTable;
use datafusion::error::Result;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Query;
use vitral_catalog::{Catalog, Diagnostic, Endpoint, Reference};
use vitral_engine::query_state;
use vitral_panes::view::View;
use vitral_store::Histories;

use self::reference::References;
use crate::config::ApiConfig;
use crate::error::ApiError;
use crate::sources::{self, NOW_SCHEMA, Name, Needs, SCHEMA, Source, Sources};

pub(crate) use self::error::QueryError;
pub(crate) use self::permits::Permit;
use self::permits::Permits;
pub(crate) use self::tables::{PROVISIONAL_COLUMN, utc};

const CATALOG: &str = "vitral";
/// Rows of the ledger that are read together: each may have a content as large as a message may be.
const LEDGER_BATCH_ROWS: usize = 128;

pub(crate) struct Reader {
    state: SessionState,
    catalog: Arc<Catalog>,
    sources: Sources,
    references: References,
    permits: Permits,
    timeout: Duration,
}

/// What one answer is computed from, taken once.
pub(crate) struct Moment<'a> {
    pub view: &'a View,
    pub histories: &'a Histories,
    pub reconciliations: &'a RecordBatch,
    pub now_ms: i64,
}

impl Reader {
    pub(crate) fn new(catalog: Arc<Catalog>, config: &ApiConfig) -> Result<Self, ApiError> {
        let state = query_state(config.query_memory_bytes, CATALOG, SCHEMA).map_err(ApiError::Engine)?;
        let functions = state.table_functions().keys().cloned().collect();
        let sources = Sources::new(&catalog, functions).map_err(ApiError::Catalog)?;
        Ok(Self {
            state,
            catalog,
            sources,
            references: References::new(config.reference_dir.clone()),
            permits: Permits::new(config.queries_max, config.queries_waiting_max),
            timeout: config.query_timeout,
        })
    }

    pub(crate) fn needs(&self, endpoint: &Endpoint) -> Result<Needs, Diagnostic> {
        self.sources.needs(&endpoint.query, &endpoint.position)
    }

    /// Runs one request's queries within the bounds of all.
    pub(crate) async fn bounded<T>(&self, work: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
        self.admitted(async |_permit| work.await).await
    }

    /// The same for work that goes on with its permit: until its answer is sent.
    pub(crate) async fn admitted<T>(
        &self,
        work: impl AsyncFnOnce(Permit) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let work = async { work(self.permits.acquire().await?).await };
        tokio::time::timeout(self.timeout, work).await.unwrap_or(Err(QueryError::Timeout))
    }

    /// Waits for something as long as a query may take.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, QueryError> {
        tokio::time::timeout(self.timeout, work).await.map_err(|_| QueryError::Timeout)
    }

    /// Whether the names, views seen through, give the same rows from the same tables whenever they are asked.
    pub(crate) fn is_steady(&self, query: &Query, needs: &Needs) -> bool {
        /// Functions whose value is of the moment, and the start of their text.
        const OF_THE_MOMENT: [&str; 8] =
            ["now(", "current_date", "current_time", "localtime", "random(", "uuid(", "today(", "to_local_time("];
        let is_steady = |query: &Query| {
            let text = query.to_string().to_lowercase();
            !OF_THE_MOMENT.iter().any(|function| text.contains(function))
        };
        let of_name = |name: &Name| match name {
            Name::Newest(_) => false,
            Name::Table(name) => match self.sources.get(name) {
                Some(Source::View { query, .. }) => is_steady(query),
                // Its file may change.
                Some(Source::Reference) => false,
                _ => true,
            },
        };
        is_steady(query) && needs.names.iter().all(of_name)
    }

    /// A session in which nothing is registered: for plans that are built by hand.
    pub(crate) fn session(&self) -> SessionContext {
        SessionContext::new_with_state(self.state.clone())
    }

    /// Plans a catalog query over one moment. Placeholders are left in it.
    pub(crate) async fn plan(
        &self,
        moment: &Moment<'_>,
        query: &Query,
        needs: &Needs,
    ) -> Result<(SessionContext, LogicalPlan), QueryError> {
        let (tables, newest) = (Arc::new(MemorySchemaProvider::new()), Arc::new(MemorySchemaProvider::new()));
        let mut context = self.session_with(Arc::clone(&tables), Arc::clone(&newest))?;
        if needs.names.contains(&Name::Table(sources::LEDGER.to_owned())) {
            context = with_batches_of(context, LEDGER_BATCH_ROWS);
        }
        for name in &needs.names {
            match name {
                Name::Table(name) => {
                    if let Some(table) = self.table(moment, name, &context).await? {
                        tables.register_table(name.clone(), table)?;
                    }
                }
                Name::Newest(metric) => {
                    let table = self.newest_window(moment.view, metric, moment.now_ms).await?;
                    newest.register_table(metric.clone(), table)?;
                }
            }
        }
        let plan = plan_query(&context, query).await?;
        Ok((context, plan))
    }

    fn session_with(
        &self,
        tables: Arc<MemorySchemaProvider>,
        newest: Arc<MemorySchemaProvider>,
    ) -> Result<SessionContext> {
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, tables)?;
        catalog.register_schema(NOW_SCHEMA, newest)?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.into(), Arc::new(catalog));
        let state =
            SessionStateBuilder::new_from_existing(self.state.clone()).with_catalog_list(Arc::new(catalogs)).build();
        Ok(SessionContext::new_with_state(state))
    }

    async fn table(
        &self,
        moment: &Moment<'_>,
        name: &str,
        context: &SessionContext,
    ) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        let view = moment.view;
        let unavailable = || unavailable(view, &self.catalog, name);
        let plan = match self.sources.get(name) {
            None => return Ok(None),
            Some(Source::Topic) => {
                let topic = self.catalog.topic(name).ok_or_else(unavailable)?;
                let history = moment.histories.get(name);
                tables::topic_plan(topic, view.topics.get(name).ok_or_else(unavailable)?, history)?
            }
            Some(Source::Ledger) => ledger::plan(&self.catalog, view, moment.histories)?,
            Some(Source::Metric { .. }) => tables::metric_plan(view.metrics.get(name).ok_or_else(unavailable)?)?,
            Some(Source::View { query, .. }) => plan_query(context, query).await?,
            Some(Source::Reconciliation) => return Ok(Some(tables::at_hand(moment.reconciliations.clone())?)),
            Some(Source::Reference) => {
                let known = |reference: &&Reference| reference.name == name;
                let reference = self.catalog.references.iter().find(known).ok_or_else(unavailable)?;
                return Ok(Some(self.references.table(reference).await?));
            }
        };
        Ok(Some(Arc::new(ViewTable::new(plan, None))))
    }

    async fn newest_window(&self, view: &View, name: &str, now_ms: i64) -> Result<Arc<dyn TableProvider>, QueryError> {
        let unavailable = || unavailable(view, &self.catalog, name);
        let metric = self.catalog.metric(name).ok_or_else(unavailable)?;
        let shown = view.metrics.get(name).ok_or_else(unavailable)?;
        let rows = match metric_rows::newest_open(shown, now_ms, None)? {
            Some(rows) => rows,
            None => metric_rows::newest_published(self, metric, shown, now_ms, None).await?,
        };
        Ok(tables::at_hand(rows)?)
    }
}

fn with_batches_of(context: SessionContext, rows: usize) -> SessionContext {
    let mut state = context.state();
    let config = state.config_mut();
    *config = config.clone().with_batch_size(rows);
    SessionContext::new_with_state(state)
}

/// Why a topic or metric of the catalog is not in the view.
fn unavailable(view: &View, catalog: &Catalog, name: &str) -> QueryError {
    let topic = catalog.metric(name).map_or(name, |metric| metric.topic.as_str());
    match view.topics_waiting.get(topic) {
        Some(reason) => QueryError::TopicWaiting { topic: topic.to_owned(), reason: reason.clone() },
        None => QueryError::Unavailable(name.to_owned()),
    }
}

/// A frame that runs `plan`, with the time of its start as the query's `now()`.
pub(crate) fn frame(context: &SessionContext, plan: LogicalPlan) -> DataFrame {
    DataFrame::new(context.state(), plan)
}

async fn plan_query(context: &SessionContext, query: &Query) -> Result<LogicalPlan> {
    let plan = context.state().statement_to_plan(sources::statement(query)).await?;
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false).verify_plan(&plan)?;
    Ok(plan)
}
