//! A column in the making: values are appended one by one, a row can be taken back, the whole
//! becomes an Arrow array.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, Decimal128Array, Int64Array, NullBufferBuilder, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use vitral_schemas::event_id;
use vitral_schemas::text::{HOLDS_ZERO, NOT_A_CURRENCY, TOO_LONG, currency, is_blank};
use vitral_schemas::topic::{self, ColumnKind};
use vitral_schemas::verdict::Reason;

use super::number::{self, scaled};
use super::scan::{Kind, Raw, number_end, unescape};
use super::time::{Zone, is_shown, micros};

/// Why a value does not fit its column.
pub(super) type Misfit = (Reason, &'static str);

pub(super) struct Column {
    needed: bool,
    kind: ColumnKind,
    /// Null rows at the end that are not in `valid` and `values` yet: most columns of most messages
    /// are absent.
    nulls: usize,
    valid: NullBufferBuilder,
    values: Values,
}

enum Values {
    Text {
        ends: Vec<i32>,
        text: Vec<u8>,
        takes_numbers: bool,
        bytes_max: usize,
        is_event_id: bool,
    },
    Currency {
        ends: Vec<i32>,
        text: Vec<u8>,
    },
    Integer(Vec<i64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    /// In microseconds.
    Timestamp {
        values: Vec<i64>,
        earliest: i64,
    },
    Boolean(BooleanBufferBuilder),
}

impl Column {
    /// `earliest` is the first time in microseconds that the column takes, if it is one of times.
    pub fn new(column: &topic::Column, earliest: i64, is_event_id: bool) -> Self {
        let values = match column.kind {
            ColumnKind::Text | ColumnKind::TextOrNumber => Values::Text {
                ends: vec![0],
                text: Vec::new(),
                takes_numbers: column.kind == ColumnKind::TextOrNumber,
                bytes_max: column.bytes_max,
                is_event_id,
            },
            ColumnKind::Currency => Values::Currency { ends: vec![0], text: Vec::new() },
            ColumnKind::Integer => Values::Integer(Vec::new()),
            ColumnKind::Decimal { precision, scale } => Values::Decimal { values: Vec::new(), precision, scale },
            ColumnKind::Timestamp => Values::Timestamp { values: Vec::new(), earliest },
            ColumnKind::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
        };
        Self { needed: column.needed, kind: column.kind, nulls: 0, valid: NullBufferBuilder::new(0), values }
    }

    /// Appends a row, or nothing where the value does not fit.
    #[inline(always)]
    pub fn push(&mut self, raw: Raw<'_>, zone: &mut Zone, scratch: &mut Vec<u8>) -> Result<(), Misfit> {
        if raw.kind == Kind::Absent {
            return self.push_absent();
        }
        if self.nulls > 0 {
            self.settle_nulls();
        }
        match &mut self.values {
            Values::Text { ends, text, takes_numbers, bytes_max, is_event_id } => {
                match raw.kind {
                    // Most texts are seen not to be blank by their first byte.
                    Kind::Text if starts_blank(raw.text) && is_blank(raw.text) => return self.push_absent(),
                    Kind::Text if *is_event_id && event_id::is_none(raw.text) => return self.push_absent(),
                    Kind::Text if raw.text.len() <= *bytes_max => text.extend_from_slice(raw.text),
                    Kind::Number if *is_event_id && *takes_numbers && event_id::is_none(raw.text) => {
                        return self.push_absent();
                    }
                    Kind::Number if *takes_numbers && raw.text.len() <= *bytes_max => text.extend_from_slice(raw.text),
                    Kind::Escaped => {
                        if !unescaped(raw.text, text, *bytes_max, *is_event_id)? {
                            return self.push_absent();
                        }
                    }
                    kind => return Err(no_text(kind, *takes_numbers)),
                }
                ends.push(text.len() as i32);
            }
            Values::Currency { ends, text } => {
                let code = string(raw, scratch).ok_or((Reason::Type, "is not a string"))?;
                if starts_blank(code) && is_blank(code) {
                    return self.push_absent();
                }
                text.extend_from_slice(&currency(code).ok_or(NOT_A_CURRENCY)?);
                ends.push(text.len() as i32);
            }
            Values::Integer(values) => {
                if raw.kind != Kind::Number {
                    return Err((Reason::Type, "is not a number"));
                }
                // 19 digits hold every 64-bit integer.
                let value = scaled(raw.text, 0, 19).map_err(|what| (Reason::Value, what))?;
                values.push(i64::try_from(value).map_err(|_| (Reason::Value, number::RANGE))?);
            }
            Values::Decimal { values, precision, scale } => {
                let text = number_text(raw, scratch)?;
                values.push(scaled(text, *scale, *precision).map_err(|what| (Reason::Value, what))?);
            }
            Values::Timestamp { values, earliest } => {
                let text = string(raw, scratch).ok_or((Reason::Type, "is not a string"))?;
                let time = micros(text, zone).map_err(|what| (Reason::Time, what))?;
                if time < *earliest {
                    return Err((Reason::Time, "is before 1970-01-01T00:00:00Z"));
                }
                values.push(time);
            }
            Values::Boolean(values) => match raw.kind {
                Kind::True => values.append(true),
                Kind::False => values.append(false),
                _ => return Err((Reason::Type, "is not true or false")),
            },
        }
        self.valid.append_non_null();
        Ok(())
    }

    /// Appends a time in microseconds.
    pub fn push_micros(&mut self, micros: i64) -> Result<(), Misfit> {
        let earliest = match &self.values {
            Values::Timestamp { earliest, .. } => *earliest,
            _ => i64::MIN,
        };
        if micros < earliest {
            return Err((Reason::Time, "is before 1970-01-01T00:00:00Z"));
        }
        if !is_shown(micros) {
            return Err((Reason::Time, "is not within the years 0001 to 9999"));
        }
        self.push_integer(Some(micros))
    }

    /// Appends an integer, or none, to a column of integers or times.
    pub fn push_integer(&mut self, value: Option<i64>) -> Result<(), Misfit> {
        let Some(value) = value else { return self.push_absent() };
        if self.nulls > 0 {
            self.settle_nulls();
        }
        match &mut self.values {
            Values::Integer(values) | Values::Timestamp { values, .. } => values.push(value),
            _ => return Err((Reason::Type, "is a number")),
        }
        self.valid.append_non_null();
        Ok(())
    }

    /// What a text column's bound is.
    pub fn bytes_max(&self) -> usize {
        match self.values {
            Values::Text { bytes_max, .. } => bytes_max,
            _ => usize::MAX,
        }
    }

    #[inline(always)]
    fn push_absent(&mut self) -> Result<(), Misfit> {
        if self.needed {
            return Err((Reason::MissingField, "is missing, null or empty"));
        }
        self.push_null();
        Ok(())
    }

    #[inline(always)]
    pub fn push_null(&mut self) {
        self.nulls += 1;
    }

    fn settle_nulls(&mut self) {
        let nulls = std::mem::take(&mut self.nulls);
        self.valid.append_n_nulls(nulls);
        let rows = self.valid.len();
        match &mut self.values {
            Values::Text { ends, text, .. } | Values::Currency { ends, text } => {
                ends.resize(rows + 1, text.len() as i32);
            }
            Values::Integer(values) | Values::Timestamp { values, .. } => values.resize(rows, 0),
            Values::Decimal { values, .. } => values.resize(rows, 0),
            Values::Boolean(values) => values.append_n(nulls, false),
        }
    }

    /// Takes back all rows from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        self.nulls = rows.saturating_sub(self.valid.len());
        if self.nulls > 0 {
            return;
        }
        self.valid.truncate(rows);
        match &mut self.values {
            Values::Text { ends, text, .. } | Values::Currency { ends, text } => {
                ends.truncate(rows + 1);
                text.truncate(ends[rows] as usize);
            }
            Values::Integer(values) | Values::Timestamp { values, .. } => values.truncate(rows),
            Values::Decimal { values, .. } => values.truncate(rows),
            Values::Boolean(values) => values.truncate(rows),
        }
    }

    /// Hands over the rows.
    pub fn finish(&mut self) -> ArrayRef {
        if self.valid.is_empty() {
            return new_null_array(&self.kind.data_type(), std::mem::take(&mut self.nulls));
        }
        if self.nulls > 0 {
            self.settle_nulls();
        }
        let nulls = self.valid.finish();
        match &mut self.values {
            Values::Text { ends, text, .. } | Values::Currency { ends, text } => {
                let offsets = OffsetBuffer::new(taken(ends).into());
                ends.push(0);
                Arc::new(StringArray::new(offsets, Buffer::from_vec(taken(text)), nulls))
            }
            Values::Integer(values) => Arc::new(Int64Array::new(taken(values).into(), nulls)),
            Values::Decimal { values, .. } => {
                Arc::new(Decimal128Array::new(taken(values).into(), nulls).with_data_type(self.kind.data_type()))
            }
            Values::Timestamp { values, .. } => {
                let array = TimestampMicrosecondArray::new(taken(values).into(), nulls);
                Arc::new(array.with_data_type(self.kind.data_type()))
            }
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
        }
    }
}

/// Whether a text may be one of blanks alone: empty, or with a blank or something beyond ASCII at
/// its start.
#[inline(always)]
fn starts_blank(text: &[u8]) -> bool {
    text.first().is_none_or(|byte| *byte <= b' ' || !byte.is_ascii())
}

/// Appends the content of a string with escapes; false where that is absent: empty, blank, or no
/// event id. What does not fit is taken back.
#[cold]
fn unescaped(raw: &[u8], text: &mut Vec<u8>, bytes_max: usize, is_event_id: bool) -> Result<bool, Misfit> {
    let start = text.len();
    unescape(raw, text);
    let content = &text[start..];
    let outcome = if content.contains(&0) {
        Err(HOLDS_ZERO)
    } else if content.len() > bytes_max {
        Err(TOO_LONG)
    } else {
        let is_absent = is_blank(content) || (is_event_id && event_id::is_none(content));
        Ok(!is_absent)
    };
    if outcome != Ok(true) {
        text.truncate(start);
    }
    outcome
}

/// Why a value that is none of a text column's is not.
#[cold]
fn no_text(kind: Kind, takes_numbers: bool) -> Misfit {
    match kind {
        Kind::Text => TOO_LONG,
        Kind::Number if takes_numbers => TOO_LONG,
        _ => (Reason::Type, "is not a string"),
    }
}

/// The values; room for as many is left behind, as the next batch is likely as large.
fn taken<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = values.len();
    let mut taken = std::mem::replace(values, Vec::with_capacity(room));
    // Arrays may be kept for long, and are accounted for with their room.
    if taken.capacity() / 2 > room {
        taken.shrink_to_fit();
    }
    taken
}

/// A number's digits, also where they stand in a string.
#[inline(always)]
fn number_text<'a>(raw: Raw<'a>, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Misfit> {
    if raw.kind == Kind::Number {
        return Ok(raw.text);
    }
    let text = string(raw, scratch).ok_or((Reason::Type, "is not a number or string"))?;
    if number_end(text, 0) != Ok(text.len()) {
        return Err((Reason::Type, number::NO_NUMBER));
    }
    Ok(text)
}

/// A string's content, unescaped into `scratch` where it must be.
#[inline(always)]
fn string<'a>(raw: Raw<'a>, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    match raw.kind {
        Kind::Text => Some(raw.text),
        Kind::Escaped => {
            scratch.clear();
            unescape(raw.text, scratch);
            Some(scratch)
        }
        _ => None,
    }
}
