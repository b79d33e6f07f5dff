//! `pg_table_is_visible`: whether a table is meant by its name alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::numbers_of_names::is_plain_in;

/// The function, of tables with their schemas and numbers.
pub(super) fn tables(names: impl Iterator<Item = (String, String, i32)>) -> ScalarUDF {
    let visible = names.filter(|(schema, ..)| is_plain_in(schema)).map(|(.., number)| number).collect();
    ScalarUDF::new_from_impl(Visible { visible: Arc::new(visible), signature: Signature::any(1, Volatility::Stable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Visible {
    visible: Arc<BTreeSet<i32>>,
    signature: Signature,
}

impl ScalarUDFImpl for Visible {
    fn name(&self) -> &str {
        "pg_table_is_visible"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let Some(numbers) = arguments.args.first() else {
            return Err(DataFusionError::Plan("pg_table_is_visible has no argument".to_owned()));
        };
        let numbers = cast(&numbers.to_array(arguments.number_rows)?, &DataType::Int32)?;
        let found = numbers.as_primitive::<Int32Type>().iter().map(|number| Some(self.visible.contains(&number?)));
        Ok(ColumnarValue::Array(Arc::new(found.collect::<BooleanArray>())))
    }
}
