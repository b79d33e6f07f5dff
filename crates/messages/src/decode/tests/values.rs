//! Every kind of column: what it takes, what it refuses and why.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use vitral_schemas::topic::{self, ColumnKind};

use super::super::*;
use super::{all_kinds, decode, refusal, topic as topic_of};

/// The array of the column `name` (of [`all_kinds`]) after a message with this JSON text as its
/// value.
fn column(name: &str, value: &str) -> Result<ArrayRef, Reason> {
    let topic = all_kinds();
    let decoded = decode(&topic, &[format!(r#"{{"n": "x", "{name}": {value}}}"#)]);
    match decoded.refused.first() {
        Some(refusal) => {
            assert!(refusal.detail.starts_with(name) || refusal.reason == Reason::Json, "{}", refusal.detail);
            Err(refusal.reason)
        }
        None => {
            let index = topic.columns.iter().position(|column| column.name == name).expect("a column");
            assert!(decoded.columns[index].is_valid(0));
            Ok(decoded.columns[index].clone())
        }
    }
}

pub(super) fn text(value: &str) -> Result<String, Reason> {
    column("t", value).map(|array| array.as_string::<i32>().value(0).to_owned())
}

fn integer(value: &str) -> Result<i64, Reason> {
    column("i", value).map(|array| array.as_primitive::<Int64Type>().value(0))
}

fn cents(value: &str) -> Result<i128, Reason> {
    column("d", value).map(|array| array.as_primitive::<Decimal128Type>().value(0))
}

fn boolean(value: &str) -> Result<bool, Reason> {
    column("b", value).map(|array| array.as_boolean().value(0))
}

#[test]
fn text_is_a_string_or_a_numbers_text() {
    assert_eq!(text(r#""p 456""#).as_deref(), Ok("p 456"));
    assert_eq!(text(r#""\"\\\/\b\f\n\r\t\u00e7""#).as_deref(), Ok("\"\\/\u{8}\u{c}\n\r\tç"));
    let digits = "9".repeat(400);
    for number in ["456", "-0", "1.50", "1E+2", "1e400", &digits] {
        assert_eq!(text(number).as_deref(), Ok(number));
    }
    for value in ["true", "false", "[]", r#"["a"]"#, "{}"] {
        assert_eq!(text(value), Err(Reason::Type), "{value}");
    }
}

#[test]
fn integers_are_exact() {
    for (value, expected) in [
        ("0", 0),
        ("-0", 0),
        ("5.0", 5),
        ("5.000e0", 5),
        ("50e-1", 5),
        ("0.5e1", 5),
        ("1E3", 1_000),
        ("0e999999999999999999999999", 0),
        ("0.000e-5", 0),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
        ("9223372036854775807.00", i64::MAX),
        ("9007199254740993", 9_007_199_254_740_993),
    ] {
        assert_eq!(integer(value), Ok(expected), "{value}");
    }
    let digits = "9".repeat(400);
    for value in ["5.5", "1e-1", "9223372036854775808", "-9223372036854775809", "1e19", "1e400", "1e-400", &digits] {
        assert_eq!(integer(value), Err(Reason::Value), "{value}");
    }
    for value in [r#""5""#, "true", "[5]", "{}"] {
        assert_eq!(integer(value), Err(Reason::Type), "{value}");
    }
}

#[test]
fn decimals_are_exact() {
    for (value, expected) in [
        ("19.90", 1_990),
        ("\"19.90\"", 1_990),
        ("\"\\u0031.5\"", 150),
        ("0.1", 10),
        ("10.500", 1_050),
        ("10.5000000000000000000000000000000000000000", 1_050),
        ("1e2", 10_000),
        ("1.5e-1", 15),
        ("-3", -300),
        ("-0.00", 0),
        ("9999999999999999.99", 999_999_999_999_999_999),
        ("-9999999999999999.99", -999_999_999_999_999_999),
        ("1234567890123456.78", 123_456_789_012_345_678),
        ("0.000000001e9", 100),
    ] {
        assert_eq!(cents(value), Ok(expected), "{value}");
    }
    let digits = "9".repeat(400);
    for value in ["0.001", "10.505", "1e-3", "10000000000000000", "9999999999999999.995", "1e400", "1e-400", &digits] {
        assert_eq!(cents(value), Err(Reason::Value), "{value}");
    }
    for string in ["", " 1", "1 ", "+1", ".5", "1.", "01", "1,50", "1_000", "R$ 1", "abc", "NaN", "0x1", "1e", "-"] {
        assert_eq!(cents(&format!("\"{string}\"")), Err(Reason::Type), "{string}");
    }
    for value in ["true", "[1]", "{}"] {
        assert_eq!(cents(value), Err(Reason::Type), "{value}");
    }
}

#[test]
fn booleans_are_true_or_false() {
    assert_eq!((boolean("true"), boolean("false")), (Ok(true), Ok(false)));
    for value in ["0", "1", r#""true""#, "[]"] {
        assert_eq!(boolean(value), Err(Reason::Type), "{value}");
    }
}

#[test]
fn times_are_strings() {
    let array = column("w", r#""2025-05-14T19:16:00\u005a""#).expect("a time");
    assert_eq!(array.as_primitive::<TimestampMicrosecondType>().value(0), 1_747_250_160_000_000);
    for value in ["1747250160", "true", "[]", "{}"] {
        assert_eq!(column("w", value).map(|_| ()), Err(Reason::Type), "{value}");
    }
    for value in ["\"\"", "\"2025-05-14\"", "\"2025-02-30T00:00:00Z\"", "\"0000-01-01T00:00:00Z\"", "\"\\n\""] {
        assert_eq!(column("w", value).map(|_| ()), Err(Reason::Time), "{value}");
    }
}

/// Texts of nothing but blanks, as messages have them.
const BLANKS: [&str; 6] = [r#""""#, r#"" ""#, r#"" \t\n""#, r#""\u0020""#, r#""\u00a0""#, "\"\u{a0}\u{3000} \""];

#[test]
fn a_text_without_content_is_as_good_as_absent() {
    let payloads = BLANKS.map(|blank| format!(r#"{{"n": "x", "t": {blank}}}"#));
    let decoded = decode(&all_kinds(), &payloads);
    assert_eq!(decoded.refused, []);
    assert_eq!(decoded.columns[1].null_count(), payloads.len());
    for blank in BLANKS {
        let needed = refusal(format!(r#"{{"n": {blank}}}"#));
        assert_eq!(needed.map(|(reason, _)| reason), Some(Reason::MissingField), "{blank}");
    }
    for kept in ["  p1  ", "null", "undefined", "0", "\u{e9}", "."] {
        assert_eq!(text(&format!("\"{kept}\"")).as_deref(), Ok(kept));
    }
    // Neighbours keep their own texts.
    let mixed = [r#"{"n": "a", "t": "1"}"#, r#"{"n": "b", "t": "\u0020"}"#, r#"{"n": "c", "t": "3"}"#];
    let decoded = decode(&all_kinds(), &mixed);
    let texts: Vec<_> = decoded.columns[1].as_string::<i32>().iter().collect();
    assert_eq!(texts, [Some("1"), None, Some("3")]);
}

#[test]
fn words_for_nothing_are_as_good_as_absent_in_the_event_id_alone() {
    let nil = "00000000-0000-0000-0000-000000000000";
    let words = ["null", "NULL", "undefined", "NaN", "None", " none ", "n\\u0075ll", "0", "-", "N/A", "#N/D", nil];
    let payloads = words.map(|word| format!(r#"{{"n": "x", "t": "{word}"}}"#));
    let identified = Topic { event_id: Some(1), ..all_kinds() };
    let decoded = decode(&identified, &payloads);
    assert_eq!((decoded.refused, decoded.columns[1].null_count()), (vec![], words.len()));
    assert_eq!(decode(&all_kinds(), &payloads).columns[1].null_count(), 0);
    // A number is an id like a text, and its zero is none.
    let numbers = decode(&identified, &[r#"{"n": "x", "t": 0}"#, r#"{"n": "x", "t": 10}"#, r#"{"n": "x", "t": 0.0}"#]);
    let texts: Vec<_> = numbers.columns[1].as_string::<i32>().iter().collect();
    assert_eq!((numbers.refused, texts), (vec![], vec![None, Some("10"), None]));
    let needed = decode(&Topic { event_id: Some(0), ..all_kinds() }, &[r#"{"n": "NaN"}"#]).refused;
    assert_eq!(needed[0].reason, Reason::MissingField);
    // Neighbours keep their own ids.
    let mixed = [r#"{"n": "a", "t": "1"}"#, r#"{"n": "b", "t": "null"}"#, r#"{"n": "c", "t": "nullify"}"#];
    let decoded = decode(&identified, &mixed);
    let texts: Vec<_> = decoded.columns[1].as_string::<i32>().iter().collect();
    assert_eq!(texts, [Some("1"), None, Some("nullify")]);
}

#[test]
fn a_zero_character_is_refused_in_what_is_kept() {
    for zero in [r#""\u0000""#, r#""a\u0000b""#, r#""\u00e9\u0000""#] {
        assert_eq!(text(zero), Err(Reason::Value), "{zero}");
    }
    assert_eq!(refusal(r#"{"n": "x", "other": "\u0000"}"#), None);
    let mixed = [r#"{"n": "a", "t": "1"}"#, r#"{"n": "b", "t": "2\u0000"}"#, r#"{"n": "c", "t": "3"}"#];
    let decoded = decode(&all_kinds(), &mixed);
    let texts: Vec<_> = decoded.columns[1].as_string::<i32>().iter().collect();
    assert_eq!(texts, [Some("1"), None, Some("3")]);
}

#[test]
fn texts_are_as_long_as_their_column_allows() {
    let mut topic = all_kinds();
    topic.columns[1].bytes_max = 8;
    let refused = |value: &str| {
        let payloads = [format!(r#"{{"n": "x", "t": {value}}}"#), r#"{"n": "y", "t": "next"}"#.to_owned()];
        let decoded = decode(&topic, &payloads);
        assert_eq!(decoded.columns[1].as_string::<i32>().value(1), "next");
        decoded.refused.into_iter().next().map(|refusal| (refusal.reason, refusal.detail))
    };
    for fits in [r#""12345678""#, r#""\u00e7\u00e7\u00e7\u00e7""#, "12345678", r#""çççç""#] {
        assert_eq!(refused(fits), None, "{fits}");
    }
    for longer in [r#""123456789""#, r#""\u00e7\u00e7\u00e7\u00e71""#, "123456789", r#""çççç1""#] {
        let (reason, detail) = refused(longer).expect(longer);
        assert_eq!(reason, Reason::Size, "{longer}");
        assert!(detail.ends_with("is longer than its column allows (8 bytes)"), "{detail}");
    }
    let long = "x".repeat(topic::TEXT_BYTES_MAX + 1);
    assert_eq!(text(&format!("\"{long}\"")), Err(Reason::Size), "a column without a bound has one");
}

#[test]
fn currencies_are_three_letters_in_upper_case() {
    let topic = topic_of(&[("m", ColumnKind::Currency, false)]);
    let decoded = |value: &str| {
        let decoded = decode(&topic, &[format!(r#"{{"m": {value}}}"#)]);
        let column = decoded.columns[0].as_string::<i32>();
        match decoded.refused.first() {
            Some(refusal) => Err(refusal.reason),
            None => Ok(column.is_valid(0).then(|| column.value(0).to_owned())),
        }
    };
    for written in [r#""BRL""#, r#""brl""#, r#"" BRL""#, r#""Brl\n""#, r#""\u0042RL""#, "\"\u{a0}BRL\""] {
        assert_eq!(decoded(written), Ok(Some("BRL".to_owned())), "{written}");
    }
    for blank in BLANKS {
        assert_eq!(decoded(blank), Ok(None), "{blank}");
    }
    for wrong in [r#""R$""#, r#""Real""#, r#""US1""#, r#""BR""#, r#""B L""#, r#""ÇÃ""#, r#""BRL\u0000""#, r#""€""#]
    {
        assert_eq!(decoded(wrong), Err(Reason::Value), "{wrong}");
    }
    for other in ["986", "true", "[]", "{}"] {
        assert_eq!(decoded(other), Err(Reason::Type), "{other}");
    }
}

#[test]
fn an_event_time_before_1970_is_refused_and_another_time_is_not() {
    let mut topic = all_kinds();
    topic.event_time = 4;
    let reason = |topic: &Topic, time: &str| {
        let decoded = decode(topic, &[format!(r#"{{"n": "x", "w": "{time}"}}"#)]);
        decoded.refused.first().map(|refusal| refusal.reason)
    };
    assert_eq!(reason(&topic, "1970-01-01T00:00:00Z"), None);
    for before in
        ["1969-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "1677-09-21T00:12:43Z", "1899-12-30T00:00:00Z"]
    {
        assert_eq!(reason(&topic, before), Some(Reason::Time), "{before}");
        assert_eq!(reason(&all_kinds(), before), None, "{before}");
    }
}

#[test]
fn a_plain_text_takes_no_number() {
    let topic = topic_of(&[("s", ColumnKind::Text, true)]);
    let decoded = decode(&topic, &[r#"{"s": 1}"#, r#"{"s": "1"}"#]);
    assert_eq!(
        decoded.refused.iter().map(|refusal| (refusal.row, refusal.reason)).collect::<Vec<_>>(),
        [(0, Reason::Type)]
    );
}
