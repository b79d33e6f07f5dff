//! Cells of a sheet: what a spreadsheet program calls them and what they hold.

use calamine::{DataRef, ExcelDateTime, XlsxFormulaMetadata};

use crate::import::source::{Cell, Kind};

/// A heading, or what stands above one.
pub(super) fn text(value: &DataRef<'_>) -> String {
    cell((0, 0), value, None, None).map(|cell| cell.text).unwrap_or_default()
}

/// What a cell holds; `zeros` is the width that its format fills with zeros.
pub(super) fn cell(
    at: (u32, u32),
    value: &DataRef<'_>,
    formula: Option<&XlsxFormulaMetadata>,
    zeros: Option<usize>,
) -> Option<Cell> {
    let unusable = |what: &str| Some(Cell::new(format!("cell {} holds {what}", name(at)), Kind::Unusable));
    match value {
        DataRef::Empty => {
            formula?;
            unusable("a formula without a value: open the file in a spreadsheet program and save it")
        }
        DataRef::String(text) => Cell::written(text.clone()),
        DataRef::SharedString(text) => Cell::written((*text).to_owned()),
        DataRef::Int(number) => Some(Cell::new(number.to_string(), Kind::Exact)),
        DataRef::Float(number) => match zeros {
            Some(width) if *number >= 0.0 && number.fract() == 0.0 && *number < 1e15 => {
                Some(Cell::new(format!("{number:0width$}"), Kind::Exact))
            }
            _ => Some(Cell::float(*number)),
        },
        DataRef::Bool(value) => Some(Cell::new(value.to_string(), Kind::Truth)),
        DataRef::DateTime(time) => moment(*time),
        DataRef::DateTimeIso(text) if text.contains('-') => Some(Cell::new(text.clone(), Kind::Time)),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Some(Cell::new(text.clone(), Kind::Clock)),
        DataRef::Error(error) => unusable(&error.to_string()),
    }
}

/// As in `AA7`.
fn name((row, column): (u32, u32)) -> String {
    let (mut column, mut letters) = (column, Vec::new());
    loop {
        letters.push(b'A' + (column % 26) as u8);
        if column < 26 {
            break;
        }
        column = column / 26 - 1;
    }
    let letters: String = letters.iter().rev().map(|letter| char::from(*letter)).collect();
    format!("{letters}{}", row + 1)
}

/// A spreadsheet's time has no zone. Less than a day is a time of day; more hours than a day has are a number.
fn moment(time: ExcelDateTime) -> Option<Cell> {
    let number = time.as_f64();
    let moment = time.as_datetime()?;
    if (0.0..1.0).contains(&number) {
        return Some(Cell::new(moment.format("%H:%M:%S%.f").to_string(), Kind::Clock));
    }
    if !time.is_datetime() {
        return Some(Cell::float(number));
    }
    Some(Cell::new(moment.format("%Y-%m-%dT%H:%M:%S%.f").to_string(), Kind::Time))
}

/// The width of a format that only fills up with zeros, such as `000000`.
pub(super) fn zeros(format: &str) -> Option<usize> {
    let positive = format.split(';').next()?.trim_end_matches('@');
    (positive.len() > 1 && positive.len() <= 15 && positive.bytes().all(|byte| byte == b'0')).then_some(positive.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_only_fill_up() {
        assert_eq!(
            ["000000", "00;-00", "0", "0.00", "00000-000", "General"].map(zeros),
            [Some(6), Some(2), None, None, None, None]
        );
        let padded = |number: f64| cell((0, 0), &DataRef::Float(number), None, Some(6)).map(|cell| cell.text);
        assert_eq!(padded(123.0).as_deref(), Some("000123"));
        assert_eq!(padded(1_234_567.0).as_deref(), Some("1234567"));
        assert_eq!(padded(1.5).as_deref(), Some("1.5"));
        assert_eq!([0, 25, 26, 701, 702].map(|column| name((6, column))), ["A7", "Z7", "AA7", "ZZ7", "AAA7"]);
    }
}
