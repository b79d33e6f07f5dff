//! Values as texts: written as clients get them.

use std::sync::Arc;

use arrow::array::StringBuilder;
use arrow::datatypes::DataType;
use bytes::BytesMut;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};

use crate::types::{plain_column, plain_type};
use crate::values::{is_null, write};

/// The function, under a name that the engine has not.
pub(super) fn as_text() -> ScalarUDF {
    ScalarUDF::new_from_impl(AsText { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AsText {
    signature: Signature,
}

impl ScalarUDFImpl for AsText {
    fn name(&self) -> &str {
        "pg_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let Some(values) = arguments.args.first() else {
            return Err(DataFusionError::Plan("there is nothing to be written".to_owned()));
        };
        let values = values.to_array(arguments.number_rows)?;
        if *values.data_type() == DataType::Boolean {
            return ColumnarValue::Array(values).cast_to(&DataType::Utf8, None);
        }
        let values = plain_column(&values, &plain_type(values.data_type()))?;
        let (mut texts, mut text) = (StringBuilder::new(), BytesMut::new());
        for row in 0..values.len() {
            if is_null(&values, row) {
                texts.append_null();
                continue;
            }
            text.clear();
            write(&values, row, false, &mut text).map_err(|error| DataFusionError::Execution(error.to_string()))?;
            texts.append_value(String::from_utf8_lossy(&text));
        }
        Ok(ColumnarValue::Array(Arc::new(texts.finish())))
    }

    /// What the engine writes alike is left to it: it knows how to look for such values.
    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> EngineResult<ExprSimplifyResult> {
        let [argument] = arguments.as_slice() else { return Ok(ExprSimplifyResult::Original(arguments)) };
        // Of a parameter it is not known yet.
        let Ok(data_type) = context.get_data_type(argument) else { return Ok(ExprSimplifyResult::Original(arguments)) };
        let is_alike = data_type.is_string() || data_type.is_integer() || data_type.is_decimal();
        Ok(match is_alike {
            true => ExprSimplifyResult::Simplified(cast(argument.clone(), DataType::Utf8)),
            false => ExprSimplifyResult::Original(arguments),
        })
    }
}
