//! Cells of a sheet: what a spreadsheet program calls them and what they hold.

use std::sync::Arc;

use calamine::{DataRef, ExcelDateTime, XlsxFormulaMetadata};

use crate::import::source::{Cell, Kind};

/// A heading, or what is above one.
pub(super) fn text(value: &DataRef<'_>) -> String {
    cell((0, 0), value, None, None).map(|cell| cell.text).unwrap_or_default()
}

/// What the format of a number adds to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// The width that it fills up with zeros.
    zeros: Option<usize>,
    /// The sign of a currency, or `%`.
    sign: Option<Arc<str>>,
}

impl Look {
    /// Of a format's code, if it adds something.
    pub(super) fn of(format: &str) -> Option<Self> {
        let look = Self { zeros: zeros(format), sign: sign(format).map(Into::into) };
        (look != Self::default()).then_some(look)
    }
}

/// What a cell holds.
pub(super) fn cell(
    at: (u32, u32),
    value: &DataRef<'_>,
    formula: Option<&XlsxFormulaMetadata>,
    look: Option<&Look>,
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
        DataRef::Float(number) => match look {
            Some(Look { zeros: Some(width), .. }) if *number >= 0.0 && number.fract() == 0.0 && *number < 1e15 => {
                Some(Cell::new(format!("{number:0width$}"), Kind::Exact))
            }
            look => Some(Cell::float(*number).shown_with(look.and_then(|look| look.sign.as_ref()))),
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

/// A spreadsheet's time has no zone. Less than a day is a time of day; more hours than a day has
/// are a number.
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

/// The sign of a currency that a format writes next to the number, or `%`. Where several countries
/// have the sign, the format's language says which is meant.
fn sign(format: &str) -> Option<String> {
    let mut literal = String::new();
    let mut rest = format.split(';').next()?.chars();
    while let Some(character) = rest.next() {
        match character {
            // `[$€-407]`: a sign and the number of a language; `[Red]` and conditions are neither.
            '[' => {
                let inside: String = rest.by_ref().take_while(|inside| *inside != ']').collect();
                let Some(symbol) = inside.strip_prefix('$') else { continue };
                let (symbol, language) = symbol.rsplit_once('-').unwrap_or((symbol, ""));
                match (symbol, language.to_uppercase().as_str()) {
                    ("$", "409" | "0409" | "EN" | "US") => literal.push_str("US$"),
                    ("$", "2C0A" | "AR") => literal.push_str("AR$"),
                    ("$", "80A" | "080A" | "MX") => literal.push_str("MX$"),
                    ("$", "340A" | "CL") => literal.push_str("CL$"),
                    ("$", "240A" | "CO") => literal.push_str("CO$"),
                    ("$", "1009" | "C0C" | "0C0C" | "CA") => literal.push_str("CA$"),
                    ("$", "C09" | "0C09" | "AU") => literal.push_str("A$"),
                    (symbol, _) => literal.push_str(symbol),
                }
            }
            '"' => literal.extend(rest.by_ref().take_while(|inside| *inside != '"')),
            '\\' => literal.extend(rest.next()),
            '%' => return Some("%".to_owned()),
            // What only moves the number: blanks as wide as a sign, and fillings.
            '_' | '*' => {
                rest.next();
            }
            '#' | '0' | '?' | ',' | '.' => {}
            other => literal.push(other),
        }
    }
    let literal = literal.trim();
    let is_sign = literal.contains(['$', '\u{20ac}', '\u{a3}', '\u{a5}', '\u{20b9}', '\u{20b2}', '\u{20a9}']);
    let is_code = literal.len() == 3 && literal.bytes().all(|byte| byte.is_ascii_uppercase());
    (is_sign || is_code).then(|| literal.to_owned())
}

/// The width of a format that only fills up with zeros, such as `000000`.
fn zeros(format: &str) -> Option<usize> {
    let positive = format.split(';').next()?.trim_end_matches('@');
    (positive.len() > 1 && positive.len() <= 15 && positive.bytes().all(|byte| byte == b'0')).then_some(positive.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_show_a_currency_or_a_percentage() {
        let of = |format| sign(format);
        for (format, shown) in [
            ("\"R$\" #,##0.00", "R$"),
            ("[$R$-416] #,##0.00;[Red]-[$R$-416] #,##0.00", "R$"),
            ("[$$-409]#,##0.00", "US$"),
            ("[$US$] #,##0.00", "US$"),
            ("_-[$€-2] * #,##0.00_-", "€"),
            ("#,##0.00\\ \"€\"", "€"),
            ("[$USD] #,##0.00", "USD"),
            ("$#,##0.00_);($#,##0.00)", "$"),
            ("0%", "%"),
            ("0.00%", "%"),
        ] {
            assert_eq!(of(format).as_deref(), Some(shown), "{format}");
        }
        for format in
            ["General", "0.00", "#,##0.00", "[Red]0", "000000", "dd/mm/yyyy", "0\" un\"", "[$-416]dd/mm/yyyy", "@"]
        {
            assert_eq!(of(format), None, "{format}");
        }
    }

    #[test]
    fn formats_that_only_fill_up() {
        assert_eq!(
            ["000000", "00;-00", "0", "0.00", "00000-000", "General"].map(zeros),
            [Some(6), Some(2), None, None, None, None]
        );
        let look = Look::of("000000");
        let padded = |number: f64| cell((0, 0), &DataRef::Float(number), None, look.as_ref()).map(|cell| cell.text);
        assert_eq!(padded(123.0).as_deref(), Some("000123"));
        assert_eq!(padded(1_234_567.0).as_deref(), Some("1234567"));
        assert_eq!(padded(1.5).as_deref(), Some("1.5"));
        assert_eq!([0, 25, 26, 701, 702].map(|column| name((6, column))), ["A7", "Z7", "AA7", "ZZ7", "AAA7"]);
    }
}
