//! Columns of `pg_catalog` in the types that clients unnest, join and cast: upstream keeps lists as
//! texts, and lacks some columns and tables.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, ListBuilder, RecordBatch, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::error::Result as EngineResult;

use crate::types::VECTOR_KEY;

/// What kind of list a column is, and of what.
static LISTS: [(&str, Shape, DataType); 38] = [
    ("attfdwoptions", Shape::List, DataType::Utf8),
    ("attoptions", Shape::List, DataType::Utf8),
    ("confdelsetcols", Shape::List, DataType::Int16),
    ("confkey", Shape::List, DataType::Int16),
    ("conexclop", Shape::List, DataType::Int32),
    ("conffeqop", Shape::List, DataType::Int32),
    ("conkey", Shape::List, DataType::Int16),
    ("conpfeqop", Shape::List, DataType::Int32),
    ("conppeqop", Shape::List, DataType::Int32),
    ("evttags", Shape::List, DataType::Utf8),
    ("extcondition", Shape::List, DataType::Utf8),
    ("extconfig", Shape::List, DataType::Int32),
    ("fdwoptions", Shape::List, DataType::Utf8),
    ("ftoptions", Shape::List, DataType::Utf8),
    ("indclass", Shape::Vector, DataType::Int32),
    ("indcollation", Shape::Vector, DataType::Int32),
    ("indkey", Shape::Vector, DataType::Int16),
    ("indoption", Shape::Vector, DataType::Int16),
    ("initprivs", Shape::List, DataType::Utf8),
    ("partattrs", Shape::Vector, DataType::Int16),
    ("partclass", Shape::Vector, DataType::Int32),
    ("partcollation", Shape::Vector, DataType::Int32),
    ("polroles", Shape::List, DataType::Int32),
    ("prattrs", Shape::List, DataType::Int16),
    ("proallargtypes", Shape::List, DataType::Int32),
    ("proargmodes", Shape::List, DataType::Utf8),
    ("proargnames", Shape::List, DataType::Utf8),
    ("proargtypes", Shape::Vector, DataType::Int32),
    ("proconfig", Shape::List, DataType::Utf8),
    ("protrftypes", Shape::List, DataType::Int32),
    ("reloptions", Shape::List, DataType::Utf8),
    ("setconfig", Shape::List, DataType::Utf8),
    ("spcoptions", Shape::List, DataType::Utf8),
    ("srvoptions", Shape::List, DataType::Utf8),
    ("stxkeys", Shape::Vector, DataType::Int16),
    ("subpublications", Shape::List, DataType::Utf8),
    ("tgattr", Shape::Vector, DataType::Int16),
    ("umoptions", Shape::List, DataType::Utf8),
];
/// Columns of PostgreSQL 17 that upstream's tables lack.
static ADDED: [(&str, &[(&str, DataType)]); 3] = [
    ("pg_class", &[("relacl", DataType::Utf8), ("reloptions", DataType::Utf8)]),
    ("pg_database", &[("datlocale", DataType::Utf8), ("datcollversion", DataType::Utf8)]),
    ("pg_settings", &[("boot_val", DataType::Utf8)]),
];
/// What runs now.
pub(super) const ACTIVITY: &str = "pg_stat_activity";
/// Tables that upstream lacks, and in which nothing is.
pub(super) const EMPTY_TABLES: [(&str, &[&str]); 11] = [
    ("pg_available_extensions", &["name", "default_version", "installed_version", "comment"]),
    ("pg_cursors", &["name", "statement", "creation_time"]),
    ("pg_group", &["groname", "grosysid", "grolist"]),
    ("pg_indexes", &["schemaname", "tablename", "indexname", "tablespace", "indexdef"]),
    ("pg_locks", &["locktype", "database", "relation", "pid", "mode", "granted"]),
    ("pg_prepared_statements", &["name", "statement", "prepare_time", "parameter_types"]),
    ("pg_prepared_xacts", &["transaction", "gid", "prepared", "owner", "database"]),
    ("pg_sequences", &["schemaname", "sequencename", "sequenceowner", "data_type", "last_value"]),
    ("pg_stats", &["schemaname", "tablename", "attname", "null_frac", "n_distinct", "most_common_vals"]),
    ("pg_user", &["usename", "usesysid", "usecreatedb", "usesuper", "valuntil"]),
    ("pg_user_mappings", &["umid", "srvid", "srvname", "umuser", "usename", "umoptions"]),
];

/// Names of tables that upstream lacks.
pub(crate) fn added_tables() -> impl Iterator<Item = &'static str> {
    EMPTY_TABLES.into_iter().map(|(name, _)| name).chain([ACTIVITY])
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `{1,2}`
    List,
    /// `1 2`, as clients of `oidvector` and `int2vector` read it.
    Vector,
}

fn list_of(name: &str) -> Option<(Shape, &'static DataType)> {
    let known = LISTS.iter().find(|(known, _, _)| *known == name).map(|(_, shape, item)| (*shape, item));
    known.or_else(|| name.ends_with("acl").then_some((Shape::List, &DataType::Utf8)))
}

/// The columns of a table, as PostgreSQL has them.
pub(super) fn typed(table: &str, columns: &SchemaRef) -> SchemaRef {
    let added = ADDED.iter().filter(|(of, _)| *of == table).flat_map(|(_, columns)| columns.iter());
    let missing = added.filter(|(name, _)| columns.field_with_name(name).is_err());
    let missing = missing.map(|(name, kind)| Arc::new(Field::new(*name, kind.clone(), true)));
    let all = columns.fields().iter().map(Arc::clone).chain(missing);
    Arc::new(Schema::new(all.map(|field| typed_field(&field)).collect::<Vec<FieldRef>>()))
}

fn typed_field(field: &FieldRef) -> FieldRef {
    let Some((shape, item)) = list_of(field.name()).filter(|_| *field.data_type() == DataType::Utf8) else {
        return Arc::clone(field);
    };
    let list = DataType::List(Arc::new(Field::new("item", item.clone(), true)));
    let typed = Field::new(field.name(), list, field.is_nullable());
    let metadata = (shape == Shape::Vector).then(|| (VECTOR_KEY.to_owned(), "true".to_owned()));
    Arc::new(typed.with_metadata(HashMap::from_iter(metadata)))
}

/// A table of texts alone, in which nothing is.
pub(super) fn of_texts(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>()))
}

/// Rows in the types of these columns.
pub(super) fn typed_rows(rows: &RecordBatch, columns: &SchemaRef) -> EngineResult<RecordBatch> {
    let column = |(index, field): (usize, &FieldRef)| -> EngineResult<ArrayRef> {
        let Some(found) = rows.columns().get(index) else {
            return Ok(arrow::array::new_null_array(field.data_type(), rows.num_rows()));
        };
        if found.data_type() == field.data_type() { Ok(Arc::clone(found)) } else { lists(found, field.data_type()) }
    };
    let columns_of = columns.fields().iter().enumerate().map(column).collect::<EngineResult<_>>()?;
    Ok(RecordBatch::try_new(Arc::clone(columns), columns_of)?)
}

/// Reads `[1, 2]`, `['a', 'b']`, `{a,b}` and `1 2`.
fn lists(texts: &ArrayRef, wanted: &DataType) -> EngineResult<ArrayRef> {
    let texts = cast(texts, &DataType::Utf8)?;
    let mut builder = ListBuilder::new(StringBuilder::new());
    for text in texts.as_string::<i32>() {
        let Some(text) = text else {
            builder.append_null();
            continue;
        };
        let is_vector = !text.starts_with(['[', '{']);
        let inner = text.trim_matches(['[', ']', '{', '}']).trim();
        for item in inner.split(if is_vector { ' ' } else { ',' }).filter(|_| !inner.is_empty()) {
            builder.values().append_value(item.trim().trim_matches('\''));
        }
        builder.append(true);
    }
    Ok(cast(&builder.finish(), wanted)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, StringArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn lists_are_read_in_each_form() {
        let columns: SchemaRef = of_texts(&["proargtypes", "proallargtypes", "proargnames", "proacl"]);
        let texts = |first: &str| Arc::new(StringArray::from(vec![Some(first), None])) as ArrayRef;
        let arrays = vec![texts("23 25"), texts("[23, 25]"), texts("['', 'b']"), texts("{a=X/b,c=X/b}")];
        let rows = RecordBatch::try_new(Arc::clone(&columns), arrays).expect("rows");
        let typed = typed_rows(&rows, &typed("pg_proc", &columns)).expect("typed rows");
        for column in [0, 1] {
            let list = typed.column(column).as_list::<i32>();
            assert_eq!(list.value(0).as_primitive::<Int32Type>().values(), &[23, 25]);
            assert!(list.is_null(1));
        }
        let items = |column: usize| typed.column(column).as_list::<i32>().value(0);
        assert_eq!(items(2).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["", "b"]);
        assert_eq!(items(3).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a=X/b", "c=X/b"]);
    }
}
