//! Aggregates that replace DataFusion's own, or that rules put there.

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;

use crate::distinct::count_distinct_text_of_batches;
use crate::exact::exact_aggregates;
use crate::functions::{newest_and_oldest, sums_since};

/// Those that other processes must know to compute a part of a query.
pub fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let mut aggregates = exact_aggregates().to_vec();
    aggregates.push(count_distinct_text_of_batches());
    aggregates.extend(newest_and_oldest().into_iter().chain(sums_since()).map(Arc::new));
    aggregates
}
