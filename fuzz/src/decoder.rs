//! Messages: each becomes a row, a refusal or nothing, and always the same, whatever comes before
//! and after it.
//!
//! An input holds one message a line; an empty line is a message without a payload.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arrow::array::Array;
use serde_json::Value;
use serde_json::value::RawValue;
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_engine::rules::RowRules;
use vitral_engine::{EngineConfig, engine_session};
use vitral_messages::decode::{Decoded, Decoder, NESTING_MAX, Refusal};
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Reason;

use crate::world::{CATALOG, NOW_MS};

/// Every kind of column, with narrow bounds.
const NARROW: &str = "CREATE TABLE narrow (
    w TIMESTAMP NOT NULL, k TEXT_OR_NUMBER(8), t VARCHAR(4) NOT NULL, i BIGINT CHECK (i * 1000 > -5000), d DECIMAL(5, 2) DEFAULT 1,
    n DECIMAL(38, 10), c CURRENCY DEFAULT 'EUR', b BOOLEAN, u TIMESTAMP
) WITH (connector = 'kafka', event_time = 'w', event_id = 'k');";
/// Envelopes. Of a row that is deleted only its key is known.
const FOLLOWED: &str = "CREATE TABLE followed (id BIGINT, t VARCHAR(4), d DECIMAL(5, 2), u TIMESTAMP, b BOOLEAN)
    WITH (connector = 'kafka', format = 'debezium', primary_key = 'id', times = 'millis');";
const NARROW_BYTES_MAX: usize = 200;

static TOPICS: LazyLock<Vec<(Topic, RowRules)>> = LazyLock::new(|| {
    let parsed = |text: &str| {
        let file = SourceFile { path: "topics.sql".to_owned(), text: text.to_owned() };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog").topics
    };
    let narrow = parsed(NARROW).into_iter().map(|topic| Topic { message_bytes_max: NARROW_BYTES_MAX, ..topic });
    let session = engine_session(EngineConfig::default()).expect("a session");
    let with_rules = |topic: Topic| {
        let rules = RowRules::new(&topic, &session).expect("rules");
        (topic, rules)
    };
    CATALOG.topics.iter().cloned().chain(narrow).chain(parsed(FOLLOWED)).map(with_rules).collect()
});

pub fn check(data: &[u8]) {
    let payloads: Vec<Option<&[u8]>> =
        data.split(|byte| *byte == b'\n').map(|line| (!line.is_empty()).then_some(line)).collect();
    for (topic, rules) in TOPICS.iter() {
        every_message_has_its_place(topic, rules, &payloads);
    }
}

fn every_message_has_its_place(topic: &Topic, rules: &RowRules, payloads: &[Option<&[u8]>]) {
    let zone = DomainSettings::default().time_zone;
    let decoded = Decoder::new(topic, zone).decode(payloads.iter().copied());
    assert!(decoded.refused.is_sorted_by(|a, b| a.row < b.row), "refused once, in order");
    assert!(decoded.columns.iter().all(|column| column.len() == payloads.len()), "a row for each message");
    assert_eq!(decoded.columns.len(), topic.columns.len());
    let refused: BTreeMap<usize, &Refusal> = decoded.refused.iter().map(|refusal| (refusal.row, refusal)).collect();
    let mut empty = 0;
    for (row, payload) in payloads.iter().enumerate() {
        let is_null = decoded.columns.iter().all(|column| column.is_null(row));
        match (payload, refused.get(&row)) {
            (None, refusal) => {
                assert!(refusal.is_none() && is_null, "nothing comes of row {row}");
                empty += 1;
            }
            (Some(payload), Some(refusal)) => {
                assert!(is_null && !refusal.detail.is_empty(), "row {row}: {refusal:?}");
                refused_rightly(topic, payload, refusal);
            }
            (Some(payload), None) => {
                let needed = topic.columns.iter().zip(&decoded.columns).filter(|(column, _)| column.needed);
                for (column, values) in needed {
                    assert!(values.is_valid(row), "row {row} has no {}", column.name);
                }
                assert!(serde_json::from_slice::<&RawValue>(payload).is_ok(), "row {row} is not JSON");
            }
        }
    }
    neighbours_do_not_matter(topic, payloads, &decoded);

    let (values, forbidden) = rules.apply(decoded.columns, NOW_MS).expect("rules refuse rows, and do not fail");
    let counted = values.num_rows() - values.column(topic.event_time).null_count();
    assert!(forbidden.keys().all(|row| !refused.contains_key(row)), "refused once");
    assert_eq!(counted + refused.len() + forbidden.len() + empty, payloads.len(), "every message is somewhere");
}

/// As another reader of JSON sees it.
fn refused_rightly(topic: &Topic, payload: &[u8], refusal: &Refusal) {
    match refusal.reason {
        Reason::Json => {
            let value = serde_json::from_slice::<Value>(payload);
            let is_event = value.is_ok_and(|value| value.is_object() && depth(&value) <= NESTING_MAX);
            assert!(!is_event, "an object is refused as JSON: {refusal:?}");
        }
        Reason::Size if payload.len() > topic.message_bytes_max => {}
        _ => assert!(serde_json::from_slice::<&RawValue>(payload).is_ok(), "not JSON: {refusal:?}"),
    }
}

fn depth(value: &Value) -> u32 {
    let inner = match value {
        Value::Array(values) => values.iter().map(depth).max(),
        Value::Object(fields) => fields.values().map(depth).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or_default()
}

/// One decoder that has learned from all before it, and each message alone.
fn neighbours_do_not_matter(topic: &Topic, payloads: &[Option<&[u8]>], whole: &Decoded) {
    let mut decoder = Decoder::new(topic, DomainSettings::default().time_zone);
    let mut refused = whole.refused.iter();
    for (row, payload) in payloads.iter().enumerate() {
        let alone = decoder.decode([*payload]);
        for (part, column) in alone.columns.iter().zip(&whole.columns) {
            assert_eq!(part.as_ref(), column.slice(row, 1).as_ref(), "row {row} alone");
        }
        for refusal in alone.refused {
            assert_eq!(Some(&Refusal { row, ..refusal }), refused.next(), "row {row} alone");
        }
    }
    assert_eq!(refused.next(), None);
}
