//! What all connections share: how statements are planned, over which moment and within which
//! limits.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{Query, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion_postgres::pgwire::api::{ConnectionManager, RandomPidSecretKeyGenerator};
use datafusion_postgres::pgwire::error::PgWireError;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use vitral_access::{Access, Denied, Trail};
use vitral_catalog::{Catalog, Diagnostics, DomainSettings, EngineTable, Name, Names, Needs, Position};
use vitral_query::{
    Permit, Planned, Principal, QueryError, ReadPoint, ReadPoints, Reader, References, Store, Warehouse,
};
use vitral_store::Location;

use crate::activity::Activity;
use crate::command::{Commands, ReadQuery, is_of_catalog};
use crate::config::SqlConfig;
use crate::error::{no_longer, of_query, too_often};
use crate::listing::{Directory, Planner, base_session};
use crate::minutes::compared_in_seconds;
use crate::session::Session;

/// What the endpoint reads, and who may.
#[derive(Clone)]
pub struct SqlInputs {
    /// What is declared.
    pub catalog: Arc<Catalog>,
    /// What is newest of everything that can be read.
    pub points: ReadPoints,
    /// Who may ask.
    pub access: Access,
    /// Where tables lie that only readers of stored files have.
    pub store: Location,
    /// What reads the tables of jobs.
    pub warehouse: Warehouse,
    /// What holds for the catalog.
    pub settings: DomainSettings,
    /// The folder of the reference tables' files.
    pub reference_dir: PathBuf,
    /// Ends the endpoint.
    pub shutdown: CancellationToken,
}

/// The endpoint.
pub(crate) struct Server {
    pub config: SqlConfig,
    pub access: Access,
    /// What is written down of those who are not let in.
    pub trail: Trail,
    pub commands: Commands,
    pub cancels: Arc<ConnectionManager>,
    /// What each connection does.
    pub activity: Arc<Activity>,
    pub pids: RandomPidSecretKeyGenerator,
    /// The right to be connected, for those who have signed in.
    pub connections: Arc<Semaphore>,
    catalog: Arc<Catalog>,
    points: ReadPoints,
    store: Store,
    warehouse: Warehouse,
    base: Arc<Reader>,
    directory: Directory,
    /// Table functions, which look like tables.
    functions: HashSet<String>,
}

impl Server {
    pub(crate) fn new(config: SqlConfig, inputs: SqlInputs) -> Result<Self, QueryError> {
        let SqlInputs { catalog, points, access, store, warehouse, settings, reference_dir, shutdown } = inputs;
        let references = References::new(reference_dir);
        let bare = Reader::stored(Arc::clone(&catalog), references, config.limits)?;
        let session = base_session(bare.session(), &settings)?;
        let functions = session.table_functions().keys().cloned().collect();
        let activity = Arc::new(Activity::default());
        let base = Arc::new(bare.with_session(session, Vec::new()));
        Ok(Self {
            directory: Directory::new(Arc::clone(&base), Arc::clone(&activity))?,
            trail: Trail::new(access.is_on().then(|| store.clone()), shutdown),
            store: Store::new(Arc::clone(&catalog), settings, store),
            warehouse,
            commands: Commands::new(),
            cancels: Arc::new(ConnectionManager::new()),
            pids: RandomPidSecretKeyGenerator::default(),
            connections: Arc::new(Semaphore::new(config.connections.clamp(1, Semaphore::MAX_PERMITS))),
            activity,
            config,
            access,
            catalog,
            points,
            base,
            functions,
        })
    }

    /// An error if the key of a connection does not hold any more, or is another principal than
    /// when it began. Where that cannot be asked now, it is as it was.
    pub(crate) async fn still_holds(&self, key: &str, principal: &Principal) -> Result<(), PgWireError> {
        match self.access.principal_of_key(key).await {
            Ok(now) if now == *principal => Ok(()),
            Ok(_) => Err(no_longer("what the key may do was changed")),
            Err(Denied::Unavailable(_)) => Ok(()),
            Err(denied) => Err(no_longer(&denied.to_string())),
        }
    }

    /// Counts a statement of somebody, who may have sent too many.
    pub(crate) async fn count(&self, principal: &Principal) -> Result<(), PgWireError> {
        let rate = self.access.rates().check(principal).await;
        if rate.is_allowed { Ok(()) } else { Err(too_often(rate.limit, rate.retry_after)) }
    }

    /// The right to run a statement, once it is its turn.
    pub(crate) async fn permit(&self) -> Result<Permit, PgWireError> {
        let permit = self.base.admitted(async |permit| Ok::<_, QueryError>(permit)).await;
        permit.map_err(|error| of_query(error, ""))
    }

    /// Plans a query over what is newest now. Placeholders are left in it.
    pub(crate) async fn plan(&self, session: &Session, read: &ReadQuery) -> Result<Planned, PgWireError> {
        self.planned(session, read).await.map_err(|error| of_query(error, &read.text))
    }

    async fn planned(&self, session: &Session, read: &ReadQuery) -> Result<Planned, QueryError> {
        let (position, principal) = (Position::file("SQL"), &session.principal);
        let needs = self.needs(principal, read, &position)?;
        let point = self.with_stored(self.points.take(principal.clone())?, &needs).await?;
        let reader =
            if read.looks_around() { self.directory.reader(principal, self).await? } else { Arc::clone(&self.base) };
        let mut planned =
            reader.plan_statement(&point, &read.of_connection(session.peer.pid), &needs, &position).await?;
        planned.plan = compared_in_seconds(planned.plan)?;
        Ok(planned)
    }

    /// What a query reads besides the catalogs, of which only what they tell is read.
    fn needs(&self, principal: &Principal, read: &ReadQuery, position: &Position) -> Result<Needs, QueryError> {
        if !read.tables.iter().any(is_of_catalog) {
            return self.base.needs_of(principal, &read.query, position);
        }
        let is_function = |table: &TableReference| self.functions.contains(table.table());
        let others = read.tables.iter().filter(|table| !is_of_catalog(table) && !is_function(table));
        let others: Vec<String> = others.map(TableReference::to_quoted_string).collect();
        if others.is_empty() {
            return Ok(Needs::default());
        }
        let query = query(&format!("SELECT 1 FROM {}", others.join(", ")), position)?;
        self.base.needs_of(principal, &query, position)
    }

    /// The same moment with the tables that only readers of stored files have.
    async fn with_stored(&self, point: ReadPoint, needs: &Needs) -> Result<ReadPoint, QueryError> {
        let point = self.warehouse.added_to(point, needs, self.base.names()).await?;
        let is_stored = |table: &EngineTable| !table.is_always_there() && needs.table(table.name());
        let names = EngineTable::ALL.into_iter().filter(is_stored).map(|table| Name::Table(table.name().to_owned()));
        let names: Vec<Name> = names.collect();
        if names.is_empty() {
            return Ok(point);
        }
        let stored = self.store.read_point(&Needs { names, ..Needs::default() }, point.now_ms).await?;
        Ok(ReadPoint { engine_tables: stored.engine_tables, ..point })
    }
}

impl Planner for Server {
    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn names(&self) -> &Names {
        self.base.names()
    }

    async fn columns(&self, schema: &str, name: &str) -> Result<SchemaRef, QueryError> {
        let (position, principal) = (Position::file("SQL"), Principal::operator());
        let table = TableReference::partial(schema, name).to_quoted_string();
        let query = query(&format!("SELECT * FROM {table}"), &position)?;
        let needs = self.base.needs_of(&principal, &query, &position)?;
        let point = self.with_stored(self.points.take(principal)?, &needs).await?;
        let planned = self.base.plan_statement(&point, &query, &needs, &position).await?;
        Ok(Arc::new(planned.plan.schema().as_arrow().clone()))
    }
}

fn query(text: &str, position: &Position) -> Result<Box<Query>, QueryError> {
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, text).ok().and_then(|mut statements| statements.pop());
    match parsed {
        Some(Statement::Query(query)) => Ok(query),
        _ => {
            let error = position.error(format!("{text} cannot be read"), String::new());
            Err(QueryError::Statement(Diagnostics(vec![error])))
        }
    }
}
