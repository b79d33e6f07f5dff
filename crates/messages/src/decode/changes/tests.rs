//! Envelopes as Debezium's documentation shows them for PostgreSQL, and what comes in their place.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use chrono_tz::America::Sao_Paulo;
use vitral_schemas::changes::{ChangeOrder, Changes, Debezium, NumericTime};
use vitral_schemas::topic::{Column, ColumnKind, Topic};
use vitral_schemas::verdict::Reason;

use super::super::{Decoded, Decoder};

const SOURCE: &str = r#""source":{"version":"3.0.8.Final","connector":"postgresql","name":"loja","ts_ms":1559033904863,"snapshot":"false","db":"loja",
    "sequence":"[\"24023119\",\"24023128\"]","schema":"public","table":"clientes","txId":555,"lsn":24023128,"xmin":null}"#;

fn topic(times: Option<NumericTime>) -> Topic {
    let mut columns = vec![
        Column { needed: true, ..Column::new("id", ColumnKind::Integer) },
        Column { needed: true, ..Column::new("nome", ColumnKind::Text) },
        Column::new("saldo", ColumnKind::Decimal { precision: 18, scale: 2 }),
        Column::new("criado", ColumnKind::Timestamp),
    ];
    let debezium = Debezium::add_columns(&mut columns, times);
    let order = ChangeOrder::Column(debezium.position);
    Topic {
        columns,
        event_time: debezium.instant,
        changes: Some(Changes { key: vec![0], order, debezium: Some(debezium) }),
        ..super::super::tests::topic(&[])
    }
}

/// The same with rows for envelopes.
fn plain() -> Topic {
    Topic {
        columns: vec![
            Column { needed: true, ..Column::new("id", ColumnKind::Text) },
            Column { needed: true, ..Column::new("quando", ColumnKind::Timestamp) },
        ],
        event_time: 1,
        changes: Some(Changes { key: vec![0], order: ChangeOrder::Offset, debezium: None }),
        ..super::super::tests::topic(&[])
    }
}

fn decode(topic: &Topic, messages: &[(Option<&str>, Option<&str>)]) -> Decoded {
    let payloads = messages.iter().map(|(_, payload)| payload.map(str::as_bytes));
    let key = |row: usize| messages[row].0.map(str::as_bytes);
    Decoder::new(topic, Sao_Paulo).decode_changes(payloads, key)
}

fn refusal(topic: &Topic, key: Option<&str>, payload: Option<&str>) -> (Reason, String) {
    let decoded = decode(topic, &[(key, payload)]);
    assert!(decoded.columns.iter().all(|column| column.is_null(0)), "a refused row has no column");
    let refused = decoded.refused.into_iter().next();
    refused.map(|refusal| (refusal.reason, refusal.detail)).expect("refused")
}

fn text(column: &ArrayRef, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.as_string::<i32>().value(row))
}

fn integer(column: &ArrayRef, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.as_primitive::<Int64Type>().value(row))
}

#[test]
fn envelopes_without_a_schema() {
    let create = format!(
        r#"{{"before":null,"after":{{"id":1,"nome":"Anne","saldo":"12.50","criado":1559033904863123}},{SOURCE},"op":"c","ts_ms":1559033904900}}"#
    );
    let update = format!(
        r#"{{"op":"u","ts_ms":1,{SOURCE},"after":{{"id":1,"nome":"Anne Marie","saldo":null,"criado":"2019-05-28T08:58:24.5Z"}},"before":{{"id":1,"nome":"Anne"}}}}"#
    );
    let read = create.replace("\"op\":\"c\"", "\"op\":\"r\"").replace("24023128", "9");
    let delete =
        format!(r#"{{"before":{{"id":1,"nome":null,"saldo":null,"criado":null}},"after":null,{SOURCE},"op":"d"}}"#);
    let messages = [create, update, read, delete];
    let messages: Vec<_> = messages.iter().map(|message| (None, Some(message.as_str()))).collect();
    let decoded = decode(&topic(Some(NumericTime::Micros)), &messages);
    assert_eq!(decoded.refused, []);
    let [id, name, balance, created, instant, position, deleted] = decoded.columns.as_slice() else { panic!("seven") };
    assert_eq!([0, 1, 2, 3].map(|row| integer(id, row)), [Some(1); 4]);
    assert_eq!([0, 1, 2, 3].map(|row| text(name, row)), [Some("Anne"), Some("Anne Marie"), Some("Anne"), None]);
    let balances: Vec<_> = balance.as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(balances, [Some(1250), None, Some(1250), None]);
    let times: Vec<_> = created.as_primitive::<TimestampMicrosecondType>().iter().collect();
    assert_eq!(times, [Some(1_559_033_904_863_123), Some(1_559_033_904_500_000), times[0], None]);
    let instants: Vec<_> = instant.as_primitive::<TimestampMicrosecondType>().iter().flatten().collect();
    assert_eq!(instants, [1_559_033_904_863_000; 4]);
    assert_eq!(
        [0, 1, 2, 3].map(|row| integer(position, row)),
        [Some(24_023_128), Some(24_023_128), Some(9), Some(24_023_128)]
    );
    let deleted: Vec<_> = deleted.as_boolean().iter().map(Option::unwrap_or_default).collect();
    assert_eq!(deleted, [false, false, false, true]);
}

#[test]
fn a_schema_says_units_and_scales() {
    let fields = r#"[{"type":"int32","optional":false,"field":"id"},{"type":"string","optional":false,"field":"nome"},
        {"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"18"},"field":"saldo"},
        {"type":"int64","optional":true,"name":"UNIT","version":1,"field":"criado"}]"#;
    let message = |unit: &str, time: &str, balance: &str| {
        let fields = fields.replace("UNIT", unit);
        format!(
            r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","fields":{fields},"optional":true,"name":"loja.public.clientes.Value","field":"before"}},
            {{"type":"struct","fields":{fields},"optional":true,"name":"loja.public.clientes.Value","field":"after"}}],"optional":false,"name":"loja.public.clientes.Envelope"}},
            "payload":{{"before":null,"after":{{"id":7,"nome":"Bia","saldo":{balance},"criado":{time}}},{SOURCE},"op":"c","ts_ms":1559033904900}}}}"#
        )
    };
    let messages = [
        message("io.debezium.time.Timestamp", "1559033904863", "\"BOI=\""),
        message("io.debezium.time.MicroTimestamp", "1559033904863000", "\"BOI=\""),
        message("io.debezium.time.NanoTimestamp", "1559033904863000999", "\"/w==\""),
        message("io.debezium.time.Date", "18044", "null"),
        message("io.debezium.time.MicroTimestamp", "1559033904863000", r#"{"scale":3,"value":"MDk="}"#),
    ];
    let messages: Vec<_> = messages.iter().map(|message| (None, Some(message.as_str()))).collect();
    // What the topic says of numbers counts only where no schema says it.
    let decoded = decode(&topic(Some(NumericTime::Nanos)), &messages);
    let refused: Vec<_> = decoded.refused.iter().map(|refusal| (refusal.row, refusal.reason)).collect();
    assert_eq!(refused, [(4, Reason::Value)], "12.345 has more decimals than the column: {:?}", decoded.refused);
    let balances: Vec<_> = decoded.columns[2].as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(balances, [Some(1250), Some(1250), Some(-1), None, None]);
    let times: Vec<_> = decoded.columns[3].as_primitive::<TimestampMicrosecondType>().iter().collect();
    let (time, day) = (Some(1_559_033_904_863_000), Some(18_044 * 86_400_000_000));
    assert_eq!(times, [time, time, time, day, None]);
}

#[test]
fn a_date_as_text_is_its_midnight() {
    let messages = ["2024-01-01Z", "2024-01-01", "2024-01-01T00:00:00Z", "2024-02-30Z", "2024-01-01Y"].map(|date| {
        format!(r#"{{"before":null,"after":{{"id":1,"nome":"Anne","criado":"{date}"}},{SOURCE},"op":"c"}}"#)
    });
    let messages: Vec<_> = messages.iter().map(|message| (None, Some(message.as_str()))).collect();
    let decoded = decode(&topic(None), &messages);
    let refused: Vec<_> = decoded.refused.iter().map(|refusal| (refusal.row, refusal.reason)).collect();
    assert_eq!(refused, [(3, Reason::Time), (4, Reason::Time)], "{:?}", decoded.refused);
    let times: Vec<_> = decoded.columns[3].as_primitive::<TimestampMicrosecondType>().iter().take(3).collect();
    assert_eq!(times, [Some(1_704_067_200_000_000); 3]);
}

#[test]
fn a_time_without_an_offset_is_utc() {
    let messages = ["2024-01-01T10:00:00", "2024-01-01T10:00:00Z", "2024-01-01T07:00:00-03:00"].map(|time| {
        format!(r#"{{"before":null,"after":{{"id":1,"nome":"Anne","criado":"{time}"}},{SOURCE},"op":"c"}}"#)
    });
    let messages: Vec<_> = messages.iter().map(|message| (None, Some(message.as_str()))).collect();
    let decoded = decode(&topic(None), &messages);
    let times: Vec<_> = decoded.columns[3].as_primitive::<TimestampMicrosecondType>().iter().collect();
    assert_eq!(times, [Some(1_704_103_200_000_000); 3], "{:?}", decoded.refused);
    // Rows without envelopes have times of the domain's zone, as any other topic.
    let decoded = decode(&plain(), &[(Some("a"), Some(r#"{"id":"a","quando":"2024-01-01T07:00:00"}"#))]);
    assert_eq!(decoded.columns[1].as_primitive::<TimestampMicrosecondType>().value(0), 1_704_103_200_000_000);
}

#[test]
fn what_says_nothing_of_one_row_is_refused_with_its_reason() {
    let refused = |payload: &str| refusal(&topic(None), Some(r#"{"id":1}"#), Some(payload));
    let after = r#""after":{"id":1,"nome":"Anne"}"#;
    for (payload, reason, words) in [
        (format!(r#"{{"before":null,"after":null,{SOURCE},"op":"t"}}"#), Reason::Value, "empties a whole table"),
        (format!(r#"{{{after},{SOURCE},"op":"m"}}"#), Reason::Value, "none of c, u, r and d"),
        (format!(r#"{{{after},{SOURCE}}}"#), Reason::MissingField, "not an envelope"),
        (r#"{"id":1,"nome":"Anne"}"#.to_owned(), Reason::MissingField, "not an envelope"),
        (format!(r#"{{"after":null,{SOURCE},"op":"c"}}"#), Reason::MissingField, "after"),
        (format!(r#"{{{after},"op":"c"}}"#), Reason::MissingField, "source"),
        (format!(r#"{{{after},"source":{{}},"op":"c"}}"#), Reason::MissingField, "ts_ms"),
        (format!(r#"{{"after":{{"id":null,"nome":"Anne"}},{SOURCE},"op":"c"}}"#), Reason::MissingField, "id"),
        (format!(r#"{{"after":{{"id":1,"nome":"a","criado":5}},{SOURCE},"op":"c"}}"#), Reason::Type, "times ="),
        (
            format!(r#"{{"after":{{"id":1,"nome":"__debezium_unavailable_value"}},{SOURCE},"op":"u"}}"#),
            Reason::Value,
            "REPLICA IDENTITY FULL",
        ),
        ("[1]".to_owned(), Reason::Json, "object"),
    ] {
        let (found, detail) = refused(&payload);
        assert!(found == reason && detail.contains(words), "{payload}: {found:?} {detail}");
    }
}

#[test]
fn a_row_is_deleted_by_its_key() {
    let delete = format!(r#"{{"before":null,"after":null,{SOURCE},"op":"d"}}"#);
    let with_schema = r#"{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],"optional":false,"name":"loja.Key"},"payload":{"id":4}}"#;
    let messages = [
        (Some(r#"{"id":1}"#), Some(delete.as_str())),
        (Some(r#"{"id": 2}"#), None),
        (Some("3"), None),
        (Some(with_schema), None),
    ];
    let decoded = decode(&topic(None), &messages);
    assert_eq!(decoded.refused, []);
    let ids: Vec<_> = (0..4).map(|row| integer(&decoded.columns[0], row)).collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3), Some(4)]);
    // The envelope counts and deletes; of the others nothing but the key is known.
    assert!(decoded.columns[6].as_boolean().value(0) && decoded.columns[6].null_count() == 3);
    assert_eq!(decoded.columns[4].null_count(), 3);
    for key in [None, Some(""), Some("x"), Some(r#"{"other":1}"#), Some("{")] {
        let (_, detail) = refusal(&topic(None), key, None);
        assert!(detail.contains("key") || detail.contains("byte"), "{key:?}: {detail}");
    }
}

#[test]
fn keys_are_read_as_values_are() {
    let mut columns = vec![
        Column { needed: true, ..Column::new("conta", ColumnKind::Decimal { precision: 18, scale: 2 }) },
        Column { needed: true, ..Column::new("desde", ColumnKind::Timestamp) },
        Column::new("nome", ColumnKind::Text),
    ];
    let debezium = Debezium::add_columns(&mut columns, Some(NumericTime::Micros));
    let order = ChangeOrder::Column(debezium.position);
    let topic = Topic {
        columns,
        event_time: debezium.instant,
        changes: Some(Changes { key: vec![0, 1], order, debezium: Some(debezium) }),
        ..super::super::tests::topic(&[])
    };
    let with_schema = r#"{"schema":{"type":"struct","fields":[
        {"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"18"},"field":"conta"},
        {"type":"int64","optional":false,"name":"io.debezium.time.Timestamp","version":1,"field":"desde"}],"optional":false,"name":"loja.public.contas.Key"},
        "payload":{"conta":"BOI=","desde":1559033904863}}"#;
    let without = r#"{"conta":{"scale":1,"value":"fQ=="},"desde":1559033904863000}"#;
    let as_texts = r#"{"conta":"12.50","desde":"2019-05-28T08:58:24.863Z"}"#;
    let delete = format!(r#"{{"before":null,"after":null,{SOURCE},"op":"d"}}"#);
    let messages = [
        (Some(with_schema), None),
        (Some(without), None),
        (Some(as_texts), None),
        (Some(with_schema), Some(delete.as_str())),
    ];
    let decoded = decode(&topic, &messages);
    assert_eq!(decoded.refused, []);
    let accounts: Vec<_> = decoded.columns[0].as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(accounts, [Some(1250); 4]);
    let times: Vec<_> = decoded.columns[1].as_primitive::<TimestampMicrosecondType>().iter().collect();
    assert_eq!(times, [Some(1_559_033_904_863_000); 4]);
}

#[test]
fn rows_themselves_have_tombstones_too() {
    let messages = [
        (Some("a"), Some(r#"{"id":"a","quando":"2025-05-14T12:00:00Z"}"#)),
        (Some("a"), None),
        (Some("\"b\""), None),
        (Some(r#"{"id":"c"}"#), None),
    ];
    let decoded = decode(&plain(), &messages);
    assert_eq!(decoded.refused, []);
    let ids: Vec<_> = (0..4).map(|row| text(&decoded.columns[0], row)).collect();
    assert_eq!(ids, [Some("a"), Some("a"), Some("b"), Some("c")]);
    assert_eq!(decoded.columns[1].null_count(), 3);
    // Without the keys, as when rows are fed again, a message without a value is of no row.
    let decoded = Decoder::new(&plain(), Sao_Paulo).decode([None]);
    assert!(decoded.refused.is_empty() && decoded.columns[0].is_null(0));
}
