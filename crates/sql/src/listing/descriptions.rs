//! Comments of tables and columns: rows of `pg_description`, and the functions that find one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// By the number of a table, and that of a column in it, which is 0 for the table itself.
pub(super) type Descriptions = BTreeMap<(i32, i32), String>;

/// `obj_description` and `col_description` over these.
pub(super) fn functions(descriptions: &Arc<Descriptions>) -> [ScalarUDF; 2] {
    ["obj_description", "col_description"].map(|name| {
        ScalarUDF::new_from_impl(Described {
            name,
            is_of_column: name == "col_description",
            descriptions: Arc::clone(descriptions),
            signature: Signature::one_of(vec![TypeSignature::VariadicAny], Volatility::Stable),
        })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Described {
    name: &'static str,
    is_of_column: bool,
    descriptions: Arc<Descriptions>,
    signature: Signature,
}

impl Described {
    fn numbers(arguments: &ScalarFunctionArgs, index: usize) -> EngineResult<ArrayRef> {
        let Some(value) = arguments.args.get(index) else {
            return Err(DataFusionError::Plan("an argument is missing".to_owned()));
        };
        Ok(cast(&value.to_array(arguments.number_rows)?, &DataType::Int32)?)
    }
}

impl ScalarUDFImpl for Described {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let tables = Self::numbers(&arguments, 0)?;
        let tables = tables.as_primitive::<Int32Type>();
        let columns = if self.is_of_column { Some(Self::numbers(&arguments, 1)?) } else { None };
        let column = |row: usize| match &columns {
            Some(columns) => columns.as_primitive::<Int32Type>().iter().nth(row).flatten(),
            None => Some(0),
        };
        let found = tables.iter().enumerate().map(|(row, table)| {
            let key = (table?, column(row)?);
            self.descriptions.get(&key).map(String::as_str)
        });
        Ok(ColumnarValue::Array(Arc::new(found.collect::<StringArray>())))
    }
}
