//! The decoder against serde_json, and against itself, on documents nobody thought of.

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::concat;
use chrono_tz::America::Sao_Paulo;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Number, Value};
use vitral_schemas::topic::ColumnKind;

use super::tests::{all_kinds, decode, topic};
use super::*;

/// Whether serde_json takes it for one object; none where a number beyond its floats hides that.
fn is_object(payload: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<Value>(payload) {
        Ok(value) => Some(value.is_object()),
        Err(error) if error.to_string().contains("number out of range") => None,
        Err(_) => Some(false),
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| Number::from_f64(number).map_or(Value::Null, Value::from)),
        ".{0,20}".prop_map(Value::from),
        "[a-zçã\"\\\\/\n\t ]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        let entry = (key(), inner.clone());
        prop_oneof![
            vec(inner, 0..6).prop_map(Value::from),
            vec(entry, 0..6).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ntidwbx]".prop_map(String::from), 1 => ".{0,12}".prop_map(String::from)]
}

fn object() -> impl Strategy<Value = Value> {
    vec((key(), value()), 0..8).prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>()))
}

fn document() -> impl Strategy<Value = Vec<u8>> {
    (object(), any::<bool>()).prop_map(|(value, pretty)| {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
        text.expect("a value has a text")
    })
}

/// What breaks or bends a document: where, how many bytes go, and what comes in their place.
fn mutations() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, Vec<u8>)>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "", "\"", "\\", "{", "}", "[", "]", ",", ":", " ", "\n", "0", "1", "-", "+", ".", "e", "E", "null", "true",
            "false", "\\u", "\\ud83d", "\\udE00", "\\u0041", "\\n", "/", "\0", "\u{7f}", "ç", "\u{2028}", "\u{feff}",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..3),
    ];
    vec((any::<prop::sample::Index>(), 0..3_usize, piece), 1..4)
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    (document(), mutations()).prop_map(|(mut document, mutations)| {
        for (at, removed, piece) in mutations {
            let at = at.index(document.len() + 1);
            let end = (at + removed).min(document.len());
            document.splice(at..end, piece);
        }
        document
    })
}

/// Nearly JSON: its tokens in any order.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let tokens = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"n\"",
        "\"a\":",
        ",\"b\":",
        "1",
        "0",
        "-0",
        "-",
        ".5",
        "1.5",
        "e9",
        "E+1",
        "null",
        "true",
        "false",
        "\"",
        "\\",
        "\"\\u00e9\"",
        " ",
        "\n",
        "[]",
        "{}",
        "[1]",
        "{\"a\":1}",
    ]);
    (vec(tokens, 0..12), 0..3).prop_map(|(tokens, wrapped)| {
        let soup = tokens.concat();
        match wrapped {
            0 => soup,
            1 => format!("{{{soup}}}"),
            _ => format!("{{\"a\":{soup}}}"),
        }
        .into_bytes()
    })
}

/// A topic whose columns nothing can be wrong with, so that only JSON counts: it has none.
fn assert_same_verdict(payloads: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let decoded = decode(&topic(&[]), payloads);
    for (row, payload) in payloads.iter().enumerate() {
        let refused = decoded.refused.iter().find(|refusal| refusal.row == row);
        if let Some(expected) = is_object(payload) {
            prop_assert_eq!(refused.is_none(), expected, "{:?} {}", refused, String::from_utf8_lossy(payload));
        }
        prop_assert!(refused.is_none_or(|refusal| refusal.reason == Reason::Json));
    }
    Ok(())
}

proptest! {
    #[test]
    fn valid_documents_are_accepted(payloads in vec(document(), 1..4)) {
        assert_same_verdict(&payloads)?;
        prop_assert_eq!(decode(&topic(&[]), &payloads).refused, []);
    }

    #[test]
    fn mutated_documents_fare_as_with_serde_json(payloads in vec(mutated(), 1..4)) {
        assert_same_verdict(&payloads)?;
    }

    #[test]
    fn token_soups_fare_as_with_serde_json(payloads in vec(soup(), 1..8)) {
        assert_same_verdict(&payloads)?;
    }

    #[test]
    fn bytes_fare_as_with_serde_json(payload in vec(any::<u8>(), 0..40)) {
        assert_same_verdict(&[payload])?;
    }

    #[test]
    fn strings_are_those_of_serde_json(payloads in vec(prop_oneof![document(), mutated()], 1..6)) {
        let columns = ["n", "t", "x"].map(|name| (name, ColumnKind::TextOrNumber, false));
        let decoded = decode(&topic(&columns), &payloads);
        for (row, payload) in payloads.iter().enumerate() {
            let fields = match serde_json::from_slice::<Value>(payload) {
                Ok(Value::Object(fields)) => fields,
                _ => continue,
            };
            let odd = |name: &str| matches!(fields.get(name), Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)));
            let refused = decoded.refused.iter().find(|refusal| refusal.row == row);
            let zero = |name: &str| fields.get(name).and_then(Value::as_str).is_some_and(|text| text.contains('\0'));
            prop_assert_eq!(refused.is_some(), columns.iter().any(|(name, _, _)| odd(name) || zero(name)));
            if refused.is_some() {
                continue;
            }
            for ((name, _, _), column) in columns.iter().zip(&decoded.columns) {
                let found = column.is_valid(row).then(|| column.as_string::<i32>().value(row));
                match fields.get(*name) {
                    Some(Value::String(expected)) if expected.trim().is_empty() => prop_assert_eq!(found, None),
                    Some(Value::String(expected)) => prop_assert_eq!(found, Some(expected.as_str())),
                    Some(Value::Number(_)) => prop_assert!(found.is_some()),
                    _ => prop_assert_eq!(found, None),
                }
            }
        }
    }

    #[test]
    fn any_escaping_gives_the_same_string(text in ".{0,24}", escaped in vec(0..3_u8, 24)) {
        let mut written = String::new();
        for (character, how) in text.chars().zip(escaped) {
            let mut units = [0; 2];
            match how {
                _ if character == '"' => written += "\\\"",
                0 => written += &serde_json::to_string(&character).expect("a text").replace('"', ""),
                1 => character.encode_utf16(&mut units).iter().for_each(|unit| written += &format!("\\u{unit:04x}")),
                _ => character.encode_utf16(&mut units).iter().for_each(|unit| written += &format!("\\u{unit:04X}")),
            }
        }
        let payload = format!("{{\"\\u006e\":\"{written}\"}}");
        let decoded = decode(&topic(&[("n", ColumnKind::TextOrNumber, true)]), &[payload]);
        let refused = decoded.refused.first().map(|refusal| refusal.reason);
        if text.contains('\0') {
            prop_assert_eq!(refused, Some(Reason::Value));
        } else if text.trim().is_empty() {
            prop_assert_eq!(refused, Some(Reason::MissingField));
        } else {
            prop_assert_eq!(refused, None);
            prop_assert_eq!(decoded.columns[0].as_string::<i32>().value(0), text);
        }
    }

    #[test]
    fn any_split_of_a_batch_gives_the_same(
        payloads in vec(prop::option::weighted(0.9, prop_oneof![event(), document(), mutated()]), 0..30),
        cuts in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let topic = all_kinds();
        let rows = |from: usize, to: usize| payloads[from..to].iter().map(|payload| payload.as_deref());
        let whole = Decoder::new(&topic, Sao_Paulo).decode(rows(0, payloads.len()));
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(payloads.len() + 1)).chain([0, payloads.len()]).collect();
        cuts.sort_unstable();
        // One decoder, which has learned from the rows before, and a new one for each part.
        let mut decoder = Decoder::new(&topic, Sao_Paulo);
        let mut parts: Vec<Decoded> = Vec::new();
        let mut refused = Vec::new();
        for cut in cuts.windows(2) {
            let part = decoder.decode(rows(cut[0], cut[1]));
            let fresh = Decoder::new(&topic, Sao_Paulo).decode(rows(cut[0], cut[1]));
            prop_assert_eq!(&part.columns, &fresh.columns);
            prop_assert_eq!(&part.refused, &fresh.refused);
            refused.extend(part.refused.iter().cloned().map(|refusal| Refusal { row: refusal.row + cut[0], ..refusal }));
            parts.push(part);
        }
        prop_assert_eq!(refused, whole.refused);
        for (index, column) in whole.columns.iter().enumerate() {
            let arrays: Vec<_> = parts.iter().map(|part| part.columns[index].as_ref()).collect();
            let joined: ArrayRef = concat(&arrays).expect("arrays of one type");
            prop_assert_eq!(&joined, column);
        }
    }
}

/// An event of [`all_kinds`], mostly right, with fields in any order.
fn event() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        4 => "\"n\": ?\"[a-zã]{0,9}\"",
        1 => "\"t\":\"[a-z]{0,30}\"",
        1 => "\"i\": (0|[1-9][0-9]{0,20})",
        1 => "\"d\":\"?[1-9][0-9]{0,3}(\\.[0-9]{1,3})?\"?",
        1 => "\"w\":\"20[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,9})?Z?\"",
        1 => "\"b\":(true|false|null)",
        1 => "\"[a-z]{1,3}\" ?: ?(1|null|\\[\\]|\\{\\})",
    ];
    vec(field, 0..7).prop_map(|fields| format!("{{{}}}", fields.join(", ")).into_bytes())
}
