//! Values of documents as texts, which look-up tables read exactly or not at all; keys as values of
//! documents.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, RawBsonRef};
use vitral_schemas::topic::ColumnKind;

/// The name of every document's own key.
pub(crate) const ID: &str = "_id";
/// No decimal column holds numbers beyond this many places.
const EXPONENT_MAX: i32 = 40;
/// Of times, the years 0 to 9999 can be written: from the first to 1970, and to the end of the
/// last.
const YEAR_0_MS: i64 = 62_167_219_200_000;
const YEAR_10000_MS: i64 = YEAR_0_MS + 253_402_300_800_000;

/// The text of a value for a column of this kind; none for nothing. The error says what does not
/// fit.
pub(crate) fn text(value: RawBsonRef<'_>, kind: ColumnKind) -> Result<Option<String>, String> {
    use ColumnKind::{Boolean, Decimal, Integer, Text, TextOrNumber, Timestamp};
    let text = match (value, kind) {
        (RawBsonRef::Null | RawBsonRef::Undefined, _) => return Ok(None),
        // Numbers and times that are written as texts are read as those of files are.
        (RawBsonRef::String(text), _) => text.to_owned(),
        (RawBsonRef::ObjectId(id), Text | TextOrNumber) => id.to_hex(),
        (RawBsonRef::Int32(number), Integer | Decimal { .. } | TextOrNumber) => number.to_string(),
        (RawBsonRef::Int64(number), Integer | Decimal { .. } | TextOrNumber) => number.to_string(),
        // The shortest decimal that means the number: what was typed when it was stored.
        (RawBsonRef::Double(number), Integer | Decimal { .. } | TextOrNumber) if number.is_finite() => {
            number.to_string()
        }
        (RawBsonRef::Decimal128(number), Integer | Decimal { .. } | TextOrNumber) => {
            let text = number.to_string();
            let text = plain(&text).ok_or_else(|| format!("{text} is out of range"))?;
            if kind == Integer { whole(&text) } else { text }
        }
        (RawBsonRef::Boolean(is_true), Boolean) => is_true.to_string(),
        (RawBsonRef::DateTime(time), Timestamp)
            if (0..YEAR_10000_MS).contains(&time.timestamp_millis().saturating_add(YEAR_0_MS)) =>
        {
            time.try_to_rfc3339_string().map_err(|error| error.to_string())?
        }
        (RawBsonRef::DateTime(time), Timestamp) => {
            return Err(format!("{} ms since 1970 are in no year of four digits", time.timestamp_millis()));
        }
        (other, _) => return Err(format!("{:?} is not of its type", other.element_type())),
    };
    Ok(Some(text))
}

/// A decimal number without an exponent.
fn plain(text: &str) -> Option<String> {
    let Some((mantissa, exponent)) = text.split_once('E') else {
        return text.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte)).then(|| text.to_owned());
    };
    let exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() <= EXPONENT_MAX)?;
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    let mut point = i32::try_from(whole.len()).ok()? + exponent;
    while point <= 0 {
        digits.insert(0, '0');
        point += 1;
    }
    let point = usize::try_from(point).ok()?;
    while digits.len() < point {
        digits.push('0');
    }
    let (whole, fraction) = digits.split_at(point);
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// Without decimals that are all zeros.
fn whole(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole.to_owned(),
        _ => text.to_owned(),
    }
}

/// What documents may have as this key, in the field of this name.
pub(crate) fn keys(text: &str, kind: ColumnKind, field: &str) -> Vec<Bson> {
    let number = || text.parse::<i64>().ok().filter(|number| number.to_string() == text).map(Bson::Int64);
    if kind == ColumnKind::Integer {
        return number().into_iter().collect();
    }
    let mut keys = vec![Bson::String(text.to_owned())];
    if kind == ColumnKind::TextOrNumber {
        keys.extend(number());
    }
    if field == ID
        && let Ok(id) = ObjectId::parse_str(text)
    {
        keys.push(Bson::ObjectId(id));
    }
    keys
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{DateTime, RawBson, doc};

    use super::*;

    fn read(value: impl Into<Bson>, kind: ColumnKind) -> Result<Option<String>, String> {
        let value = RawBson::try_from(value.into()).expect("a value");
        text(value.as_raw_bson_ref(), kind)
    }

    fn decimal(text: &str) -> Bson {
        Bson::Decimal128(text.parse().expect("a decimal"))
    }

    const MONEY: ColumnKind = ColumnKind::Decimal { precision: 18, scale: 2 };

    #[test]
    fn values_become_texts_that_columns_read() {
        let id = ObjectId::parse_str("65f0a1b2c3d4e5f601234567").expect("an id");
        for (value, kind, expected) in [
            (Bson::from("ouro"), ColumnKind::Text, "ouro"),
            (Bson::ObjectId(id), ColumnKind::Text, "65f0a1b2c3d4e5f601234567"),
            (Bson::Int32(7), ColumnKind::Integer, "7"),
            (Bson::Int64(-7), MONEY, "-7"),
            (Bson::Double(12.5), MONEY, "12.5"),
            (Bson::Double(1e21), ColumnKind::Integer, "1000000000000000000000"),
            (decimal("10.50"), MONEY, "10.50"),
            (decimal("1E+3"), MONEY, "1000"),
            (decimal("-1.25E+4"), MONEY, "-12500"),
            (decimal("-2.5E-7"), MONEY, "-0.00000025"),
            (decimal("5.00"), ColumnKind::Integer, "5"),
            (Bson::Int32(12), ColumnKind::TextOrNumber, "12"),
            (Bson::Boolean(true), ColumnKind::Boolean, "true"),
            (
                Bson::DateTime(DateTime::from_millis(1_747_224_000_123)),
                ColumnKind::Timestamp,
                "2025-05-14T12:00:00.123Z",
            ),
        ] {
            assert_eq!(read(value.clone(), kind), Ok(Some(expected.to_owned())), "{value}");
        }
        assert_eq!(read(Bson::Null, MONEY), Ok(None));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (value, kind) in [
            (Bson::Int32(7), ColumnKind::Text),
            (Bson::Boolean(true), ColumnKind::Text),
            (Bson::Double(f64::NAN), MONEY),
            (decimal("Infinity"), MONEY),
            (decimal("1E+500"), MONEY),
            (Bson::Document(doc! { "a": 1 }), ColumnKind::Text),
            (Bson::Array(vec![]), ColumnKind::TextOrNumber),
            (Bson::DateTime(DateTime::MAX), ColumnKind::Timestamp),
            (Bson::Int64(1), ColumnKind::Timestamp),
        ] {
            assert!(read(value.clone(), kind).is_err(), "{value}");
        }
    }

    #[test]
    fn keys_are_of_every_type_that_documents_have_them_in() {
        let id = "65f0a1b2c3d4e5f601234567";
        assert_eq!(keys("7", ColumnKind::Integer, "id"), [Bson::Int64(7)]);
        assert_eq!(keys("7", ColumnKind::Text, "id"), [Bson::from("7")]);
        assert_eq!(keys("7", ColumnKind::TextOrNumber, "id"), [Bson::from("7"), Bson::Int64(7)]);
        assert_eq!(keys("07", ColumnKind::TextOrNumber, "id"), [Bson::from("07")]);
        assert_eq!(keys(id, ColumnKind::Text, "id").len(), 1);
        assert_eq!(keys(id, ColumnKind::Text, "_id").len(), 2);
    }
}
