//! `marca_dagua()`: how far event time had come with the last commit.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility, lit,
};
use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::topic::timestamp_type;

/// The name of the function in SQL.
pub const WATERMARK_FUNCTION: &str = "marca_dagua";

/// `marca_dagua()` of one statement: the smallest committed watermark of the topics that it reads,
/// null while one of them has none; `marca_dagua('topic')`: that of one of them. Sessions in which
/// metrics or rules are planned do not have it: these must give the same whenever they are
/// computed.
pub fn committed_watermark(of_topics: BTreeMap<String, Option<Watermark>>) -> ScalarUDF {
    let micros = |watermark: Option<Watermark>| watermark.map(|watermark| EventTime::from_ms(watermark.ms()).micros());
    let of_topics: BTreeMap<_, _> = of_topics.into_iter().map(|(topic, at)| (topic, micros(at))).collect();
    // None is the smallest.
    let smallest = of_topics.values().copied().min().flatten();
    let one_or_none = vec![TypeSignature::Nullary, TypeSignature::String(1)];
    let signature = Signature::one_of(one_or_none, Volatility::Stable);
    ScalarUDF::from(CommittedWatermark { smallest, of_topics, signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CommittedWatermark {
    smallest: Option<i64>,
    of_topics: BTreeMap<String, Option<i64>>,
    signature: Signature,
}

impl CommittedWatermark {
    /// Of the topic that the argument names, or of all.
    fn value(&self, topic: Option<Option<&str>>) -> Result<ScalarValue> {
        let micros = match topic {
            None => self.smallest,
            Some(None) => return plan_err!("{WATERMARK_FUNCTION}(...) needs the name of a topic, as a string"),
            Some(Some(topic)) => match self.of_topics.get(topic) {
                Some(micros) => *micros,
                None => {
                    let read = self.of_topics.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                    return plan_err!(
                        "{WATERMARK_FUNCTION}('{topic}'): the statement does not read a topic of this name, but {read}"
                    );
                }
            },
        };
        Ok(ScalarValue::TimestampMicrosecond(micros, Some("UTC".into())))
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

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let topic = args.args.first().map(|argument| match argument {
            ColumnarValue::Scalar(value) => value.try_as_str().flatten(),
            ColumnarValue::Array(_) => None,
        });
        Ok(ColumnarValue::Scalar(self.value(topic)?))
    }

    /// A constant, so that it filters files, and travels with a plan to where the function has no
    /// value.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let topic = args.first().map(|argument| match argument {
            Expr::Literal(value, _) => value.try_as_str().flatten(),
            _ => None,
        });
        Ok(ExprSimplifyResult::Simplified(lit(self.value(topic)?)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::TimestampMicrosecondType;
    use datafusion::prelude::SessionContext;

    use super::*;

    fn context(watermarks: &[(&str, Option<i64>)]) -> SessionContext {
        let context = SessionContext::new();
        let of_topics = watermarks.iter().map(|(topic, ms)| ((*topic).to_owned(), ms.map(Watermark::from_ms)));
        context.register_udf(committed_watermark(of_topics.collect()));
        context
    }

    /// The two columns of the statement's only row; it is planned without the function.
    async fn row(context: &SessionContext, sql: &str) -> [Option<i64>; 2] {
        let frame = context.sql(sql).await.expect("planned");
        assert!(!frame.clone().into_optimized_plan().expect("optimized").to_string().contains(WATERMARK_FUNCTION));
        let rows = frame.collect().await.expect("a row");
        [0, 1].map(|column| {
            let column = rows[0].column(column).as_primitive::<TimestampMicrosecondType>();
            column.is_valid(0).then(|| column.value(0))
        })
    }

    #[tokio::test]
    async fn it_is_a_constant_of_the_statement_and_null_while_undefined() {
        let sql = "SELECT marca_dagua() AS m, marca_dagua() - INTERVAL '1 second' AS before";
        let both = context(&[("vendas", Some(1_500)), ("estoque", Some(2_500))]);
        assert_eq!(row(&both, sql).await, [Some(1_500_000), Some(500_000)]);
        let one = context(&[("vendas", Some(1_500)), ("estoque", None)]);
        assert_eq!(row(&one, sql).await, [None, None]);
        assert_eq!(row(&context(&[]), sql).await, [None, None]);
        let sql = "SELECT marca_dagua('vendas') AS a, marca_dagua('estoque') AS b";
        assert_eq!(row(&one, sql).await, [Some(1_500_000), None]);
    }

    #[tokio::test]
    async fn a_topic_that_is_not_read_has_none() {
        let one = context(&[("vendas", Some(1_500))]);
        let error = one.sql("SELECT marca_dagua('venda')").await.expect("parsed").collect().await.expect_err("refused");
        assert!(error.to_string().contains("does not read a topic of this name, but vendas"), "{error}");
        let named = one.sql("SELECT marca_dagua(t) FROM (VALUES ('vendas')) AS x(t)").await.expect("parsed");
        let error = named.collect().await.expect_err("refused");
        assert!(error.to_string().contains("needs the name of a topic"), "{error}");
    }
}
