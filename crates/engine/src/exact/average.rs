//! `avg`: DataFusion's, but that the average of integers is a decimal, rounded half away from zero,
//! and no floating-point number.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::functions_aggregate::average::Avg;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use super::totals::{AVERAGE_TYPE, DistinctTotal, OneTotal, Outcome, Total, Totals, WIDE};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ExactAverage {
    plain: Avg,
    signature: Signature,
}

impl ExactAverage {
    pub(super) fn new() -> Self {
        Self { plain: Avg::new(), signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn total(name: &str) -> Total {
    Total { name: name.to_owned(), outcome: Outcome::Average }
}

fn is_ours(args: &AccumulatorArgs) -> bool {
    *args.expr_fields[0].data_type() == DataType::Int64
}

impl AggregateUDFImpl for ExactAverage {
    fn name(&self) -> &str {
        self.plain.name()
    }

    fn aliases(&self) -> &[String] {
        self.plain.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [argument] = arguments else { return plan_err!("avg takes one argument") };
        Ok(vec![match argument {
            // Only counts of some engines are unsigned; the largest are beyond what BIGINT holds.
            DataType::UInt64 => DataType::Decimal128(20, 0),
            integer if integer.is_integer() => DataType::Int64,
            DataType::Null | DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
            other if other.is_decimal() || matches!(other, DataType::Duration(_)) => other.clone(),
            other => return plan_err!("avg takes numbers and durations, not {other}"),
        }])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [DataType::Int64] => Ok(AVERAGE_TYPE),
            other => self.plain.return_type(other),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match is_ours(&args) {
            true if args.is_distinct => Ok(Box::new(DistinctTotal::new(total(args.name)))),
            true => Ok(Box::new(OneTotal::new(total(args.name)))),
            false => self.plain.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match is_ours(&args) && !args.is_distinct {
            true => Ok(Box::new(OneTotal::new(total(args.name)))),
            false => self.plain.create_sliding_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if *args.input_fields[0].data_type() != DataType::Int64 {
            return self.plain.state_fields(args);
        }
        if args.is_distinct {
            let values = Field::new_list_field(WIDE, true);
            return Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "avg distinct"), values, false))]);
        }
        Ok(vec![
            Arc::new(Field::new(format_state_name(args.name, "sum"), WIDE, true)),
            Arc::new(Field::new(format_state_name(args.name, "count"), DataType::UInt64, true)),
        ])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        if is_ours(&args) { !args.is_distinct } else { self.plain.groups_accumulator_supported(args) }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match is_ours(&args) {
            true => Ok(Box::new(Totals::new(total(args.name)))),
            false => self.plain.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.plain.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.plain.order_sensitivity()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.plain.documentation()
    }
}
