//! `marca_dagua()`: how far event time had come with the last commit.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::topic::timestamp_type;

/// The name of the function in SQL.
pub const WATERMARK_FUNCTION: &str = "marca_dagua";

/// `marca_dagua()` of one statement: the committed watermark of what it reads, null while that is undefined. Sessions in which metrics
/// or rules are planned do not have it: these must give the same whenever they are computed.
pub fn committed_watermark(watermark: Option<Watermark>) -> ScalarUDF {
    let micros = watermark.map(|watermark| EventTime::from_ms(watermark.ms()).micros());
    ScalarUDF::from(CommittedWatermark { micros, signature: Signature::nullary(Volatility::Stable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CommittedWatermark {
    micros: Option<i64>,
    signature: Signature,
}

impl CommittedWatermark {
    fn value(&self) -> ScalarValue {
        ScalarValue::TimestampMicrosecond(self.micros, Some("UTC".into()))
    }
}

impl ScalarUDFImpl for CommittedWatermark {
    fn name(&self) -> &str {
        WATERMARK_FUNCTION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(timestamp_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value()))
    }

    /// A constant, so that it filters files, and travels with a plan to where the function has no value.
    fn simplify(&self, _: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Simplified(lit(self.value())))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::TimestampMicrosecondType;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn it_is_a_constant_of_the_statement_and_null_while_undefined() {
        for watermark in [Some(Watermark::from_ms(1_500)), None] {
            let context = SessionContext::new();
            context.register_udf(committed_watermark(watermark));
            let frame = context.sql("SELECT marca_dagua() AS m, marca_dagua() - INTERVAL '1 second' AS before").await;
            let frame = frame.expect("planned");
            assert!(!frame.clone().into_optimized_plan().expect("optimized").to_string().contains(WATERMARK_FUNCTION));
            let rows = frame.collect().await.expect("a row");
            let [at, before] = [0, 1].map(|column| rows[0].column(column).as_primitive::<TimestampMicrosecondType>());
            match watermark {
                Some(_) => assert_eq!((at.value(0), before.value(0)), (1_500_000, 500_000)),
                None => assert!(at.is_null(0) && before.is_null(0)),
            }
        }
    }
}
