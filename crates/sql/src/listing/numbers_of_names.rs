//! `to_regproc` and its like: the numbers of things, by their names.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int32Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::PG_CATALOG;

/// Numbers by name.
pub(super) type ByName = BTreeMap<String, i32>;

/// What nothing is called where a function could be named.
const NOTHING: &str = "-";
/// What types are called besides.
const OTHER_NAMES: [(&str, &str); 14] = [
    ("bigint", "int8"),
    ("boolean", "bool"),
    ("character", "bpchar"),
    ("character varying", "varchar"),
    ("decimal", "numeric"),
    ("double precision", "float8"),
    ("int", "int4"),
    ("integer", "int4"),
    ("real", "float4"),
    ("smallint", "int2"),
    ("time without time zone", "time"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
    ("bit varying", "varbit"),
];

/// A function that finds these; of a name that is not known it says null.
pub(super) fn finder(name: &'static str, numbers: ByName) -> ScalarUDF {
    let signature = Signature::one_of(vec![TypeSignature::Any(1)], Volatility::Stable);
    ScalarUDF::new_from_impl(Finder { name, numbers: Arc::new(numbers), signature })
}

/// The numbers of a table's rows by their names; of those that share a name, the smallest.
pub(super) fn by_name(rows: &[RecordBatch], column: &str) -> ByName {
    let mut found = ByName::new();
    for batch in rows {
        let (Some(numbers), Some(names)) = (batch.column_by_name("oid"), batch.column_by_name(column)) else {
            continue;
        };
        let (Some(numbers), Some(names)) = (numbers.as_primitive_opt::<Int32Type>(), names.as_string_opt::<i32>())
        else {
            continue;
        };
        for (name, number) in names.iter().zip(numbers).filter_map(|(name, number)| Some((name?, number?))) {
            let known = found.entry(name.to_owned()).or_insert(number);
            *known = (*known).min(number);
        }
    }
    found
}

/// Functions, with what stands for none of them.
pub(super) fn functions(rows: &[RecordBatch]) -> ByName {
    let mut found = by_name(rows, "proname");
    found.insert(NOTHING.to_owned(), 0);
    found
}

/// Types, under each of their names.
pub(super) fn types(rows: &[RecordBatch]) -> ByName {
    let mut found = by_name(rows, "typname");
    let others: Vec<_> = OTHER_NAMES.iter().filter_map(|(other, name)| Some((*other, *found.get(*name)?))).collect();
    found.extend(others.into_iter().map(|(name, number)| (name.to_owned(), number)));
    found
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Finder {
    name: &'static str,
    numbers: Arc<ByName>,
    signature: Signature,
}

impl Finder {
    fn find(&self, name: &str) -> Option<i32> {
        let plain = name.strip_prefix(PG_CATALOG).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name);
        let plain = plain.replace('"', "");
        self.numbers.get(&plain).copied().or_else(|| plain.parse().ok())
    }
}

impl ScalarUDFImpl for Finder {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let Some(names) = arguments.args.first() else {
            return Err(DataFusionError::Plan(format!("{} has no argument", self.name)));
        };
        let names = cast(&names.to_array(arguments.number_rows)?, &DataType::Utf8)?;
        let found = names.as_string::<i32>().iter().map(|name| self.find(name?));
        Ok(ColumnarValue::Array(Arc::new(found.collect::<Int32Array>())))
    }
}

/// Whether a plain name means a table of this schema.
pub(super) fn is_plain_in(schema: &str) -> bool {
    [vitral_catalog::names::SCHEMA, PG_CATALOG].contains(&schema)
}

/// Tables as `schema.name`, and by their plain names where those mean them.
pub(super) fn plain_and_qualified(names: impl Iterator<Item = (String, String, i32)>) -> ByName {
    let mut found = ByName::new();
    for (schema, name, number) in names {
        if is_plain_in(&schema) {
            found.entry(name.clone()).or_insert(number);
        }
        found.insert(format!("{schema}.{name}"), number);
    }
    found
}
