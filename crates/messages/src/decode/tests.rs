//! Every reason and every edge of the decoder, by example.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use chrono_tz::America::Sao_Paulo;
use vitral_schemas::topic::{self, ColumnKind};

use super::*;

const MONEY: ColumnKind = ColumnKind::Decimal { precision: 18, scale: 2 };

pub(super) fn topic(columns: &[(&str, ColumnKind, bool)]) -> Topic {
    let column = |&(name, kind, needed): &(&str, _, _)| topic::Column { needed, ..topic::Column::new(name, kind) };
    Topic {
        name: "eventos".to_owned(),
        kafka_topic: "eventos".to_owned(),
        columns: columns.iter().map(column).collect(),
        event_time: 0,
        event_id: None,
        watermark_ms: 0,
        lateness_ms: 0,
        ahead_ms: 0,
        idle_ms: 0,
        message_bytes_max: 1 << 20,
        keep_raw: false,
    }
}

/// One column of each kind, `n` needed.
pub(super) fn all_kinds() -> Topic {
    topic(&[
        ("n", ColumnKind::TextOrNumber, true),
        ("t", ColumnKind::TextOrNumber, false),
        ("i", ColumnKind::Integer, false),
        ("d", MONEY, false),
        ("w", ColumnKind::Timestamp, false),
        ("b", ColumnKind::Boolean, false),
    ])
}

pub(super) fn decode<P: AsRef<[u8]>>(topic: &Topic, payloads: &[P]) -> Decoded {
    let decoded = Decoder::new(topic, Sao_Paulo).decode(payloads.iter().map(|payload| Some(payload.as_ref())));
    assert_eq!(decoded.columns.len(), topic.columns.len());
    for (column, field) in decoded.columns.iter().zip(topic.schema().fields()) {
        assert_eq!((column.data_type(), column.len()), (field.data_type(), payloads.len()));
        assert!(decoded.refused.iter().all(|refusal| column.is_null(refusal.row)));
    }
    decoded
}

fn refusal(payload: impl AsRef<[u8]>) -> Option<(Reason, String)> {
    let refused = decode(&all_kinds(), &[payload.as_ref()]).refused;
    refused.into_iter().next().map(|refusal| (refusal.reason, refusal.detail))
}

/// The array of the column `name` (of [`all_kinds`]) after a message with this JSON text as its value.
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

fn text(value: &str) -> Result<String, Reason> {
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

fn assert_json_refused(payload: impl AsRef<[u8]>) {
    let payload = payload.as_ref();
    let shown = String::from_utf8_lossy(&payload[..payload.len().min(60)]).into_owned();
    assert_eq!(refusal(payload).map(|(reason, _)| reason), Some(Reason::Json), "{shown}");
}

#[test]
fn an_event_becomes_a_row() {
    let payload = "\r\n\t {\"n\" : \"u1\",\"t\":\"é \\u00e9 \\ud83d\\ude00\\n\", \"extra\": [1, {\"n\": []}], \
                   \"i\":-5,\"d\":\"12.5\" , \"w\":\"2025-05-14T19:16:00\", \"b\" :true } \n";
    let decoded = decode(&all_kinds(), &[payload]);
    assert_eq!(decoded.refused, []);
    assert_eq!(decoded.columns[0].as_string::<i32>().value(0), "u1");
    assert_eq!(decoded.columns[1].as_string::<i32>().value(0), "é é \u{1F600}\n");
    assert_eq!(decoded.columns[2].as_primitive::<Int64Type>().value(0), -5);
    assert_eq!(decoded.columns[3].as_primitive::<Decimal128Type>().value(0), 1_250);
    // São Paulo is three hours behind UTC.
    assert_eq!(decoded.columns[4].as_primitive::<TimestampMicrosecondType>().value(0), 1_747_260_960_000_000);
    assert!(decoded.columns[5].as_boolean().value(0));
}

#[test]
fn bad_messages_leave_their_neighbours_alone() {
    let payloads: [Option<&[u8]>; 7] = [
        Some(br#"{"n": "a", "t": "first", "i": 1}"#),
        // Fails in a late column: what the earlier ones got is taken back.
        Some(br#"{"n": "lost", "t": "lost", "i": 2, "d": "x"}"#),
        None,
        Some(br#"{"n": "b", "t": "second", "b": false}"#),
        Some(b"garbage"),
        Some(b""),
        Some(br#"{"n": "c", "i": 3}"#),
    ];
    let decoded = Decoder::new(&all_kinds(), Sao_Paulo).decode(payloads);
    let refused: Vec<_> = decoded.refused.iter().map(|refusal| (refusal.row, refusal.reason)).collect();
    assert_eq!(refused, [(1, Reason::Type), (4, Reason::Json), (5, Reason::Json)]);
    let names: Vec<_> = decoded.columns[0].as_string::<i32>().iter().collect();
    assert_eq!(names, [Some("a"), None, None, Some("b"), None, None, Some("c")]);
    let texts: Vec<_> = decoded.columns[1].as_string::<i32>().iter().collect();
    assert_eq!(texts, [Some("first"), None, None, Some("second"), None, None, None]);
    let integers: Vec<_> = decoded.columns[2].as_primitive::<Int64Type>().iter().collect();
    assert_eq!(integers, [Some(1), None, None, None, None, None, Some(3)]);
    let booleans: Vec<_> = decoded.columns[5].as_boolean().iter().collect();
    assert_eq!(booleans, [None, None, None, Some(false), None, None, None]);
}

#[test]
fn a_decoder_starts_each_batch_empty() {
    let topic = all_kinds();
    let mut decoder = Decoder::new(&topic, Sao_Paulo);
    for name in ["a", "b"] {
        let payload = format!(r#"{{"n": "{name}"}}"#);
        let decoded = decoder.decode([Some(payload.as_bytes())]);
        assert_eq!(decoded.columns[0].as_string::<i32>().iter().collect::<Vec<_>>(), [Some(name)]);
    }
    assert!(decoder.decode([]).columns.iter().all(|column| column.is_empty()));
}

#[test]
fn json_is_checked_everywhere() {
    for payload in [
        "",
        " ",
        "null",
        "[]",
        "\"a\"",
        "1",
        "{",
        "}",
        "{}}",
        "{}{}",
        "{} x",
        "{,}",
        "{\"n\"}",
        "{\"n\":}",
        "{\"n\" 1}",
        "{\"n\":1,}",
        "{,\"n\":1}",
        "{\"n\":1 \"t\":2}",
        "{\"n\":1,,\"t\":2}",
        "{n:1}",
        "{'n':1}",
        "{1:1}",
        "{\"n\":1",
        "{\"n\":\"1}",
        "{\"n\":\"1\\\"}",
        "{\"n\":tru}",
        "{\"n\":nulll}",
        "{\"n\":True}",
        "{\"n\":NaN}",
        "{\"n\":-}",
        "{\"n\":01}",
        "{\"n\":1.}",
        "{\"n\":.5}",
        "{\"n\":+1}",
        "{\"n\":1e}",
        "{\"n\":1e+}",
        "{\"n\":0x1}",
        "{\"n\":-Infinity}",
        "{\"n\":\"\\x\"}",
        "{\"n\":\"\\u12\"}",
        "{\"n\":\"\\u12g4\"}",
        "{\"n\":\"\\\"}",
        "{\"n\":\"\t\"}",
        "{\"n\":\"\n\"}",
        "{\"n\":\"\0\"}",
        "{\"n\0\":1}",
        "{\"n\":1}\0",
        "{\0}",
        "{\"n\":[1,]}",
        "{\"n\":[,1]}",
        "{\"n\":[1 2]}",
        "{\"n\":[1}",
        "{\"n\":{\"a\":1]}",
        "{\"n\":{\"a\"}}",
        "{\"n\":{\"a\":1,}}",
        "{\"n\":{1:1}}",
        "{\"x\":[\"\\q\"]}",
        "{\"x\":{\"\\q\":1}}",
        "{\"x\":[01]}",
        "{\"x\":[tru]}",
        "{\"n\":1}//",
        "\u{feff}{\"n\":1}",
        "{\u{a0}\"n\":1}",
        "{\"n\":1\u{b}}",
    ] {
        assert_json_refused(payload);
    }
}

#[test]
fn lone_surrogates_are_refused_everywhere() {
    for string in [r"\ud800", r"\udc00", r"\ud800x", r"\ud800\n", r"\ud800\u0041", r"\ud800\ud800", r"\udc00\udc00"] {
        for payload in [
            format!(r#"{{"n": "x", "t": "{string}"}}"#),
            format!(r#"{{"n": "x", "other": "{string}"}}"#),
            format!(r#"{{"n": "x", "other": [{{"a": "{string}"}}]}}"#),
            format!(r#"{{"n": "x", "{string}": 1}}"#),
        ] {
            assert_json_refused(payload);
        }
    }
    assert_eq!(text(r#""\uD83D\uDE00\u0001""#).as_deref(), Ok("\u{1F600}\u{1}"));
}

#[test]
fn invalid_utf8_is_refused_everywhere() {
    for bad in [&b"\xff"[..], b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abcdefghijkl\xe9mnopqrst"] {
        for (before, after) in [
            (r#"{"n": "x", "t": ""#, r#""}"#),
            (r#"{"n": "x", "t": "\n"#, r#""}"#),
            (r#"{"n": "x", "other": ""#, r#""}"#),
            (r#"{"n": "x", "other": {"a": [""#, r#""]}}"#),
            (r#"{"n": "x", ""#, r#"": 1}"#),
            (r#"{"n": "x", "other": {""#, r#"": 1}}"#),
            (r#"{"n": "x"}"#, ""),
            ("", r#"{"n": "x"}"#),
        ] {
            assert_json_refused([before.as_bytes(), bad, after.as_bytes()].concat());
        }
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize, open: &str, close: &str| {
        format!(r#"{{"n": "x", "other": {}1{}}}"#, open.repeat(levels), close.repeat(levels))
    };
    let within = NESTING_MAX as usize - 1;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"[{"a": "#, "}]")] {
        let levels = |count: usize| count / if open.len() > 6 { 2 } else { 1 };
        assert_eq!(refusal(nested(levels(within), open, close)), None);
        for count in [within + 2, 10_000, 150_000] {
            assert_json_refused(nested(levels(count), open, close));
            assert_json_refused(open.repeat(levels(count)));
            assert_json_refused(format!(r#"{{"n": {}"#, open.repeat(levels(count))));
        }
    }
    assert_json_refused(nested(within + 1, "[", "]"));
    // Many brothers are no depth.
    let flat = format!(r#"{{"n": "x", "other": [{}[]]}}"#, "[],{},".repeat(1_000));
    assert_eq!(refusal(flat), None);
}

#[test]
fn needed_and_optional_fields() {
    let missing = Some((Reason::MissingField, "n is missing, null or empty".to_owned()));
    assert_eq!(refusal("{}"), missing);
    assert_eq!(refusal(r#" { } "#), missing);
    assert_eq!(refusal(r#"{"n": null}"#), missing);
    assert_eq!(refusal(r#"{"N": "x"}"#), missing);
    let nulls = decode(&all_kinds(), &[r#"{"n": "x", "t": null, "i": null, "d": null, "w": null, "b": null}"#]);
    assert_eq!(nulls.refused, []);
    assert_eq!(nulls.columns[0].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x")]);
    assert!(nulls.columns[1..].iter().all(|column| column.is_null(0)));
}

#[test]
fn the_last_of_equal_keys_counts() {
    let accepted = r#"{"n": 1, "n": [true], "\u006e": "last", "i": "x", "i": 7, "t": "gone", "t": null}"#;
    let decoded = decode(&all_kinds(), &[accepted]);
    assert_eq!(decoded.refused, []);
    assert_eq!(decoded.columns[0].as_string::<i32>().value(0), "last");
    assert_eq!(decoded.columns[2].as_primitive::<Int64Type>().value(0), 7);
    assert!(decoded.columns[1].is_null(0));
    let wrong_at_last = refusal(r#"{"n": "x", "n": []}"#).map(|(reason, _)| reason);
    assert_eq!(wrong_at_last, Some(Reason::Type));
    assert_eq!(refusal(r#"{"n": "x", "n": null}"#).map(|(reason, _)| reason), Some(Reason::MissingField));
}

#[test]
fn reasons_have_an_order() {
    let reason = |payload: &str| refusal(payload).map(|(reason, _)| reason);
    // Not JSON at the end beats all that is wrong before; then the topic's order decides, not the message's.
    assert_eq!(reason(r#"{"i": "x", "w": 1, "n": [}"#), Some(Reason::Json));
    assert_eq!(reason(r#"{"w": "x", "i": 0.5}"#), Some(Reason::MissingField));
    assert_eq!(reason(r#"{"w": "x", "i": 0.5, "n": "x"}"#), Some(Reason::Value));
    let mut small = all_kinds();
    small.message_bytes_max = 10;
    let decoded = decode(&small, &["not JSON at all", r#"{"n": "x"}"#]);
    assert_eq!(decoded.refused.len(), 1);
    assert_eq!((decoded.refused[0].row, decoded.refused[0].reason), (0, Reason::Size));
    assert_eq!(decoded.refused[0].detail, "15 bytes, the topic allows 10");
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

#[test]
fn unknown_fields_may_hold_anything() {
    let digits = "9".repeat(400);
    for value in ["1e400", "-1.5E-400", &digits, "[[], {}, null, [1, \"ç\\u00e7\", {\"\": [true]}]]", "{}", "null"] {
        assert_eq!(refusal(format!(r#"{{"other": {value}, "n": "x"}}"#)), None, "{value}");
    }
}

#[test]
fn details_are_short_and_name_the_field() {
    let detail = |payload: String| refusal(payload).map(|(_, detail)| detail).unwrap_or_default();
    assert_eq!(detail(r#"{"n": "x", "d": 12.345}"#.to_owned()), "d: 12.345 has more decimals than the column");
    assert_eq!(detail(r#"{"n": ["x"]}"#.to_owned()), r#"n: ["x"] is not a string"#);
    assert_eq!(detail(r#"{"n": "x"} ,"#.to_owned()), "byte 11: more bytes after the object");
    assert_eq!(
        detail(r#"{"n": "x", "w": "today"}"#.to_owned()),
        r#"w: "today" is not an RFC 3339 time such as 2025-05-14T19:16:00-03:00"#
    );
    let long = detail(format!(r#"{{"n": "x", "d": "{}"}}"#, "ç".repeat(100_000)));
    assert!(long.starts_with("d: \"ççç") && long.len() < 200, "{long}");
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
    let words = ["null", "NULL", "undefined", "NaN", "None", " none ", "n\\u0075ll"];
    let payloads = words.map(|word| format!(r#"{{"n": "x", "t": "{word}"}}"#));
    let identified = Topic { event_id: Some(1), ..all_kinds() };
    let decoded = decode(&identified, &payloads);
    assert_eq!((decoded.refused, decoded.columns[1].null_count()), (vec![], words.len()));
    assert_eq!(decode(&all_kinds(), &payloads).columns[1].null_count(), 0);
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
    let topic = topic(&[("m", ColumnKind::Currency, false)]);
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
    let topic = topic(&[("s", ColumnKind::Text, true)]);
    let decoded = decode(&topic, &[r#"{"s": 1}"#, r#"{"s": "1"}"#]);
    assert_eq!(
        decoded.refused.iter().map(|refusal| (refusal.row, refusal.reason)).collect::<Vec<_>>(),
        [(0, Reason::Type)]
    );
}
