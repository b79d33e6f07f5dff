//! `pg_catalog` of what one principal may read.
//!
//! Numbers of tables follow from their names: they are the same in every connection and process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::datasource::TableType;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::FunctionRegistry;
use datafusion::scalar::ScalarValue;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::{
    PG_CATALOG_TABLES, PgCatalogSchemaProvider, PgCatalogStaticTables, PgCatalogTable,
};
use datafusion_postgres::pgwire::api::Type;
use vitral_catalog::names::INFORMATION_SCHEMA;
use vitral_query::{Principal, QueryError, Reader};

use super::activity::{ActivityTable, cancel_backend};
use super::columns::{ACTIVITY, EMPTY_TABLES, added_tables, of_texts, typed, typed_rows};
use super::descriptions::{Descriptions, functions};
use super::filled::{SaidRow, filled, in_memory};
use super::functions::own_names;
use super::one_database::{Database, Roles};
use super::{DATABASE, DATABASE_OID, Listed, PG_CATALOG, Tables, information, numbers_of_names, visible};
use crate::activity::Activity;
use crate::settings::defaults;
use crate::types::{pg_type, plain_type, type_modifier, type_size};

/// Tables that tell of what no table here has: constraints, indexes, triggers.
const WITHOUT_ROWS: [&str; 12] = [
    "pg_attrdef",
    "pg_constraint",
    "pg_depend",
    "pg_index",
    "pg_inherits",
    "pg_partitioned_table",
    "pg_policy",
    "pg_publication_rel",
    "pg_rewrite",
    "pg_statistic",
    "pg_statistic_ext",
    "pg_trigger",
];
/// Numbers that PostgreSQL has for its own, which clients and other tables name.
const FIXED: [(&str, &str, i32); 13] = [
    (PG_CATALOG, "", 11),
    ("public", "", 2200),
    (PG_CATALOG, "pg_type", 1247),
    (PG_CATALOG, "pg_attribute", 1249),
    (PG_CATALOG, "pg_proc", 1255),
    (PG_CATALOG, "pg_class", 1259),
    (PG_CATALOG, "pg_authid", 1260),
    (PG_CATALOG, "pg_database", 1262),
    (PG_CATALOG, "pg_attrdef", 2604),
    (PG_CATALOG, "pg_constraint", 2606),
    (PG_CATALOG, "pg_description", 2609),
    (PG_CATALOG, "pg_index", 2610),
    (PG_CATALOG, "pg_namespace", 2615),
];
const CLASS: i32 = 1259;
const OWNER: i32 = 10;
/// The first number that PostgreSQL gives to tables of users.
const FIRST_OID: u32 = 16_384;
const OIDS: u32 = 1 << 30;

type Base = PgCatalogSchemaProvider<Database, Roles>;

/// What is the same for all principals.
#[derive(Debug)]
pub(super) struct PgTables {
    fixed: Arc<PgCatalogStaticTables>,
    /// Those whose columns have other types than upstream's, and those that it lacks.
    typed: HashMap<&'static str, Arc<dyn TableProvider>>,
}

impl PgTables {
    pub(super) fn new() -> Result<Self, QueryError> {
        let fixed = Arc::new(PgCatalogStaticTables::try_new()?);
        let provider = Base::try_new(Database, Arc::clone(&fixed), Roles("".into()))?;
        let mut typed_tables: HashMap<&'static str, Arc<dyn TableProvider>> = HashMap::new();
        for name in PG_CATALOG_TABLES {
            if let Some(PgCatalogTable::Static(table)) = provider.build_table_by_name(name)?
                && typed(name, &table.schema()) != table.schema()
            {
                let columns = typed(name, &table.schema());
                let rows = table.data().iter().map(|rows| typed_rows(rows, &columns)).collect::<EngineResult<_>>()?;
                typed_tables.insert(*name, Arc::new(MemTable::try_new(columns, vec![rows])?));
            }
        }
        for (name, columns) in EMPTY_TABLES {
            typed_tables.insert(name, Arc::new(EmptyTable::new(of_texts(columns))));
        }
        Ok(Self { fixed, typed: typed_tables })
    }

    /// A reader whose sessions have the tables of the catalogs.
    pub(super) async fn reader(
        &self,
        base: &Reader,
        mut tables: Tables,
        principal: &Principal,
        activity: &Arc<Activity>,
    ) -> Result<Reader, QueryError> {
        let shown = tables.clone();
        let provider = Base::try_new(Database, Arc::clone(&self.fixed), Roles(principal.id().into()))?;
        tables.insert(PG_CATALOG.to_owned(), own_tables(&provider)?);
        let information = information::tables(&shown)?;
        tables.insert(INFORMATION_SCHEMA.to_owned(), information::listed(&information));
        let numbers = Numbers::of(&tables);
        let descriptions = Arc::new(descriptions(&tables, &numbers));
        let mut own = self.typed.clone();
        for (name, rows) in [
            ("pg_database", vec![database()]),
            ("pg_settings", settings()),
            ("pg_class", classes(&tables, &numbers)),
            ("pg_attribute", attributes(&tables, &numbers)),
            ("pg_namespace", namespaces(&tables, &numbers)),
            ("pg_tables", table_names(&shown, principal, TableType::Base)),
            ("pg_views", table_names(&shown, principal, TableType::View)),
        ] {
            own.insert(name, in_memory(filled(&schema_of(&provider, name)?, &rows)?)?);
        }
        for name in WITHOUT_ROWS {
            own.insert(name, Arc::new(EmptyTable::new(schema_of(&provider, name)?)));
        }
        let mut described = self.fixed.pg_description.data().to_vec();
        described.push(filled(&self.fixed.pg_description.schema(), &description_rows(&descriptions))?);
        let described = MemTable::try_new(self.fixed.pg_description.schema(), vec![described])?;
        own.insert("pg_description", Arc::new(described));
        own.insert(ACTIVITY, Arc::new(ActivityTable::new(activity, principal)));
        let mut state = base.session();
        let of_principal = [
            numbers_of_names::finder("to_regproc", numbers_of_names::functions(self.fixed.pg_proc.data())),
            numbers_of_names::finder("to_regtype", numbers_of_names::types(self.fixed.pg_type.data())),
            numbers_of_names::finder("to_regclass", numbers_of_names::plain_and_qualified(numbers.all())),
            visible::tables(numbers.all()),
            cancel_backend(activity, principal),
        ];
        for function in functions(&descriptions).into_iter().chain(of_principal).chain(own_names(principal.id())) {
            state.register_udf(Arc::new(function))?;
        }
        let schemas = vec![
            (PG_CATALOG.to_owned(), Arc::new(PgCatalog { own, base: provider }) as Arc<dyn SchemaProvider>),
            (INFORMATION_SCHEMA.to_owned(), Arc::new(information) as _),
        ];
        Ok(base.with_session(state, schemas))
    }
}

/// The numbers of schemas, and of tables in them.
struct Numbers(BTreeMap<(String, String), i32>);

impl Numbers {
    fn of(tables: &Tables) -> Self {
        let mut taken: BTreeSet<i32> = FIXED.iter().map(|(_, _, number)| *number).collect();
        let mut numbers = BTreeMap::new();
        let names = tables.iter().flat_map(|(schema, tables)| {
            std::iter::once((schema.clone(), String::new()))
                .chain(tables.keys().map(|name| (schema.clone(), name.clone())))
        });
        for (schema, name) in names {
            let known = FIXED.iter().find(|(of, known, _)| (*of, *known) == (schema.as_str(), name.as_str()));
            let number = known.map_or_else(
                || {
                    let mut number = hashed(&schema, &name);
                    while taken.contains(&number) {
                        number += 1;
                    }
                    number
                },
                |(_, _, number)| *number,
            );
            taken.insert(number);
            numbers.insert((schema, name), number);
        }
        Self(numbers)
    }

    /// Schema, name and number of each table.
    fn all(&self) -> impl Iterator<Item = (String, String, i32)> {
        let tables = self.0.iter().filter(|((_, name), _)| !name.is_empty());
        tables.map(|((schema, name), number)| (schema.clone(), name.clone(), *number))
    }

    fn schema(&self, schema: &str) -> i32 {
        self.table(schema, "")
    }

    fn table(&self, schema: &str, name: &str) -> i32 {
        self.0.get(&(schema.to_owned(), name.to_owned())).copied().unwrap_or(0)
    }
}

/// FNV-1a, which gives the same in every version of every process.
fn hashed(schema: &str, name: &str) -> i32 {
    let bytes = schema.bytes().chain([0]).chain(name.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    i32::try_from(FIRST_OID + hash % (OIDS - FIRST_OID)).unwrap_or(i32::MAX)
}

fn schema_of(provider: &Base, name: &str) -> EngineResult<SchemaRef> {
    let table = provider.build_table_by_name(name)?;
    table
        .map(|table| typed(name, &table.schema()))
        .ok_or_else(|| DataFusionError::Internal(format!("there is no {name}")))
}

fn own_tables(provider: &Base) -> EngineResult<BTreeMap<String, Listed>> {
    let listed = |name: &&str| {
        let columns = schema_of(provider, name)?;
        Ok(((*name).to_owned(), information::listed_as(name, columns)))
    };
    PG_CATALOG_TABLES.iter().map(listed).collect()
}

fn text(text: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(text.to_owned()))
}

fn number(number: i32) -> ScalarValue {
    ScalarValue::Int32(Some(number))
}

fn all(tables: &Tables) -> impl Iterator<Item = (&String, &String, &Listed)> {
    tables.iter().flat_map(|(schema, tables)| tables.iter().map(move |(name, table)| (schema, name, table)))
}

/// The row of `pg_database`.
fn database() -> SaidRow {
    vec![
        ("oid", number(DATABASE_OID)),
        ("datname", text(DATABASE)),
        ("datdba", number(OWNER)),
        ("encoding", number(6)),
        ("datlocprovider", text("c")),
        ("datcollate", text("C.UTF-8")),
        ("datctype", text("C.UTF-8")),
        ("datallowconn", ScalarValue::Boolean(Some(true))),
        ("datconnlimit", number(-1)),
        ("dattablespace", number(1663)),
    ]
}

/// The rows of `pg_settings`, as they are at first.
fn settings() -> Vec<SaidRow> {
    let row = |(name, value): (&str, &str)| {
        let value = text(value);
        vec![
            ("name", text(name)),
            ("setting", value.clone()),
            ("context", text("user")),
            ("vartype", text("string")),
            ("source", text("default")),
            ("boot_val", value.clone()),
            ("reset_val", value),
        ]
    };
    defaults().map(row).collect()
}

fn namespaces(tables: &Tables, numbers: &Numbers) -> Vec<SaidRow> {
    let row = |schema: &String| {
        vec![("oid", number(numbers.schema(schema))), ("nspname", text(schema)), ("nspowner", number(OWNER))]
    };
    tables.keys().map(row).collect()
}

fn classes(tables: &Tables, numbers: &Numbers) -> Vec<SaidRow> {
    let row = |(schema, name, table): (&String, &String, &Listed)| {
        let oid = numbers.table(schema, name);
        let is_view = table.kind == TableType::View;
        vec![
            ("oid", number(oid)),
            ("relname", text(name)),
            ("relnamespace", number(numbers.schema(schema))),
            ("relowner", number(OWNER)),
            ("relam", number(if is_view { 0 } else { 2 })),
            ("relfilenode", number(if is_view { 0 } else { oid })),
            ("relkind", text(if is_view { "v" } else { "r" })),
            ("relpersistence", text("p")),
            ("relreplident", text("n")),
            ("relispopulated", ScalarValue::Boolean(Some(true))),
            ("relnatts", number(i32::try_from(table.columns.fields().len()).unwrap_or(i32::MAX))),
            // Never counted.
            ("reltuples", ScalarValue::Float64(Some(-1.0))),
        ]
    };
    all(tables).map(row).collect()
}

fn attributes(tables: &Tables, numbers: &Numbers) -> Vec<SaidRow> {
    let mut rows = Vec::new();
    for (schema, name, table) in all(tables) {
        let oid = numbers.table(schema, name);
        for (place, field) in (1..).zip(table.columns.fields()) {
            let kind = pg_type(field);
            let size = type_size(&kind);
            let is_list = matches!(plain_type(field.data_type()), DataType::List(_));
            rows.push(vec![
                ("attrelid", number(oid)),
                ("attname", text(field.name())),
                ("atttypid", number(i32::try_from(kind.oid()).unwrap_or(i32::MAX))),
                ("atttypmod", number(type_modifier(&plain_type(field.data_type())))),
                ("attlen", number(size.into())),
                ("attnum", number(place)),
                ("attndims", number(is_list.into())),
                ("attcacheoff", number(-1)),
                ("attstattarget", number(-1)),
                ("attbyval", ScalarValue::Boolean(Some((1..=8).contains(&size)))),
                ("attalign", text(if size == 8 { "d" } else { "i" })),
                (
                    "attstorage",
                    text(if size > 0 {
                        "p"
                    } else if kind == Type::NUMERIC {
                        "m"
                    } else {
                        "x"
                    }),
                ),
                ("attislocal", ScalarValue::Boolean(Some(true))),
                ("attcollation", number(if kind == Type::TEXT { 100 } else { 0 })),
            ]);
        }
    }
    rows
}

fn table_names(tables: &Tables, principal: &Principal, kind: TableType) -> Vec<SaidRow> {
    let (name_column, owner_column) =
        if kind == TableType::View { ("viewname", "viewowner") } else { ("tablename", "tableowner") };
    let row = |(schema, name, _): (&String, &String, &Listed)| {
        vec![("schemaname", text(schema)), (name_column, text(name)), (owner_column, text(principal.id()))]
    };
    all(tables).filter(|(_, _, table)| table.kind == kind).map(row).collect()
}

fn descriptions(tables: &Tables, numbers: &Numbers) -> Descriptions {
    let mut found = Descriptions::new();
    for (schema, name, table) in all(tables) {
        let oid = numbers.table(schema, name);
        found.extend(table.comment.clone().map(|comment| ((oid, 0), comment)));
        for (place, field) in (1..).zip(table.columns.fields()) {
            let comment = table.column_comments.get(field.name());
            found.extend(comment.map(|comment| ((oid, place), comment.clone())));
        }
    }
    found
}

fn description_rows(descriptions: &Descriptions) -> Vec<SaidRow> {
    let row = |((table, column), comment): (&(i32, i32), &String)| {
        vec![
            ("objoid", number(*table)),
            ("classoid", number(CLASS)),
            ("objsubid", number(*column)),
            ("description", text(comment)),
        ]
    };
    descriptions.iter().map(row).collect()
}

/// `pg_catalog`: our tables before those that are the same everywhere.
#[derive(Debug)]
struct PgCatalog {
    own: HashMap<&'static str, Arc<dyn TableProvider>>,
    base: Base,
}

#[async_trait]
impl SchemaProvider for PgCatalog {
    fn table_names(&self) -> Vec<String> {
        self.base.table_names().into_iter().chain(added_tables().map(str::to_owned)).collect()
    }

    async fn table(&self, name: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        match self.own.get(name) {
            Some(own) => Ok(Some(Arc::clone(own))),
            None => self.base.table(name).await,
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.own.contains_key(name) || self.base.table_exist(name)
    }
}
