//! `json_build_object('name', value, ...)`.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use serde_json::Value;

/// The function; the object is a text.
pub(super) fn build_object() -> ScalarUDF {
    let signature = Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], Volatility::Immutable);
    ScalarUDF::new_from_impl(BuildObject { signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct BuildObject {
    signature: Signature,
}

/// Names or values of all rows.
struct Texts {
    texts: StringArray,
    /// They are JSON as they are.
    are_plain: bool,
}

impl ScalarUDFImpl for BuildObject {
    fn name(&self) -> &str {
        "json_build_object"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> EngineResult<DataType> {
        if !arguments.len().is_multiple_of(2) {
            return Err(DataFusionError::Plan("json_build_object has a name without a value".to_owned()));
        }
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let texts = arguments.args.iter().map(|argument| Texts::of(argument, arguments.number_rows));
        let texts: Vec<Texts> = texts.collect::<EngineResult<_>>()?;
        let objects: StringArray =
            (0..arguments.number_rows).map(|row| object(&texts, row).map(Some)).collect::<EngineResult<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(objects)))
    }
}

impl Texts {
    fn of(argument: &ColumnarValue, rows: usize) -> EngineResult<Self> {
        let values = argument.to_array(rows)?;
        let are_plain = values.data_type().is_numeric() || *values.data_type() == DataType::Boolean;
        Ok(Self { texts: cast(&values, &DataType::Utf8)?.as_string::<i32>().clone(), are_plain })
    }

    fn json(&self, row: usize) -> String {
        if self.texts.is_null(row) {
            return "null".to_owned();
        }
        let text = self.texts.value(row);
        // JSON has no infinity, and nothing that is not a number.
        if self.are_plain && serde_json::from_str::<Value>(text).is_ok() {
            text.to_owned()
        } else {
            Value::from(text).to_string()
        }
    }
}

fn object(texts: &[Texts], row: usize) -> EngineResult<String> {
    let pairs = texts.chunks_exact(2).map(|pair| {
        let (name, value) = (&pair[0].texts, &pair[1]);
        if name.is_null(row) {
            return Err(DataFusionError::Execution("a name of json_build_object is null".to_owned()));
        }
        Ok(format!("{} : {}", Value::from(name.value(row)), value.json(row)))
    });
    Ok(format!("{{{}}}", pairs.collect::<EngineResult<Vec<_>>>()?.join(", ")))
}
