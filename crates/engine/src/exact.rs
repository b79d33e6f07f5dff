//! Arithmetic that is exact or fails: `sum`, `avg`, and `+`, `-`, `*` of integers.
//!
//! DataFusion lets integers and decimals wrap at their type's end, and averages integers as
//! floating-point numbers. Every session whose numbers are shown or compared takes these in their
//! place; what fits has the types and values that it always had.

mod arithmetic;
mod average;
mod sum;
#[cfg(test)]
mod tests;
mod totals;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

use self::arithmetic::{CheckedIntegers, checked_functions};

/// `sum` and `avg`, under the names that SQL calls them by.
pub fn exact_aggregates() -> [Arc<AggregateUDF>; 2] {
    [Arc::new(AggregateUDF::from(sum::ExactSum::new())), Arc::new(AggregateUDF::from(average::ExactAverage::new()))]
}

/// What `+`, `-` and `*` of integers become.
pub fn exact_functions() -> Vec<ScalarUDF> {
    checked_functions().into_iter().map(|function| function.as_ref().clone()).collect()
}

/// Makes a session's arithmetic exact.
pub fn make_exact(session: &mut impl FunctionRegistry) -> Result<()> {
    for aggregate in exact_aggregates() {
        session.register_udaf(aggregate)?;
    }
    for function in checked_functions() {
        session.register_udf(function)?;
    }
    session.register_function_rewrite(Arc::new(CheckedIntegers::new()))
}
