//! What is JSON and what is not, wherever in a message it stands.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;

use super::super::*;
use super::values::text;
use super::{all_kinds, decode, refusal};

fn assert_json_refused(payload: impl AsRef<[u8]>) {
    let payload = payload.as_ref();
    let shown = String::from_utf8_lossy(&payload[..payload.len().min(60)]).into_owned();
    assert_eq!(refusal(payload).map(|(reason, _)| reason), Some(Reason::Json), "{shown}");
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
    // Many siblings are not depth.
    let flat = format!(r#"{{"n": "x", "other": [{}[]]}}"#, "[],{},".repeat(1_000));
    assert_eq!(refusal(flat), None);
}

#[test]
fn the_last_of_equal_keys_counts() {
    let accepted = r#"{"n": 1, "n": [true], "\u006e": "last", "i": "x", "i": 7, "t": "first", "t": null}"#;
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
fn unknown_fields_may_hold_anything() {
    let digits = "9".repeat(400);
    for value in ["1e400", "-1.5E-400", &digits, "[[], {}, null, [1, \"ç\\u00e7\", {\"\": [true]}]]", "{}", "null"] {
        assert_eq!(refusal(format!(r#"{{"other": {value}, "n": "x"}}"#)), None, "{value}");
    }
}
