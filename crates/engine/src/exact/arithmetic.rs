//! `+`, `-`, `*` and the sign of integers, which fail where DataFusion's own wrap.

use std::sync::Arc;

use arrow::array::{ArrayRef, Datum};
use arrow::compute::kernels::numeric;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};
use datafusion::physical_expr_common::datum::apply;

/// One function for each operator that can overflow. A function, as a plan that goes to other
/// processes carries no more than its name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    name: &'static str,
    operator: Operator,
    signature: Signature,
}

const OPERATORS: [(&str, Operator); 3] =
    [("checked_add", Operator::Plus), ("checked_subtract", Operator::Minus), ("checked_multiply", Operator::Multiply)];

pub(super) fn checked_functions() -> [Arc<ScalarUDF>; 3] {
    OPERATORS.map(|(name, operator)| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::from(Checked { name, operator, signature }))
    })
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = arguments else { return plan_err!("{} takes two numbers", self.name) };
        let (left, right) = BinaryTypeCoercer::new(left, &self.operator, right).get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let [left, right] = arguments else { return plan_err!("{} takes two numbers", self.name) };
        BinaryTypeCoercer::new(left, &self.operator, right).get_result_type()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else { return exec_err!("{} takes two numbers", self.name) };
        let kernel: fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError> = match self.operator {
            Operator::Plus => numeric::add,
            Operator::Minus => numeric::sub,
            _ => numeric::mul,
        };
        apply(left, right, kernel)
    }
}

/// Puts the functions in the place of the operators, wherever both sides are integers.
#[derive(Debug)]
pub(super) struct CheckedIntegers([Arc<ScalarUDF>; 3]);

impl CheckedIntegers {
    pub(super) fn new() -> Self {
        Self(checked_functions())
    }

    fn function(&self, operator: Operator) -> Option<Arc<ScalarUDF>> {
        let index = OPERATORS.iter().position(|(_, known)| *known == operator)?;
        Some(Arc::clone(&self.0[index]))
    }
}

impl FunctionRewrite for CheckedIntegers {
    fn name(&self) -> &str {
        "checked_integers"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        // What has no type yet, such as a placeholder, stays as it is.
        let is_integer = |expr: &Expr| expr.get_type(schema).is_ok_and(|data_type| data_type.is_integer());
        let is_signed = |expr: &Expr| expr.get_type(schema).is_ok_and(|data_type| data_type.is_signed_integer());
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_integer(&left) && is_integer(&right) => {
                match self.function(op) {
                    Some(function) => {
                        let call = ScalarFunction::new_udf(function, vec![*left, *right]);
                        Ok(Transformed::yes(Expr::ScalarFunction(call)))
                    }
                    None => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
                }
            }
            Expr::Negative(inner) if !matches!(*inner, Expr::Literal(..)) && is_signed(&inner) => {
                let zero = ScalarValue::new_zero(&inner.get_type(schema)?)?;
                match self.function(Operator::Minus) {
                    Some(function) => {
                        let call = ScalarFunction::new_udf(function, vec![lit(zero), *inner]);
                        Ok(Transformed::yes(Expr::ScalarFunction(call)))
                    }
                    None => Ok(Transformed::no(Expr::Negative(inner))),
                }
            }
            other => Ok(Transformed::no(other)),
        }
    }
}
