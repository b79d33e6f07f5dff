//! What the schema next to an envelope says of values that JSON cannot tell apart: units of times,
//! and decimals written as bytes.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vitral_schemas::changes::NumericTime;
use vitral_schemas::verdict::Reason;

use super::column::Misfit;
use super::number::{RANGE, scaled};
use super::scan::{Kind, Raw, Scanner};

/// Messages of one table carry the same schema, but for the time in which it changes.
const SCHEMAS_MAX: usize = 16;
/// Digits behind the point beyond which no column can hold a number.
const SCALE_MAX: i64 = 1_000;
const NOT_BASE64: Misfit = (Reason::Type, "is not a number in base64, as its schema says");

/// How a field's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// No schema says so.
    Unknown,
    /// As JSON has it.
    Plain,
    /// A number that counts this from 1970 on.
    Time(NumericTime),
    /// The digits as bytes in base64.
    Decimal {
        /// How many of them are behind the point.
        scale: i64,
    },
}

/// A schema's text, and the forms that it says.
type Known = (Box<[u8]>, Arc<[Form]>);

/// The forms of a topic's columns, by schema.
pub(super) struct Forms {
    names: Vec<String>,
    /// The last one that was used is the first.
    known: Vec<Known>,
}

impl Forms {
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().collect(), known: Vec::new() }
    }

    /// The forms that a schema says, be it an envelope's or a key's; none without one.
    pub fn of(&mut self, schema: Raw<'_>) -> Option<Arc<[Form]>> {
        if schema.kind != Kind::Object {
            return None;
        }
        match self.known.iter().position(|(text, _)| **text == *schema.text) {
            Some(0) => {}
            Some(place) => self.known.swap(0, place),
            None => {
                self.known.truncate(SCHEMAS_MAX - 1);
                let forms = self.read(schema);
                self.known.insert(0, (schema.text.into(), forms));
            }
        }
        self.known.first().map(|(_, forms)| Arc::clone(forms))
    }

    #[cold]
    fn read(&self, schema: Raw<'_>) -> Arc<[Form]> {
        let mut forms = vec![Form::Plain; self.names.len()];
        let fields = elements(member(schema, b"fields"));
        // The rows of an envelope. A key has its columns itself, whatever they are called.
        let row = |name: &[u8]| {
            let rows = fields.iter().filter(|field| text(member(**field, b"field")) == Some(name));
            rows.map(|field| member(*field, b"fields")).find(|columns| columns.kind == Kind::Array)
        };
        let columns = row(b"after").or_else(|| row(b"before")).map(elements);
        for field in columns.unwrap_or(fields) {
            let name = text(member(field, b"field")).unwrap_or_default();
            if let Some(index) = self.names.iter().position(|known| known.as_bytes() == name) {
                forms[index] = form(field);
            }
        }
        forms.into()
    }
}

fn form(field: Raw<'_>) -> Form {
    match text(member(field, b"name")).unwrap_or_default() {
        b"io.debezium.time.Timestamp" | b"org.apache.kafka.connect.data.Timestamp" => Form::Time(NumericTime::Millis),
        b"io.debezium.time.MicroTimestamp" => Form::Time(NumericTime::Micros),
        b"io.debezium.time.NanoTimestamp" => Form::Time(NumericTime::Nanos),
        b"io.debezium.time.Date" | b"org.apache.kafka.connect.data.Date" => Form::Time(NumericTime::Days),
        b"org.apache.kafka.connect.data.Decimal" => {
            let scale = text(member(member(field, b"parameters"), b"scale")).unwrap_or_default();
            match std::str::from_utf8(scale).ok().and_then(|scale| scale.parse().ok()) {
                Some(scale) => Form::Decimal { scale },
                None => Form::Plain,
            }
        }
        _ => Form::Plain,
    }
}

/// The number that `{"scale": 2, "value": "BNI="}` is, with its point.
#[cold]
pub(super) fn variable_decimal(raw: Raw<'_>, out: &mut Vec<u8>) -> Result<(), Misfit> {
    const NOT_ONE: Misfit = (Reason::Type, "is not a number with its scale");
    let (scale, value) = (member(raw, b"scale"), member(raw, b"value"));
    if scale.kind != Kind::Number {
        return Err(NOT_ONE);
    }
    let scale = scaled(scale.text, 0, 9).ok().and_then(|scale| i64::try_from(scale).ok()).ok_or(NOT_ONE)?;
    decimal_text(text(value).ok_or(NOT_ONE)?, scale, out)
}

/// Writes the number that bytes in base64 are: the most significant first, in two's complement,
/// with so many digits behind the point.
pub(super) fn decimal_text(base64: &[u8], scale: i64, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let bytes = STANDARD.decode(base64).map_err(|_| NOT_BASE64)?;
    let (Some(first), true) = (bytes.first(), (-SCALE_MAX..=SCALE_MAX).contains(&scale)) else {
        return Err(NOT_BASE64);
    };
    let fill = if first & 0x80 == 0 { 0 } else { 0xFF };
    let short = &bytes[bytes.iter().take_while(|byte| **byte == fill).count().min(bytes.len() - 1)..];
    // Of sixteen bytes the first has the sign.
    if short.len() > 16 || short.len() == 16 && (short[0] ^ fill) & 0x80 != 0 {
        return Err((Reason::Value, RANGE));
    }
    let mut whole = [fill; 16];
    whole[16 - short.len()..].copy_from_slice(short);
    let number = i128::from_be_bytes(whole);
    let digits = number.unsigned_abs().to_string();
    out.clear();
    if number < 0 {
        out.push(b'-');
    }
    let behind = usize::try_from(scale).unwrap_or(0);
    let before = usize::try_from(-scale).unwrap_or(0);
    let padded = format!("{digits:0>width$}", width = behind + 1);
    let (integer, fraction) = padded.split_at(padded.len() - behind);
    out.extend_from_slice(integer.as_bytes());
    if number != 0 {
        out.resize(out.len() + before, b'0');
    }
    if behind > 0 {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
    Ok(())
}

fn text(raw: Raw<'_>) -> Option<&[u8]> {
    (raw.kind == Kind::Text).then_some(raw.text)
}

/// The member of an object that was checked before; absent if it has none.
fn member<'a>(object: Raw<'a>, name: &[u8]) -> Raw<'a> {
    let mut found = Raw::ABSENT;
    if object.kind == Kind::Object {
        let mut scanner = Scanner::new(object.text, 1);
        while let Ok(key) = scanner.key() {
            let Ok(value) = scanner.value() else { break };
            if key.kind == Kind::Text && key.text == name {
                found = value;
            }
            scanner.whitespace();
            if scanner.expect(b',', "").is_err() {
                break;
            }
        }
    }
    found
}

/// The elements of an array that was checked before.
fn elements(array: Raw<'_>) -> Vec<Raw<'_>> {
    let mut found = Vec::new();
    if array.kind == Kind::Array {
        let mut scanner = Scanner::new(array.text, 1);
        scanner.whitespace();
        while let Ok(value) = scanner.value() {
            found.push(value);
            scanner.whitespace();
            if scanner.expect(b',', "").is_err() {
                break;
            }
            scanner.whitespace();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_decimals() {
        let decimal = |bytes: &[u8], scale| {
            let mut out = Vec::new();
            decimal_text(STANDARD.encode(bytes).as_bytes(), scale, &mut out)?;
            Ok::<_, Misfit>(String::from_utf8(out).expect("digits"))
        };
        for (number, scale, expected) in [
            (123_450_i64, 2, "1234.50"),
            (-5, 2, "-0.05"),
            (0, 2, "0.00"),
            (7, 0, "7"),
            (7, -3, "7000"),
            (i64::MIN, 4, "-922337203685477.5808"),
            (-256, 0, "-256"),
        ] {
            assert_eq!(decimal(&number.to_be_bytes(), scale).as_deref(), Ok(expected));
            // As Java writes it: no more bytes than are needed.
            let bytes = number.to_be_bytes();
            let needless = (0..7).take_while(|at| {
                let fill = if number < 0 { 0xFF } else { 0 };
                bytes[*at] == fill && (bytes[at + 1] ^ fill) & 0x80 == 0
            });
            assert_eq!(decimal(&bytes[needless.count()..], scale).as_deref(), Ok(expected));
        }
        assert_eq!(decimal(&[0x7F; 17], 0), Err((Reason::Value, RANGE)));
        assert_eq!(decimal(&[], 0), Err(NOT_BASE64));
        assert_eq!(decimal_text(b"12.5", 1, &mut Vec::new()), Err(NOT_BASE64));
    }
}
