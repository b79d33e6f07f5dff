//! Values as texts: written as clients get them.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StringBuilder};
use arrow::datatypes::DataType;
use bytes::BytesMut;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility, cast,
};
use datafusion::scalar::ScalarValue;

use crate::types::{plain_column, plain_type};
use crate::values::{is_null, write};

/// What casts to text become: of a value, and of the number of characters if there is one.
pub(crate) const AS_TEXT: &str = "pg_text";

/// The function, under a name that the engine has not.
pub(super) fn as_text() -> ScalarUDF {
    let arguments = vec![TypeSignature::Any(1), TypeSignature::Any(2)];
    ScalarUDF::new_from_impl(AsText { signature: Signature::one_of(arguments, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AsText {
    signature: Signature,
}

impl ScalarUDFImpl for AsText {
    fn name(&self) -> &str {
        AS_TEXT
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let (values, length) = match arguments.args.as_slice() {
            [values] => (values, None),
            [values, ColumnarValue::Scalar(ScalarValue::Int64(Some(length)))] => {
                (values, usize::try_from(*length).ok())
            }
            _ => return Err(DataFusionError::Plan("a text has a value, and a length that is a number".to_owned())),
        };
        let values = values.to_array(arguments.number_rows)?;
        let values = plain_column(&values, &plain_type(values.data_type()))?;
        let (mut texts, mut text) = (StringBuilder::new(), BytesMut::new());
        for row in 0..values.len() {
            if is_null(&values, row) {
                texts.append_null();
                continue;
            }
            text.clear();
            match values.as_boolean_opt() {
                Some(truths) => text.extend_from_slice(if truths.value(row) { b"true" } else { b"false" }),
                None => write(&values, row, false, &mut text)
                    .map_err(|error| DataFusionError::Execution(error.to_string()))?,
            }
            let whole = String::from_utf8_lossy(&text);
            let end = length.and_then(|length| whole.char_indices().nth(length));
            texts.append_value(end.map_or(&*whole, |(end, _)| &whole[..end]));
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
