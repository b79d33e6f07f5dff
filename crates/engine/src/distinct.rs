//! `count(DISTINCT text)` over many groups, exactly.
//!
//! DataFusion counts distinct texts with one accumulator and some 8 KiB for each group; a metric by
//! product would need gigabytes. Here all groups share one table of (group, text) pairs. The state
//! is a plain list of texts per group, so states of other processes and of earlier runs merge as
//! they are.
//!
//! States are merged bucket by bucket: the memory that this takes on top of the states does not
//! grow with them. Over history, where most texts are met for the first time, texts wait to be
//! merged with them: a table of many millions of pairs is met beyond the processor's caches, the
//! tables of buckets are not.

mod accumulator;
mod loose;
mod spread;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, not_impl_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};

use self::accumulator::DistinctAccumulator;

/// For callers that account for the memory of the states they merge.
pub fn count_distinct_text() -> Arc<AggregateUDF> {
    aggregate(false)
}

/// For any query over history: states that wait to be merged are accounted for here, and texts that
/// are rarely repeated wait too.
pub fn count_distinct_text_of_batches() -> Arc<AggregateUDF> {
    aggregate(true)
}

fn aggregate(owns_states: bool) -> Arc<AggregateUDF> {
    let signature = Signature::exact(vec![DataType::Utf8], Volatility::Immutable);
    Arc::new(AggregateUDF::from(CountDistinctText { signature, owns_states }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CountDistinctText {
    signature: Signature,
    owns_states: bool,
}

impl AggregateUDFImpl for CountDistinctText {
    fn name(&self) -> &str {
        "count_distinct_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[texts]", args.name), texts_type(), false))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("count_distinct_text without GROUP BY")
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(DistinctAccumulator::new(self.owns_states)?))
    }
}

fn text_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Utf8, true))
}

fn texts_type() -> DataType {
    DataType::List(text_field())
}
