//! `sum`: DataFusion's, but that a sum which does not fit its type is an error.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
};

use super::totals::{DistinctTotal, OneTotal, Outcome, Total, Totals};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ExactSum {
    plain: Sum,
}

impl ExactSum {
    pub(super) fn new() -> Self {
        Self { plain: Sum::new() }
    }
}

/// The total that a sum of this type is made from; floating-point numbers and lengths of time are
/// DataFusion's.
fn total(name: &str, sum_type: &DataType) -> Option<Total> {
    let is_ours = matches!(sum_type, DataType::Int64 | DataType::UInt64 | DataType::Decimal128(..));
    is_ours.then(|| Total { name: name.to_owned(), outcome: Outcome::Sum(sum_type.clone()) })
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        self.plain.name()
    }

    fn signature(&self) -> &Signature {
        self.plain.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.plain.return_type(arguments)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match total(args.name, args.return_type()) {
            Some(total) if args.is_distinct => Ok(Box::new(DistinctTotal::new(total))),
            Some(total) => Ok(Box::new(OneTotal::new(total))),
            None => self.plain.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match total(args.name, args.return_type()) {
            Some(total) if !args.is_distinct => Ok(Box::new(OneTotal::new(total))),
            _ => self.plain.create_sliding_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let Some(total) = total(args.name, args.return_type()) else { return self.plain.state_fields(args) };
        Ok(vec![if args.is_distinct {
            let values = Field::new_list_field(total.state_type(), true);
            Arc::new(Field::new_list(format_state_name(args.name, "sum distinct"), values, false))
        } else {
            Arc::new(Field::new(format_state_name(args.name, "sum"), total.state_type(), true))
        }])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.plain.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match total(args.name, args.return_type()) {
            Some(total) => Ok(Box::new(Totals::new(total))),
            None => self.plain.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.plain.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.plain.order_sensitivity()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.plain.set_monotonicity(data_type)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.plain.documentation()
    }
}
