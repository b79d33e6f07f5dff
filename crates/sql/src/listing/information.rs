//! `information_schema` of what one principal may read, in the words of PostgreSQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result as EngineResult;
use datafusion::scalar::ScalarValue;
use datafusion_postgres::pgwire::api::Type;
use vitral_query::QueryError;

use super::filled::{SaidRow, filled, in_memory};
use super::{DATABASE, Listed, PG_CATALOG, Tables};
use crate::types::{pg_type, plain_type};

/// Tables that clients join, and in which nothing is: names of their columns.
const WITHOUT_ROWS: [(&str, &[&str]); 12] = [
    ("table_constraints", &CONSTRAINT),
    ("key_column_usage", &KEY_COLUMNS),
    ("constraint_column_usage", &CONSTRAINT),
    ("referential_constraints", &REFERENTIAL),
    ("check_constraints", &["constraint_catalog", "constraint_schema", "constraint_name", "check_clause"]),
    (
        "routines",
        &[
            "specific_catalog",
            "specific_schema",
            "specific_name",
            "routine_catalog",
            "routine_schema",
            "routine_name",
            "routine_type",
            "data_type",
            "routine_definition",
            "external_language",
        ],
    ),
    (
        "parameters",
        &[
            "specific_catalog",
            "specific_schema",
            "specific_name",
            "ordinal_position",
            "parameter_mode",
            "parameter_name",
            "data_type",
        ],
    ),
    ("sequences", &["sequence_catalog", "sequence_schema", "sequence_name", "data_type"]),
    ("triggers", &["trigger_catalog", "trigger_schema", "trigger_name", "event_object_schema", "event_object_table"]),
    ("domains", &["domain_catalog", "domain_schema", "domain_name", "data_type"]),
    ("element_types", &["object_catalog", "object_schema", "object_name", "object_type", "data_type"]),
    (
        "column_privileges",
        &[
            "grantor",
            "grantee",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "privilege_type",
            "is_grantable",
        ],
    ),
];
const CONSTRAINT: [&str; 8] = [
    "constraint_catalog",
    "constraint_schema",
    "constraint_name",
    "table_catalog",
    "table_schema",
    "table_name",
    "constraint_type",
    "column_name",
];
const KEY_COLUMNS: [&str; 8] = [
    "constraint_catalog",
    "constraint_schema",
    "constraint_name",
    "table_catalog",
    "table_schema",
    "table_name",
    "column_name",
    "ordinal_position",
];
const REFERENTIAL: [&str; 9] = [
    "constraint_catalog",
    "constraint_schema",
    "constraint_name",
    "unique_constraint_catalog",
    "unique_constraint_schema",
    "unique_constraint_name",
    "match_option",
    "update_rule",
    "delete_rule",
];
const TABLES: [&str; 5] = ["table_catalog", "table_schema", "table_name", "table_type", "is_insertable_into"];
const VIEWS: [&str; 6] =
    ["table_catalog", "table_schema", "table_name", "view_definition", "check_option", "is_updatable"];
const SCHEMATA: [&str; 4] = ["catalog_name", "schema_name", "schema_owner", "default_character_set_name"];
const CHARACTER_SETS: [&str; 3] = ["character_set_catalog", "character_set_schema", "character_set_name"];
const COLUMNS: [(&str, DataType); 18] = [
    ("table_catalog", DataType::Utf8),
    ("table_schema", DataType::Utf8),
    ("table_name", DataType::Utf8),
    ("column_name", DataType::Utf8),
    ("ordinal_position", DataType::Int32),
    ("column_default", DataType::Utf8),
    ("is_nullable", DataType::Utf8),
    ("data_type", DataType::Utf8),
    ("character_maximum_length", DataType::Int32),
    ("numeric_precision", DataType::Int32),
    ("numeric_precision_radix", DataType::Int32),
    ("numeric_scale", DataType::Int32),
    ("datetime_precision", DataType::Int32),
    ("udt_catalog", DataType::Utf8),
    ("udt_schema", DataType::Utf8),
    ("udt_name", DataType::Utf8),
    ("is_identity", DataType::Utf8),
    ("is_generated", DataType::Utf8),
];

/// The tables of the schema, by name.
#[derive(Debug)]
pub(super) struct Information(BTreeMap<&'static str, Arc<dyn TableProvider>>);

/// What is said of these tables.
pub(super) fn tables(tables: &Tables) -> Result<Information, QueryError> {
    let columns = Arc::new(Schema::new(COLUMNS.map(|(name, kind)| Field::new(name, kind, true)).to_vec()));
    let mut found: BTreeMap<&'static str, Arc<dyn TableProvider>> = BTreeMap::new();
    for (name, schema, rows) in [
        ("tables", texts(&TABLES), table_rows(tables)),
        ("views", texts(&VIEWS), view_rows(tables)),
        ("schemata", texts(&SCHEMATA), schema_rows(tables)),
        ("columns", columns, column_rows(tables)),
        ("character_sets", texts(&CHARACTER_SETS), vec![vec![("character_set_name", text("UTF8"))]]),
    ] {
        found.insert(name, in_memory(filled(&schema, &rows)?)?);
    }
    for (name, columns) in WITHOUT_ROWS {
        found.insert(name, in_memory(filled(&texts(columns), &[])?)?);
    }
    Ok(Information(found))
}

/// The tables of the schema, as they are listed themselves.
pub(super) fn listed(information: &Information) -> BTreeMap<String, Listed> {
    let listed = information.0.iter().map(|(name, table)| ((*name).to_owned(), listed_as(name, table.schema())));
    listed.collect()
}

/// A table that tells of others.
pub(super) fn listed_as(name: &str, columns: SchemaRef) -> Listed {
    Listed { id: name.to_owned(), kind: TableType::Base, columns, comment: None, column_comments: BTreeMap::new() }
}

fn texts(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>()))
}

fn text(text: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(text.to_owned()))
}

fn named(schema: &str, name: &str) -> SaidRow {
    vec![("table_catalog", text(DATABASE)), ("table_schema", text(schema)), ("table_name", text(name))]
}

fn table_rows(tables: &Tables) -> Vec<SaidRow> {
    let mut rows = Vec::new();
    for (schema, tables) in tables {
        for (name, table) in tables {
            let kind = if table.kind == TableType::View { "VIEW" } else { "BASE TABLE" };
            let mut row = named(schema, name);
            row.extend([("table_type", text(kind)), ("is_insertable_into", text("NO"))]);
            rows.push(row);
        }
    }
    rows
}

fn view_rows(tables: &Tables) -> Vec<SaidRow> {
    let mut rows = Vec::new();
    for (schema, tables) in tables {
        for (name, _) in tables.iter().filter(|(_, table)| table.kind == TableType::View) {
            let mut row = named(schema, name);
            row.extend([("check_option", text("NONE")), ("is_updatable", text("NO"))]);
            rows.push(row);
        }
    }
    rows
}

fn schema_rows(tables: &Tables) -> Vec<SaidRow> {
    let names = tables.keys().map(String::as_str).chain([PG_CATALOG, "information_schema"]);
    let row = |name: &str| {
        vec![("catalog_name", text(DATABASE)), ("schema_name", text(name)), ("schema_owner", text(DATABASE))]
    };
    names.map(row).collect()
}

fn column_rows(tables: &Tables) -> Vec<SaidRow> {
    let mut rows = Vec::new();
    for (schema, tables) in tables {
        for (name, table) in tables {
            for (place, field) in (1..).zip(table.columns.fields()) {
                let mut row = named(schema, name);
                row.extend(column_row(place, field));
                rows.push(row);
            }
        }
    }
    rows
}

fn column_row(place: i32, field: &FieldRef) -> SaidRow {
    let kind = pg_type(field);
    let number = |number: Option<i32>| ScalarValue::Int32(number);
    let (precision, radix, scale) = match plain_type(field.data_type()) {
        DataType::Int16 => (Some(16), Some(2), Some(0)),
        DataType::Int32 => (Some(32), Some(2), Some(0)),
        DataType::Int64 => (Some(64), Some(2), Some(0)),
        DataType::Float32 => (Some(24), Some(2), None),
        DataType::Float64 => (Some(53), Some(2), None),
        DataType::Decimal128(precision, scale) => (Some(precision.into()), Some(10), Some(scale.into())),
        _ => (None, None, None),
    };
    let is_time = matches!(kind, Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME | Type::INTERVAL);
    vec![
        ("column_name", text(field.name())),
        ("ordinal_position", number(Some(place))),
        ("is_nullable", text(if field.is_nullable() { "YES" } else { "NO" })),
        ("data_type", text(type_name(&kind))),
        ("numeric_precision", number(precision)),
        ("numeric_precision_radix", number(radix)),
        ("numeric_scale", number(scale)),
        ("datetime_precision", number(is_time.then_some(6))),
        ("udt_catalog", text(DATABASE)),
        ("udt_schema", text(PG_CATALOG)),
        ("udt_name", text(kind.name())),
        ("is_identity", text("NO")),
        ("is_generated", text("NEVER")),
    ]
}

/// As the standard calls it.
fn type_name(kind: &Type) -> &str {
    match *kind {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 => "integer",
        Type::INT8 => "bigint",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double precision",
        Type::TIME => "time without time zone",
        Type::TIMESTAMP => "timestamp without time zone",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        _ if kind.name().starts_with('_') => "ARRAY",
        _ => kind.name(),
    }
}

#[async_trait]
impl SchemaProvider for Information {
    fn table_names(&self) -> Vec<String> {
        self.0.keys().map(|name| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> EngineResult<Option<Arc<dyn TableProvider>>> {
        Ok(self.0.get(name).map(Arc::clone))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}
