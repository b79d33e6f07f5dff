//! An expression that fails refuses the rows it fails on, whatever the rows around them hold.

use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use vitral_schemas::topic::{Column, ColumnKind};

use super::*;
use crate::{EngineConfig, engine_session};

const NOON_MICROS: i64 = 1_747_224_000_000_000;

/// A topic whose last column is a number.
fn topic(number: Column) -> Topic {
    let column = |name: &str, kind: ColumnKind| Column::new(name, kind);
    let columns = vec![
        Column { needed: true, ..column("timestamp", ColumnKind::Timestamp) },
        column("id_produto", ColumnKind::Text),
        column("quantidade", ColumnKind::Integer),
        number,
    ];
    Topic {
        name: "eventos".into(),
        kafka_topic: "t".into(),
        columns,
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

fn with_default(default: &str) -> Topic {
    topic(Column { default: Some(default.into()), ..Column::new("numero", ColumnKind::Integer) })
}

fn with_check(check: &str) -> Topic {
    topic(Column { check: Some(check.into()), ..Column::new("numero", ColumnKind::Integer) })
}

/// The values of the last column, and what is refused.
fn apply(topic: &Topic, rows: &RecordBatch) -> (Vec<Option<i64>>, Forbidden) {
    let session = engine_session(EngineConfig::default()).expect("a session");
    let rules = RowRules::new(topic, &session).expect("planned");
    let (rows, forbidden) = rules.apply(rows.columns().to_vec(), i64::MAX / 4_000).expect("applied");
    let last = rows.columns()[rows.num_columns() - 1].as_primitive::<Int64Type>().iter().collect();
    (last, forbidden)
}

fn events(topic: &Topic, events: &[(&str, i64)]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_value(NOON_MICROS, events.len()).with_timezone("UTC");
    let products: StringArray =
        events.iter().map(|(product, _)| Some(*product).filter(|text| !text.is_empty())).collect();
    let quantities = Int64Array::from_iter_values(events.iter().map(|(_, quantity)| *quantity));
    let numbers = Int64Array::new_null(events.len());
    let columns: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(products), Arc::new(quantities), Arc::new(numbers)];
    RecordBatch::try_new(topic.schema(), columns).expect("the topic's columns")
}

#[test]
fn a_default_that_fails_on_a_row_refuses_that_row_alone() {
    let topic = with_default("CAST(id_produto AS BIGINT) / quantidade");
    let rows = events(&topic, &[("8", 2), ("p1", 2), ("9", 3), ("7", 0), ("", 1)]);
    let (values, forbidden) = apply(&topic, &rows);
    assert_eq!(values, [Some(4), None, Some(3), None, None]);
    assert_eq!(forbidden.keys().copied().collect::<Vec<_>>(), [1, 3]);
    let detail = |row: usize| (forbidden[&row].0, forbidden[&row].1.as_str());
    let (reason, text) = detail(1);
    assert!(reason == Reason::Value && text.starts_with("numero: DEFAULT ") && text.contains("'p1'"), "{text}");
    assert!(detail(3).1.contains("division by zero"), "{}", detail(3).1);
}

#[test]
fn a_check_that_fails_on_a_row_refuses_that_row_alone() {
    let topic = with_check("100 / quantidade < 60");
    let rows = events(&topic, &[("", 2), ("", 0), ("", 1), ("", 5)]);
    let (_, forbidden) = apply(&topic, &rows);
    assert_eq!(forbidden.keys().copied().collect::<Vec<_>>(), [1, 2]);
    assert!(forbidden[&1].1.contains("cannot be computed: ") && forbidden[&2].1.ends_with("does not hold for null"));
}

#[test]
fn integers_of_a_check_do_not_wrap() {
    let topic = with_check("quantidade * 4 >= 0");
    let (_, forbidden) = apply(&topic, &events(&topic, &[("", i64::MAX / 2), ("", 1)]));
    assert_eq!(forbidden.keys().copied().collect::<Vec<_>>(), [0]);
}

/// A guard keeps its row, although the rows around it make the engine look at both sides of the
/// AND.
#[test]
fn whether_a_row_fails_does_not_depend_on_its_batch() {
    let topic = with_check("quantidade <> 0 AND 100 / quantidade < 60");
    let many: Vec<(&str, i64)> = (0..200).map(|row| ("", [5, 0, 1, 50][row % 4])).collect();
    let (_, together) = apply(&topic, &events(&topic, &many));
    for (row, event) in many.iter().enumerate() {
        let (_, alone) = apply(&topic, &events(&topic, &[*event]));
        assert_eq!(alone.get(&0), together.get(&row), "row {row}");
    }
}
