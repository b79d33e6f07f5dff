//! `avg` of decimals with nearly as many digits as PostgreSQL gives it.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, FieldRef};
use datafusion::error::Result as EngineResult;
use datafusion::functions_aggregate::average::Avg;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
};

/// Digits behind the point, so many that averages can still be divided by each other. The engine
/// gives four more than its argument has, and cuts the rest off.
const SCALE: i8 = 12;
/// All digits that a decimal may have.
const DIGITS: i8 = DECIMAL128_MAX_PRECISION.cast_signed();

/// The function, under a name that the engine has not.
pub(super) fn avg() -> AggregateUDF {
    AggregateUDF::new_from_impl(Average::default())
}

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Average(Avg);

impl AggregateUDFImpl for Average {
    fn name(&self) -> &str {
        "pg_avg"
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(match (arguments, self.0.return_type(arguments)?) {
            ([DataType::Decimal128(precision, scale)], DataType::Decimal128(_, least)) => {
                // So many that all that it may be still fits before the point.
                let whole = precision.cast_signed().saturating_sub(*scale);
                let scale = SCALE.min(DIGITS.saturating_sub(whole)).max(least);
                DataType::Decimal128(whole.saturating_add(scale).clamp(1, DIGITS).cast_unsigned(), scale)
            }
            (_, other) => other,
        })
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> EngineResult<Box<dyn Accumulator>> {
        self.0.accumulator(arguments)
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> EngineResult<Vec<FieldRef>> {
        self.0.state_fields(arguments)
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs<'_>) -> bool {
        self.0.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs<'_>) -> EngineResult<Box<dyn GroupsAccumulator>> {
        self.0.create_groups_accumulator(arguments)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_of_decimals_have_twelve_digits_if_they_fit() {
        for ((precision, scale), wanted) in
            [((15, 2), (25, 12)), ((30, 2), (38, 10)), ((38, 2), (38, 6)), ((38, 20), (38, 24))]
        {
            let found = Average::default().return_type(&[DataType::Decimal128(precision, scale)]);
            assert_eq!(found.expect("a type"), DataType::Decimal128(wanted.0, wanted.1), "{precision}, {scale}");
        }
        assert_eq!(Average::default().return_type(&[DataType::Float64]).expect("a type"), DataType::Float64);
    }
}
