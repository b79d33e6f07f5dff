//! A row of a file as the message that would have said the same.

use serde_json::Value;
use vitral_schemas::event_id;
use vitral_schemas::verdict::Reason;

use super::ROW_REASON;
use super::forms::currency::COLUMN as CURRENCY;
use super::forms::number::{self, Amount};
use super::forms::time::{self, Clock};
use super::forms::{Form, Forms, Numbers, currency};
use super::mapping::{Filled, Mapping, Role};
use super::source::{Cell, Kind, Row};

/// Digits that a binary fraction holds for sure; what is behind them is its error.
const DIGITS: usize = 15;
/// Whole numbers up to here are exact in a binary fraction.
const EXACT_MAX: f64 = (1_u64 << 53) as f64;
/// Programs write a smaller year where nobody has filled in a date.
const YEAR_MIN: i32 = 1900;
/// As formats of spreadsheets show it.
const PERCENT: &str = "%";
/// How much of a cell an explanation shows.
const EXCERPT_CHARS: usize = 80;

/// Why a row does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

impl Refused {
    fn new(reason: Reason, detail: String) -> Self {
        Self { reason: reason.name(), detail }
    }
}

impl Mapping {
    /// Appends the row as a JSON object; `currency` is what amounts are in where the row does not
    /// say. After an error what was appended is not whole.
    pub(super) fn message(
        &self,
        row: &Row,
        forms: &Forms,
        currency: &str,
        message: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let broken = |detail: String| Refused { reason: ROW_REASON, detail };
        if let Some(why) = &row.broken {
            return Err(broken(why.clone()));
        }
        let (cells, width) = (row.cells.len(), self.width());
        if cells < self.cells_needed() {
            return Err(broken(format!("{cells} cells where the header has {width}")));
        }
        if row.is_unended && cells < self.cells_used() {
            return Err(broken(format!("the file ends in it: {cells} cells where the header has {width}")));
        }
        let clock = if forms.has_clock { self.clock_of(row, forms)? } else { None };
        message.push(b'{');
        let mut said = None;
        for (name, text) in &self.constants {
            if name == CURRENCY {
                said = Some(text.clone());
            }
            put(message, name, &Value::String(text.clone()))?;
        }
        let mut signs = Vec::new();
        for (index, (cell, filled)) in row.cells.iter().zip(&self.columns).enumerate() {
            let (Some(cell), Some(filled)) = (cell, filled) else { continue };
            // A text that programs write as a number has NaN where there is none; an amount that is
            // not a number is an error.
            let is_none = filled.role == Role::Text && cell.kind == Kind::Float && cell.text == "NaN";
            if filled.role == Role::Clock || is_none {
                continue;
            }
            let clock = clock.as_ref().filter(|_| index == self.time());
            let value = value(cell, filled, forms.columns[index], clock, row.sheet.is_some(), &mut signs);
            let mut value = value.map_err(|(reason, why)| Refused::new(reason, self.said(index, cell, &why)))?;
            match &mut value {
                Value::String(text) if self.is_id(&filled.name) && event_id::is_none(text.as_bytes()) => continue,
                Value::String(text) if filled.name == CURRENCY => {
                    if let Some(code) = currency::of_word(text, currency) {
                        *text = code;
                    }
                }
                _ => {}
            }
            if let Some(code) = &self.currencies[index] {
                signs.push(code.clone());
            }
            put(message, &filled.name, &value)?;
            if filled.name == CURRENCY
                && let Value::String(text) = value
            {
                said = Some(text);
            }
        }
        if !signs.is_empty()
            && let Some(meant) = self.currency_of(said, &signs, row, currency)?
        {
            put(message, CURRENCY, &Value::String(meant))?;
        }
        message.push(b'}');
        Ok(())
    }

    /// What was found wrong with the message, and the cell as the file has it, so that people find
    /// it there.
    pub(super) fn explain(&self, row: &Row, detail: &str) -> String {
        let blamed = |name: &str| detail.strip_prefix(name).is_some_and(|rest| rest.starts_with([':', ' ']));
        let found = self.filled().find(|(_, name)| blamed(name));
        let cell = found.and_then(|(index, _)| Some((index, row.cells.get(index)?.as_ref()?)));
        match cell {
            Some((index, cell)) if !detail.contains(&format!("\"{}\"", cell.text)) => {
                format!("{detail}; {} holds {}", self.heading(index), excerpt(&cell.text))
            }
            _ => detail.to_owned(),
        }
    }

    fn said(&self, index: usize, cell: &Cell, why: &str) -> String {
        match cell.kind {
            Kind::Unusable => format!("{}: {why}", self.heading(index)),
            _ => format!("{} holds {}, which {why}", self.heading(index), excerpt(&cell.text)),
        }
    }

    fn clock_of(&self, row: &Row, forms: &Forms) -> Result<Option<Clock>, Refused> {
        let mut columns = self.columns.iter().zip(&row.cells).enumerate();
        let is_clock = |column: &Option<Filled>| column.as_ref().is_some_and(|filled| filled.role == Role::Clock);
        let Some((index, (_, Some(cell)))) = columns.find(|(_, (column, _))| is_clock(column)) else { return Ok(None) };
        let refused = |why: &str| Refused::new(Reason::Time, self.said(index, cell, why));
        if cell.kind == Kind::Unusable {
            return Err(refused(&cell.text));
        }
        let clock = Clock::read(cell).ok_or_else(|| refused("is not a time of day"))?;
        match forms.columns[index] {
            Form::Clock { is_twelve: true } if !clock.fits_twelve() => Err(refused(time::NOT_TWELVE)),
            _ => Ok(Some(clock)),
        }
    }

    /// The currency that stands with the amounts is the row's; where the row does not say, it is
    /// returned.
    fn currency_of(
        &self,
        said: Option<String>,
        signs: &[String],
        row: &Row,
        currency: &str,
    ) -> Result<Option<String>, Refused> {
        let mut filled = said.clone();
        let mut signs: Vec<_> = signs.iter().map(|sign| (sign, currency::meant(sign).unwrap_or_default())).collect();
        // What can mean one only says what the others mean: `$30.50` below `Preço (US$)`.
        signs.sort_by_key(|(_, meant)| meant.len());
        for (sign, meant) in signs {
            match (&filled, meant.as_slice()) {
                (Some(filled), meant) if meant.contains(filled) => {}
                (None, meant) if meant.iter().any(|meant| meant == currency) => filled = Some(currency.to_owned()),
                (None, [only]) => filled = Some(only.clone()),
                (filled, _) => {
                    let row_has = filled.as_deref().unwrap_or(currency);
                    let cells = row.cells.iter().flatten().map(|cell| excerpt(&cell.text));
                    let cell =
                        cells.into_iter().find(|text| text.contains(sign.as_str())).unwrap_or_else(|| sign.clone());
                    return Err(Refused::new(
                        Reason::Value,
                        format!(
                            "{cell} is in a different currency from {row_has}: add a column that says which, and --map it to {CURRENCY}"
                        ),
                    ));
                }
            }
        }
        Ok(filled.filter(|filled| said.is_none() && filled != currency))
    }
}

/// Appends a field to an object.
fn put(message: &mut Vec<u8>, name: &str, value: &Value) -> Result<(), Refused> {
    if message.last() != Some(&b'{') {
        message.push(b',');
    }
    let written = serde_json::to_writer(&mut *message, name).and_then(|()| {
        message.push(b':');
        serde_json::to_writer(&mut *message, value)
    });
    written.map_err(|error| Refused::new(Reason::Json, error.to_string()))
}

/// A cell as its column wants it; else the reason why it cannot be, and in words.
fn value(
    cell: &Cell,
    filled: &Filled,
    form: Form,
    clock: Option<&Clock>,
    is_sheet: bool,
    signs: &mut Vec<String>,
) -> Result<Value, (Reason, String)> {
    let is_unusable = cell.kind == Kind::Unusable;
    let refused = |reason: Reason, why: &str| Err((reason, why.to_owned()));
    match filled.role {
        Role::Time if is_unusable => refused(Reason::Time, &cell.text),
        _ if is_unusable => refused(Reason::Type, &cell.text),
        Role::Text => text(cell, filled, form, is_sheet).map(Value::String),
        Role::Decimal => amount(cell, form, signs).map(Value::String),
        Role::Integer => {
            let counted = match number::without_unit(&cell.text) {
                counted if cell.kind == Kind::Written && counted != cell.text => {
                    amount(&Cell { text: counted.to_owned(), ..cell.clone() }, form, signs)
                }
                _ => amount(cell, form, signs),
            };
            let number = counted?;
            match whole(&number) {
                Some(number) => Ok(Value::Number(number.into())),
                None => refused(Reason::Type, "is not a whole number"),
            }
        }
        Role::Time | Role::Clock => {
            let Form::Time(form) = form else { return refused(Reason::Time, "is not a time") };
            let time = time::read(cell, form, clock).map_err(|why| (Reason::Time, why))?;
            match time.get(..4).and_then(|year| year.parse::<i32>().ok()) {
                Some(year) if year >= YEAR_MIN => Ok(Value::String(time)),
                _ => Err((Reason::Time, format!("is before the year {YEAR_MIN}, as if nobody had filled in a date"))),
            }
        }
        Role::Boolean => match cell.text.trim().to_lowercase().as_str() {
            "true" | "sim" | "s" | "1" | "verdadeiro" | "yes" | "y" => Ok(Value::Bool(true)),
            "false" | "não" | "nao" | "n" | "0" | "falso" | "no" => Ok(Value::Bool(false)),
            _ => refused(Reason::Type, "is neither yes nor no"),
        },
    }
}

/// A number in JSON's form.
fn amount(cell: &Cell, form: Form, signs: &mut Vec<String>) -> Result<String, (Reason, String)> {
    let refused = |why: &str| Err((Reason::Type, why.to_owned()));
    let numbers = match (cell.kind, form) {
        (Kind::Float, _) => {
            return match (cell.text.parse::<f64>(), cell.sign.as_deref()) {
                (Ok(_), Some(PERCENT)) => refused("is shown as a percentage, not as an amount"),
                (Ok(number), sign) if number.is_finite() => {
                    signs.extend(sign.filter(|sign| currency::meant(sign).is_some()).map(str::to_owned));
                    Ok(shown(number))
                }
                _ => refused("is not a number"),
            };
        }
        (Kind::Time | Kind::Clock, _) => return refused("is a date where a number is expected"),
        (Kind::Truth, _) => return refused("is not a number"),
        (Kind::Written, Form::Numbers(numbers)) => numbers,
        _ => Numbers::Plain,
    };
    match number::read(&cell.text, numbers) {
        Some(Amount { number, currency: None }) => Ok(number),
        Some(Amount { number, currency: Some(sign) }) => match currency::meant(&sign) {
            Some(_) => {
                signs.push(sign);
                Ok(number)
            }
            None => refused("is not just a number"),
        },
        None => {
            let example = if numbers == Numbers::Plain { "1,234.56" } else { "1.234,56" };
            Err((Reason::Type, format!("is not a number written like {example}")))
        }
    }
}

/// A text, above all an id: it must be the same wherever it stands.
fn text(cell: &Cell, filled: &Filled, form: Form, is_sheet: bool) -> Result<String, (Reason, String)> {
    let refused = |why: &str| Err((Reason::Type, why.to_owned()));
    let text = match cell.kind {
        Kind::Float => match cell.text.parse::<f64>() {
            Ok(number) if number.fract() == 0.0 && number.abs() <= EXACT_MAX => number.to_string(),
            Ok(number) if number.fract() == 0.0 => {
                return refused("has more digits than a number in this file holds exactly: format the column as text");
            }
            Ok(number) => shown(number),
            Err(_) => cell.text.clone(),
        },
        Kind::Time if is_sheet => return refused("is a date where text is expected: format the column as text"),
        Kind::Written => {
            let text = unwrapped(&cell.text);
            if is_shortened(text) {
                return refused(
                    "was shortened by a spreadsheet, and its last digits are lost: format the column as text",
                );
            }
            let whole = text.strip_suffix(".0").filter(|_| form == Form::WholeFloats);
            whole.unwrap_or(text).to_owned()
        }
        _ => cell.text.clone(),
    };
    if filled.name == CURRENCY {
        let meant = currency::meant(&text).filter(|meant| meant.len() == 1);
        return Ok(meant.map_or(text, |meant| meant.concat()));
    }
    Ok(text)
}

/// `="00042"` and `'00042` are how people keep a spreadsheet from making numbers of texts.
fn unwrapped(text: &str) -> &str {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix("=\"").and_then(|text| text.strip_suffix('"')) {
        return inner.trim();
    }
    match text.strip_prefix('\'') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit() || "=+-@".contains(c)) => rest.trim(),
        _ => text,
    }
}

/// `2,00001E+15` was a longer number once.
fn is_shortened(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once("E+") else { return false };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(exponent)
        && mantissa
            .split_once([',', '.'])
            .is_some_and(|(whole, rest)| whole.len() == 1 && is_digits(whole) && is_digits(rest))
}

/// With the digits that a binary fraction holds: 0.1 + 0.2 is 0.3, and 3.305 stays 3.305.
fn shown(number: f64) -> String {
    let rounded = format!("{number:.*e}", DIGITS - 1).parse::<f64>();
    rounded.unwrap_or(number).to_string()
}

/// The same of a text that is a binary fraction; one that is no longer exact stays as it is.
pub(super) fn shortest(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && (number.fract() != 0.0 || number.abs() <= EXACT_MAX) => shown(number),
        _ => text.to_owned(),
    }
}

/// A number without a fraction, or with one of zeros.
fn whole(number: &str) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    fraction.bytes().all(|byte| byte == b'0').then(|| whole.parse().ok()).flatten()
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
