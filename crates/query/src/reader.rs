//! Read-only queries over one read point, within the limits of all.

mod extended;
mod named;
mod sums;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::dataframe::DataFrame;
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::sql::sqlparser::ast::Query;
use vitral_catalog::names::SCHEMA;
use vitral_catalog::{Catalog, Diagnostics, Endpoint, EngineTable, Meaning, Name, Names, Needs, Position, Scope};
use vitral_engine::{WATERMARK_FUNCTION, committed_watermark, query_state};
use vitral_schemas::event_time::Watermark;

use crate::error::QueryError;
use crate::limits::Limits;
use crate::made_rows::MadeRows;
use crate::namespace::{self, Namespace};
use crate::permits::{Permit, Permits};
use crate::plan::{frame, frame_at, plan_query, statement_error};
use crate::planning::Planning;
use crate::principal::Principal;
use crate::read_point::ReadPoint;
use crate::recent_rows::RecentRows;
use crate::reference::References;
use crate::rollup::Rollups;
use crate::shared::Shared;
use crate::visibility::Sight;

pub use self::extended::ExtraSchemas;

/// Rows of the ledger that are read together: each may have a content as large as a message may be.
const LEDGER_BATCH_ROWS: usize = 128;

/// Plans and runs queries of one scope over the namespace of a catalog.
#[derive(Debug)]
pub struct Reader {
    state: SessionState,
    namespace: Arc<Shared>,
    scope: Scope,
    permits: Permits,
    planning: Planning,
    timeout: Duration,
    /// Besides those of the namespace.
    schemas: ExtraSchemas,
}

/// A statement's plan, placeholders left in it, and the session that runs it.
#[derive(Debug)]
pub struct Planned {
    /// What is to be run, once its placeholders have values.
    pub plan: LogicalPlan,
    /// What those who get its rows should know of where they come from.
    pub note: Option<String>,
    state: Arc<SessionState>,
    /// Of a statement that anybody may have written.
    planning: Option<Planning>,
}

impl Planned {
    /// Runs a plan made from this one, with the time of its start as the query's `now()`.
    pub fn frame(&self, plan: LogicalPlan) -> DataFrame {
        frame(&self.state, plan)
    }

    /// Runs the statement. What is wrong with its types is found only now, and is said as
    /// [`Reader::plan_statement`] does.
    pub async fn run(&self, position: &Position) -> Result<SendableRecordBatchStream, QueryError> {
        self.execute(self.frame(self.plan.clone()), position).await
    }

    /// The same with this time, in milliseconds since the epoch, as the query's `now()`.
    pub async fn run_at(&self, position: &Position, now_ms: i64) -> Result<SendableRecordBatchStream, QueryError> {
        self.execute(frame_at(&self.state, self.plan.clone(), now_ms), position).await
    }

    async fn execute(&self, frame: DataFrame, position: &Position) -> Result<SendableRecordBatchStream, QueryError> {
        let context = frame.task_ctx();
        let position = position.clone();
        let planned =
            async move { frame.create_physical_plan().await.map_err(|source| statement_error(source, &position)) };
        let physical = match &self.planning {
            Some(planning) => planning.run(planned).await?,
            None => planned.await?,
        };
        Ok(execute_stream(physical, Arc::new(context))?)
    }
}

impl Reader {
    /// For any statement over what is stored.
    pub fn stored(catalog: Arc<Catalog>, references: References, limits: Limits) -> Result<Self, QueryError> {
        Self::new(catalog, references, limits, Scope::Stored)
    }

    /// For what reacts to committed rows, such as alerts: it reads what is served. The catalog was
    /// checked before.
    pub fn reacting(catalog: Arc<Catalog>, references: References, limits: Limits) -> Result<Self, QueryError> {
        Self::new(catalog, references, limits, Scope::Served)
    }

    pub(crate) fn new(
        catalog: Arc<Catalog>,
        references: References,
        limits: Limits,
        scope: Scope,
    ) -> Result<Self, QueryError> {
        let mut state = query_state(limits.memory_bytes, namespace::CATALOG, SCHEMA)?;
        if scope == Scope::Stored {
            let options = state.config_mut().options_mut();
            options.catalog.information_schema = true;
            options.sql_parser.collect_spans = true;
        }
        let names = Names::new(&catalog, state.table_functions().keys().cloned());
        let namespace = Arc::new(Shared {
            catalog,
            names,
            references,
            scope,
            rollups: Rollups::new(limits.rollup_bytes),
            recent: RecentRows::default(),
            made: MadeRows::default(),
        });
        let permits = Permits::new(limits.running_max, limits.waiting_max);
        let planning = Planning::new(limits.running_max);
        Ok(Self { state, namespace, scope, permits, planning, timeout: limits.timeout, schemas: ExtraSchemas::new() })
    }

    /// The same with errors that know their places, for planning alone.
    pub(crate) fn for_checking(mut self) -> Self {
        self.state.config_mut().options_mut().sql_parser.collect_spans = true;
        self
    }

    /// What each name of the catalog stands for.
    pub fn names(&self) -> &Names {
        &self.namespace.names
    }

    /// What is declared.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.namespace.catalog
    }

    /// What a statement reads.
    pub fn needs(&self, query: &Query, position: &Position) -> Result<Needs, QueryError> {
        let needs = self.names().needs(query, position, self.scope);
        needs.map_err(|errors| QueryError::Statement(Diagnostics(errors)))
    }

    /// What a statement reads that this principal has written: all that it may not name is missing,
    /// as a name is that nobody has declared.
    pub fn needs_of(&self, principal: &Principal, query: &Query, position: &Position) -> Result<Needs, QueryError> {
        let sight = self.sight(principal);
        let needs = self.names().needs_seen(query, position, self.scope, &|name| sight.may_name(name));
        needs.map_err(|errors| QueryError::Statement(Diagnostics(errors)))
    }

    /// Whether the principal may name it in a statement, or in the path of a request.
    pub fn may_read(&self, principal: &Principal, name: &str) -> bool {
        self.sight(principal).may_name(name)
    }

    /// An error unless the principal has the endpoint's scope, and sees rows of everything that it
    /// reads.
    pub fn admit(&self, principal: &Principal, endpoint: &Endpoint, needs: &Needs) -> Result<(), QueryError> {
        let sight = self.sight(principal);
        let is_seen = |name: &Name| match name {
            // What it reads is among the names too.
            Name::Table(name) | Name::Newest(name) => sight.sees(name),
            Name::Information(_) => principal.filters().is_empty(),
        };
        if principal.scopes().has(&endpoint.scope) && needs.names.iter().all(is_seen) {
            return Ok(());
        }
        Err(QueryError::Forbidden(endpoint.path.clone()))
    }

    pub(crate) fn sight<'a>(&'a self, principal: &'a Principal) -> Sight<'a> {
        Sight { shared: &self.namespace, principal }
    }

    /// An error unless [`Self::may_read`].
    pub fn check(&self, principal: &Principal, name: &str) -> Result<(), QueryError> {
        if self.may_read(principal, name) { Ok(()) } else { Err(QueryError::Forbidden(name.to_owned())) }
    }

    /// What a statement over everything would read.
    pub fn everything(&self) -> Needs {
        let mut needs = Needs::default();
        for (name, meaning) in self.names().of(self.scope) {
            needs.names.push(Name::Table(name.to_owned()));
            if matches!(meaning, Meaning::Topic) {
                needs.topics.insert(name.to_owned());
            }
            if matches!(meaning, Meaning::Warehouse { .. }) {
                needs.listed.insert(name.to_owned());
            }
        }
        // It takes tables that are not there yet as they are.
        needs.names.push(Name::Information("tables".to_owned()));
        needs
    }

    /// Runs one request's queries within the limits of all.
    pub async fn bounded<T, E: From<QueryError>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.admitted(async |_permit| work.await).await
    }

    /// The same for work that goes on with its permit: until its answer is sent.
    pub async fn admitted<T, E: From<QueryError>>(
        &self,
        work: impl AsyncFnOnce(Permit) -> Result<T, E>,
    ) -> Result<T, E> {
        let work = async { work(self.permits.acquire().await?).await };
        tokio::time::timeout(self.timeout, work).await.unwrap_or(Err(QueryError::Timeout.into()))
    }

    /// Waits for something as long as a query may take.
    pub async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, QueryError> {
        tokio::time::timeout(self.timeout, work).await.map_err(|_| QueryError::Timeout)
    }

    /// Whether the names, views seen through, give the same rows from the same tables whenever they
    /// are asked.
    pub fn is_steady(&self, query: &Query, needs: &Needs) -> bool {
        /// Functions whose value is of the moment, and the start of their text.
        const OF_THE_MOMENT: [&str; 9] = [
            "now(",
            "current_date",
            "current_time",
            "localtime",
            "random(",
            "uuid(",
            "today(",
            "to_local_time(",
            WATERMARK_FUNCTION,
        ];
        let is_steady = |query: &Query| {
            let text = query.to_string().to_lowercase();
            !OF_THE_MOMENT.iter().any(|function| text.contains(function))
        };
        let of_name = |name: &Name| match name {
            Name::Newest(_) | Name::Information(_) => false,
            Name::Table(name) => match self.names().get(name) {
                Some(Meaning::View(view)) => is_steady(&view.query),
                // It may change.
                Some(Meaning::Reference | Meaning::Lookup { .. } | Meaning::Warehouse { .. }) => false,
                _ => true,
            },
        };
        is_steady(query) && needs.names.iter().all(of_name)
    }

    /// A session without tables: for plans that are built by hand.
    pub(crate) fn state(&self) -> &SessionState {
        &self.state
    }

    /// The catalog, and the files of its reference tables.
    pub(crate) fn catalog_and_references(&self) -> (&Catalog, &References) {
        (&self.namespace.catalog, &self.namespace.references)
    }

    /// Plans a query that the read point's principal has written: what it may not name is not
    /// there. Placeholders are left in it.
    pub async fn plan(&self, point: &ReadPoint, query: &Query, needs: &Needs) -> Result<Planned, QueryError> {
        let state = self.state_for(point, needs)?;
        let state = self.extended(Namespace::over_named(&self.namespace, point.clone(), state))?;
        let planned = {
            let (state, namespace) = (Arc::clone(&state), Arc::clone(&self.namespace));
            let (query, schema) = (query.clone(), needs.schema().to_owned());
            async move { Ok(plan_query(&state, &namespace.catalog, &query, &schema).await?) }
        };
        let plan = self.planning.run(planned).await?;
        Ok(Planned { plan, note: point.warehouse.note(), state, planning: Some(self.planning.clone()) })
    }

    /// Plans an endpoint, whose statement may read what its caller may not name: the scope is its
    /// own.
    pub async fn plan_endpoint(
        &self,
        point: &ReadPoint,
        endpoint: &Endpoint,
        needs: &Needs,
    ) -> Result<Planned, QueryError> {
        self.admit(&point.principal, endpoint, needs)?;
        let state = self.state_for(point, needs)?;
        let state = Namespace::over(&self.namespace, point.clone(), state);
        let plan = plan_query(&state, &self.namespace.catalog, &endpoint.query, needs.schema()).await?;
        Ok(Planned { plan, note: None, state, planning: None })
    }

    fn state_for(&self, point: &ReadPoint, needs: &Needs) -> Result<SessionState, QueryError> {
        let mut state = self.state.clone();
        if needs.table(EngineTable::Ledger.name()) {
            let config = state.config_mut();
            *config = config.clone().with_batch_size(LEDGER_BATCH_ROWS);
        }
        state.register_udf(Arc::new(committed_watermark(watermarks(point, needs))))?;
        Ok(state)
    }

    /// As [`Self::plan`], for a statement whose errors are the user's to correct.
    pub async fn plan_statement(
        &self,
        point: &ReadPoint,
        query: &Query,
        needs: &Needs,
        position: &Position,
    ) -> Result<Planned, QueryError> {
        let planned = self.plan(point, query, needs).await;
        planned.map_err(|error| match error {
            QueryError::Engine(source) => statement_error(source, position),
            other => other,
        })
    }
}

/// The committed watermark of each topic that a statement reads.
fn watermarks(point: &ReadPoint, needs: &Needs) -> BTreeMap<String, Option<Watermark>> {
    let of_topic = |topic: &String| (topic.clone(), point.view.committed_watermarks.get(topic).copied());
    needs.topics.iter().map(of_topic).collect()
}
