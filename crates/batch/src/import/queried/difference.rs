//! `difference(amount, less)`: an amount of a file less another, for profiles. Both are read as the
//! import reads cells; one that cannot be read, or may be a thousand times as much, makes a text of
//! both that is refused as it stands: never 0, and never nothing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

use crate::import::amounts::{SCALE, shown};
use crate::import::forms::Numbers;
use crate::import::forms::number::{self, Amount, Evidence};

/// The function, for a session that reads files.
pub(super) fn difference() -> ScalarUDF {
    let run = |arguments: &[ColumnarValue]| -> PlanResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let texts: Vec<ArrayRef> =
            arrays.iter().map(|array| cast(array, &DataType::Utf8)).collect::<std::result::Result<_, _>>()?;
        let (amounts, less) = (texts[0].as_string::<i32>(), texts[1].as_string::<i32>());
        let filled = |column: &StringArray, row: usize| {
            column.is_valid(row).then(|| column.value(row).to_owned()).filter(|text| !text.trim().is_empty())
        };
        let rows = (0..amounts.len()).map(|row| of(filled(amounts, row).as_deref(), filled(less, row).as_deref()));
        Ok(ColumnarValue::Array(Arc::new(rows.collect::<StringArray>())))
    };
    create_udf("difference", vec![DataType::Utf8; 2], DataType::Utf8, Volatility::Immutable, Arc::new(run))
}

/// Where nothing is taken off the amount stays as it is written.
fn of(amount: Option<&str>, less: Option<&str>) -> Option<String> {
    let (amount, less) = match (amount, less) {
        (Some(amount), Some(less)) => (amount, less),
        (Some(amount), None) => return Some(amount.to_owned()),
        (None, Some(less)) => return Some(format!("nothing less {less}")),
        (None, None) => return None,
    };
    let difference = form(amount, less).and_then(|form| {
        let numbers = form.unwrap_or(Numbers::Plain);
        let (of, off) = (number::read(amount, numbers)?, number::read(less, numbers)?);
        if of.currency.is_some() && off.currency.is_some() && of.currency != off.currency {
            return None;
        }
        let difference = scaled(&of)?.checked_sub(scaled(&off)?)?;
        let sign = of.currency.or(off.currency).map(|sign| format!("{sign} ")).unwrap_or_default();
        Some(sign + &written(difference, form))
    });
    difference.or_else(|| Some(format!("{amount} less {less}")))
}

/// The form that two amounts of one row prove; none where they are the same in each. Nothing where
/// it is unclear.
fn form(amount: &str, less: &str) -> Option<Option<Numbers>> {
    match (number::evidence(amount), number::evidence(less)) {
        (Evidence::Only(one), Evidence::Only(other)) => (one == other).then_some(Some(one)),
        (Evidence::Only(one), _) | (_, Evidence::Only(one)) => Some(Some(one)),
        (Evidence::Nothing, Evidence::Nothing) => Some(None),
        _ => None,
    }
}

/// As the other cells of the column are written, so that it tells the same of them as they do.
fn written(difference: i128, form: Option<Numbers>) -> String {
    let plain = shown(difference);
    let plain = match plain.split_once('.') {
        Some((whole, "00")) if form.is_none() => whole.to_owned(),
        // Three places could be thousands.
        Some((_, fraction)) if fraction.len() == 3 => plain + "0",
        _ => plain,
    };
    if form == Some(Numbers::Brazilian) { plain.replace('.', ",") } else { plain }
}

fn scaled(amount: &Amount) -> Option<i128> {
    let (whole, fraction) = amount.number.split_once('.').unwrap_or((&amount.number, ""));
    let places = SCALE as usize;
    if fraction.bytes().skip(places).any(|digit| digit != b'0') {
        return None;
    }
    format!("{whole}{:0<places$.places$}", fraction).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_taken_off_however_they_are_written() {
        let cases = [
            (Some("1300.00"), Some("20.50"), Some("1279.50")),
            (Some("R$ 1.300,00"), Some("R$ 20,50"), Some("R$ 1279,50")),
            (Some("1.300"), Some("20,50"), Some("1279,50")),
            (Some("1300"), Some("20"), Some("1280")),
            (Some("0,10"), Some("0,30"), Some("-0,20")),
            (Some("R$ 1.300,00"), None, Some("R$ 1.300,00")),
            (Some("vinte"), None, Some("vinte")),
            (Some("vinte"), Some("1,00"), Some("vinte less 1,00")),
            (Some("1.300"), Some("20"), Some("1.300 less 20")),
            (Some("US$ 10.00"), Some("R$ 1.00"), Some("US$ 10.00 less R$ 1.00")),
            (None, Some("1,00"), Some("nothing less 1,00")),
            (None, None, None),
        ];
        for (amount, less, expected) in cases {
            assert_eq!(of(amount, less).as_deref(), expected, "{amount:?} {less:?}");
        }
        for unreadable in ["vinte less 1,00", "1.300 less 20", "nothing less 1,00"] {
            for numbers in [Numbers::Plain, Numbers::Brazilian] {
                assert_eq!(number::read(unreadable, numbers), None, "{unreadable}");
            }
        }
    }
}
