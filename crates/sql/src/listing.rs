//! Which tables there are, with their columns: what `pg_catalog` and `information_schema` tell.
//!
//! Columns do not change while a process runs, but for those of the warehouse, so each table is
//! planned once, and each principal's tables are put together once. A table that cannot be read yet
//! is looked for again.

mod activity;
mod columns;
mod descriptions;
mod filled;
mod functions;
mod information;
mod known;
mod numbers_of_names;
mod one_database;
mod pg;
mod visible;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use datafusion::datasource::TableType;
use tokio::sync::Mutex;
use vitral_catalog::Names;
use vitral_catalog::names::WAREHOUSE_SCHEMA;
use vitral_query::{Principal, QueryError, Reader};

pub(crate) use self::columns::added_tables;
pub(crate) use self::functions::base_session;
pub(crate) use self::known::Planner;
use self::pg::PgTables;
use crate::activity::Activity;

/// The one database.
pub(crate) const DATABASE: &str = "vitral";
/// Its number.
const DATABASE_OID: i32 = 16_384;
pub(crate) const PG_CATALOG: &str = "pg_catalog";

/// After so long tables that were not there are looked for again.
const RETRY: Duration = Duration::from_secs(10);
/// After so long tables of the warehouse are looked at again: jobs give them columns.
const WAREHOUSE_KEPT: Duration = Duration::from_secs(60);
/// Principals whose tables are kept.
const PRINCIPALS_MAX: usize = 256;

/// A table, as everybody sees it who may see it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// As the catalog calls it, which is what scopes name.
    pub id: String,
    pub kind: TableType,
    pub columns: SchemaRef,
    pub comment: Option<String>,
    pub column_comments: BTreeMap<String, String>,
}

/// Tables by schema and name.
pub(crate) type Tables = BTreeMap<String, BTreeMap<String, Listed>>;

/// What is known of all tables.
#[derive(Debug)]
pub(crate) struct Directory {
    base: Arc<Reader>,
    pg: PgTables,
    activity: Arc<Activity>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: Tables,
    is_complete: bool,
    tried: Option<Instant>,
    /// When tables of the warehouse were forgotten last.
    looked_again: Option<Instant>,
    /// Of the tables that are known.
    generation: u64,
    readers: HashMap<Principal, (u64, Arc<Reader>)>,
}

impl Directory {
    pub(crate) fn new(base: Arc<Reader>, activity: Arc<Activity>) -> Result<Self, QueryError> {
        Ok(Self { base, pg: PgTables::new()?, activity, state: Mutex::default() })
    }

    /// A reader whose sessions have `pg_catalog` and `information_schema` of what a principal may
    /// read.
    pub(crate) async fn reader(
        &self,
        principal: &Principal,
        planner: &impl Planner,
    ) -> Result<Arc<Reader>, QueryError> {
        let mut state = self.state.lock().await;
        state.forget_warehouse();
        let is_due = state.tried.is_none_or(|tried| tried.elapsed() >= RETRY);
        if !state.is_complete && is_due {
            let before = count(&state.known);
            state.is_complete = known::complete(&mut state.known, planner).await;
            state.tried = Some(Instant::now());
            state.generation += u64::from(count(&state.known) != before);
        }
        let generation = state.generation;
        if let Some((of, reader)) = state.readers.get(principal)
            && *of == generation
        {
            return Ok(Arc::clone(reader));
        }
        let tables = visible(&state.known, &self.base, principal);
        let reader = Arc::new(self.pg.reader(&self.base, tables, principal, &self.activity).await?);
        if state.readers.len() >= PRINCIPALS_MAX {
            state.readers.clear();
        }
        state.readers.insert(principal.clone(), (generation, Arc::clone(&reader)));
        Ok(reader)
    }
}

impl State {
    /// Once their time is over.
    fn forget_warehouse(&mut self) {
        let since = *self.looked_again.get_or_insert_with(Instant::now);
        if since.elapsed() >= WAREHOUSE_KEPT {
            self.looked_again = None;
            if self.known.remove(WAREHOUSE_SCHEMA).is_some_and(|tables| !tables.is_empty()) {
                (self.is_complete, self.tried) = (false, None);
                self.generation += 1;
            }
        }
    }
}

fn count(tables: &Tables) -> usize {
    tables.values().map(BTreeMap::len).sum()
}

/// The tables that a principal may read.
fn visible(known: &Tables, base: &Reader, principal: &Principal) -> Tables {
    let of_schema = |tables: &BTreeMap<String, Listed>| {
        let seen = tables.iter().filter(|(_, table)| base.may_read(principal, &table.id));
        seen.map(|(name, table)| (name.clone(), table.clone())).collect::<BTreeMap<_, _>>()
    };
    known.iter().map(|(schema, tables)| (schema.clone(), of_schema(tables))).collect()
}

/// The schemas of the namespace, in order.
pub(crate) fn schemas(names: &Names) -> Vec<String> {
    use vitral_catalog::names::SCHEMA;
    let mut schemas: Vec<String> = vec![SCHEMA.to_owned()];
    schemas.push(WAREHOUSE_SCHEMA.to_owned());
    schemas.extend(names.domains().map(str::to_owned).filter(|name| name != SCHEMA));
    schemas
}
