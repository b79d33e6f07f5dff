//! `divide_half_up(amount, count)`: an amount for each of a count, in cents.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Builder};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// `divide_half_up(amount decimal(p, s <= 2), count bigint) -> decimal(18, 2)`: the amount for each
/// of `count`, rounded to cents, halves away from zero; null when the count is 0 or the quotient
/// needs more than 18 digits. (SQL's `/` truncates decimals and fails on 0.) It never fails: one
/// absurd amount must not take a metric from everybody, and the sums that it is made of stand next
/// to it.
pub fn divide_half_up() -> ScalarUDF {
    ScalarUDF::from(DivideHalfUp { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DivideHalfUp {
    signature: Signature,
}

impl ScalarUDFImpl for DivideHalfUp {
    fn name(&self) -> &str {
        "divide_half_up"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments {
            // More decimals would have to be rounded before the division.
            [DataType::Decimal128(_, scale), count] if *scale <= 2 && count.is_integer() => {}
            [amount, count] if amount.is_integer() && count.is_integer() => {}
            _ => return plan_err!("divide_half_up takes an amount with at most two decimals and a count"),
        }
        Ok(vec![DataType::Decimal128(38, 2), DataType::Int64])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(18, 2))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [amounts, counts] = arrays.as_slice() else {
            return exec_err!("divide_half_up takes an amount and a count");
        };
        let amounts = amounts.as_primitive::<Decimal128Type>();
        let counts = counts.as_primitive::<Int64Type>();
        let mut quotients = Decimal128Builder::with_capacity(args.number_rows).with_precision_and_scale(18, 2)?;
        for (amount, count) in amounts.iter().zip(counts) {
            quotients.append_option(amount.zip(count).and_then(|(amount, count)| half_up(amount, count.into())));
        }
        Ok(ColumnarValue::Array(Arc::new(quotients.finish()) as ArrayRef))
    }
}

/// None when the count is 0 or the quotient needs more than 18 digits.
fn half_up(amount: i128, count: i128) -> Option<i128> {
    const LARGEST: i128 = 10_i128.pow(18) - 1;
    let (quotient, rest) = (amount.checked_div(count)?, amount.checked_rem(count)?);
    let away = if rest.unsigned_abs() * 2 >= count.unsigned_abs() { amount.signum() * count.signum() } else { 0 };
    Some(quotient + away).filter(|quotient| quotient.abs() <= LARGEST)
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::half_up;

    #[test]
    fn halves_go_away_from_zero() {
        assert_eq!(half_up(10_05, 2), Some(5_03));
        assert_eq!(half_up(-10_05, 2), Some(-5_03));
        assert_eq!(half_up(10_00, 3), Some(3_33));
        assert_eq!(half_up(20_00, 3), Some(6_67));
        assert_eq!(half_up(10_00, 0), None);
        assert_eq!(half_up(i128::MAX, 1), None);
    }

    #[test]
    fn a_quotient_that_does_not_fit_is_null() {
        let session = crate::engine_session(crate::EngineConfig::default()).expect("a session");
        let run = |sql: &str| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async { session.sql(sql).await?.collect().await })
        };
        let large = "CAST('9999999999999999990000000.00' AS DECIMAL(38, 2))";
        let values = "(VALUES (1), (0), (NULL), (1000000000), (-1000000000))";
        let rows = run(&format!("SELECT divide_half_up({large}, n) FROM {values} AS v(n)")).expect("rows");
        assert_eq!(rows[0].column(0).null_count(), 3);
        assert!(rows[0].column(0).is_valid(3) && rows[0].column(0).is_valid(4), "these fit");
    }
}
