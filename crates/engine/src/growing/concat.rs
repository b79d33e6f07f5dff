//! `a || b` as a function, so that what it gives is counted.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DFSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::sqlparser::ast::BinaryOperator;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};

use super::bounded;

/// Plans `a || b` of texts as a function; of lists it is one already.
#[derive(Debug)]
pub(crate) struct Concatenation(Arc<ScalarUDF>);

impl Concatenation {
    /// What it gives is counted in this pool.
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        let function = ScalarUDF::from(Concatenated { signature: Signature::user_defined(Volatility::Immutable) });
        Self(Arc::new(bounded(&function, pool)))
    }
}

impl ExprPlanner for Concatenation {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::StringConcat {
            return Ok(PlannerResult::Original(expr));
        }
        let kinds = (expr.left.get_type(schema), expr.right.get_type(schema));
        let is_of_texts = matches!(&kinds, (Ok(left), Ok(right)) if left.is_string() || right.is_string());
        if !is_of_texts {
            return Ok(PlannerResult::Original(expr));
        }
        Ok(PlannerResult::Planned(self.0.call(vec![expr.left, expr.right])))
    }
}

/// The operator, with its types and its values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenated {
    signature: Signature,
}

impl ScalarUDFImpl for Concatenated {
    fn name(&self) -> &str {
        "||"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(names.join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = both(arg_types)?;
        let (left, right) = BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [left, right] = both(arg_types)?;
        BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let values = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = both(&values)?;
        let field = |name, values: &arrow::array::ArrayRef| Field::new(name, values.data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field("left", left), field("right", right)]));
        let rows = RecordBatch::try_new(schema, values.clone())?;
        let column = |name: &str, index| Arc::new(Column::new(name, index)) as Arc<dyn PhysicalExpr>;
        let operator = BinaryExpr::new(column("left", 0), Operator::StringConcat, column("right", 1));
        match operator.evaluate(&rows)? {
            ColumnarValue::Array(values) if is_constant => {
                Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&values, 0)?))
            }
            values => Ok(values),
        }
    }
}

fn both<T>(values: &[T]) -> Result<[&T; 2]> {
    match values {
        [left, right] => Ok([left, right]),
        _ => Err(DataFusionError::Internal(format!("|| joins two values, not {}", values.len()))),
    }
}
