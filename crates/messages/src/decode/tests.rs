//! The decoder by example: rows, refusals and their order; the subjects below try every edge.

mod json;
mod values;

use arrow::array::{Array, AsArray};
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
        changes: None,
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
fn reasons_have_an_order() {
    let reason = |payload: &str| refusal(payload).map(|(reason, _)| reason);
    // Not JSON at the end beats all that is wrong before; then the topic's order decides, not the
    // message's.
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
