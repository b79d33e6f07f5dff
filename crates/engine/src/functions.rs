//! Functions that SQL needs and DataFusion lacks.

mod civil_date;
mod divide_half_up;
mod latest;
mod rewrite;
mod row_order;
mod sum_since;
mod text_of_bytes;
mod truncated_dates;
mod watermark;
mod window_starts;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::ScalarUDF;

pub use self::civil_date::CivilDates;
use self::civil_date::civil_date;
pub use self::divide_half_up::divide_half_up;
pub use self::latest::{EARLIEST, LATEST, newest_and_oldest};
pub use self::row_order::{in_key_bucket, row_order, text_bucket};
pub use self::sum_since::{SUM_SINCE, SUM_SINCE_MERGE, SUM_SINCE_STATE, sum_since_bound, sum_since_value, sums_since};
pub use self::text_of_bytes::text_of_bytes;
pub use self::truncated_dates::TruncatedDates;
use self::truncated_dates::first_of;
pub use self::watermark::{WATERMARK_FUNCTION, committed_watermark};
pub use self::window_starts::starts_of;
use self::window_starts::window_starts;
use crate::exact::{exact_functions, make_exact};

/// Every function of ours, those of exact arithmetic included.
pub fn functions() -> Vec<ScalarUDF> {
    let mut functions = exact_functions();
    functions.extend([divide_half_up(), window_starts(), civil_date(), first_of(), text_of_bytes()]);
    functions.push(sum_since_value());
    functions
}

/// Gives a session every function of ours, and exact arithmetic.
pub fn add_functions(session: &mut impl FunctionRegistry) -> Result<()> {
    make_exact(session)?;
    for function in functions() {
        session.register_udf(Arc::new(function))?;
    }
    for function in newest_and_oldest().into_iter().chain(sums_since()) {
        session.register_udaf(Arc::new(function))?;
    }
    Ok(())
}
