//! An expression that fails refuses the rows it fails on, whatever the rows around them hold; one
//! that could never do what it says is refused itself.

use arrow::array::{Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Decimal128Type, Int64Type};
use vitral_schemas::topic::{Column, ColumnKind};

use super::*;
use crate::{EngineConfig, engine_session};

const NOON_MICROS: i64 = 1_747_224_000_000_000;

/// A topic with this last column.
fn topic(last: Column) -> Topic {
    let column = |name: &str, kind: ColumnKind| Column::new(name, kind);
    let columns = vec![
        Column { needed: true, ..column("timestamp", ColumnKind::Timestamp) },
        column("id_produto", ColumnKind::Text),
        column("quantidade", ColumnKind::Integer),
        last,
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

fn planned(topic: &Topic) -> Result<RowRules, Box<Diagnostic>> {
    RowRules::new(topic, &engine_session(EngineConfig::default()).expect("a session"))
}

/// The last column, and what is refused.
fn applied(topic: &Topic, rows: &RecordBatch) -> (ArrayRef, Forbidden) {
    let rules = planned(topic).expect("planned");
    let (rows, forbidden) = rules.apply(rows.columns().to_vec(), i64::MAX / 4_000).expect("applied");
    (Arc::clone(rows.column(rows.num_columns() - 1)), forbidden)
}

/// The numbers of the last column, and what is refused.
fn apply(topic: &Topic, rows: &RecordBatch) -> (Vec<Option<i64>>, Forbidden) {
    let (last, forbidden) = applied(topic, rows);
    (last.as_primitive::<Int64Type>().iter().collect(), forbidden)
}

/// Why a topic with this last column is refused.
fn fault(last: Column) -> String {
    planned(&topic(last)).expect_err("refused").to_string()
}

fn events(topic: &Topic, events: &[(&str, i64)]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_value(NOON_MICROS, events.len()).with_timezone("UTC");
    let products: StringArray =
        events.iter().map(|(product, _)| Some(*product).filter(|text| !text.is_empty())).collect();
    let quantities = Int64Array::from_iter_values(events.iter().map(|(_, quantity)| *quantity));
    let last = new_null_array(&topic.columns[3].kind.data_type(), events.len());
    let columns: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(products), Arc::new(quantities), last];
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

#[test]
fn a_check_is_a_condition() {
    for (check, data_type) in [("numero", "BIGINT"), ("NULL", "NULL"), ("id_produto", "TEXT")] {
        let said = fault(Column { check: Some(check.into()), ..Column::new("numero", ColumnKind::Integer) });
        let words = format!("CHECK of column numero: {check} is {data_type}, which is not a condition");
        assert!(said.contains(&words) && said.contains("remedy: write a comparison"), "{said}");
    }
    let flag = Column { check: Some("ativo".into()), ..Column::new("ativo", ColumnKind::Boolean) };
    planned(&topic(flag)).expect("a boolean is a condition");
}

#[test]
fn rules_have_no_clock() {
    let text = |default: &str| Column { default: Some(default.into()), ..Column::new("texto", ColumnKind::Text) };
    for (column, name) in [
        (text("current_date()"), "current_date"),
        (text("concat(id_produto, uuid())"), "uuid"),
        (Column { check: Some("timestamp < now()".into()), ..Column::new("n", ColumnKind::Integer) }, "now"),
    ] {
        let said = fault(column);
        assert!(said.contains(&format!("{name} returns a different value on every call")), "{said}");
    }
}

#[test]
fn a_check_is_of_the_row_with_its_defaults() {
    let column = Column::new("numero", ColumnKind::Integer);
    let topic = topic(Column { default: Some("quantidade".into()), check: Some("numero > 0".into()), ..column });
    let (values, forbidden) = apply(&topic, &events(&topic, &[("", 0), ("", 1)]));
    assert_eq!(values, [None, Some(1)]);
    assert!(forbidden.len() == 1 && forbidden[&0].1.ends_with("does not hold for 0"), "{forbidden:?}");
}

#[test]
fn the_default_of_a_needed_column_is_refused() {
    let said = fault(Column { needed: true, ..with_default("5").columns.remove(3) });
    assert!(said.contains("DEFAULT of column numero: it never applies"), "{said}");
}

const MONEY: ColumnKind = ColumnKind::Decimal { precision: 18, scale: 2 };

fn defaulted(kind: ColumnKind, default: &str) -> Column {
    Column { default: Some(default.into()), bytes_max: 3, ..Column::new("novo", kind) }
}

#[test]
fn a_constant_that_its_column_cannot_hold_is_refused_at_once() {
    for (kind, default, why) in [
        (ColumnKind::Integer, "'abc'", "not a number"),
        (ColumnKind::Integer, "1.5", "more than 0 decimals"),
        (ColumnKind::Boolean, "'sim'", "DEFAULT of column novo: "),
        (ColumnKind::Text, "'abcdef'", "longer than its column allows (3 bytes)"),
        (ColumnKind::Currency, "'real'", "not a currency"),
        (MONEY, "1.005", "more than 2 decimals"),
        (MONEY, "'1.005'", "more than 2 decimals"),
        (MONEY, "CAST(1.005 AS DECIMAL(9, 3))", "more than 2 decimals"),
        (MONEY, "1 / 0", "division by zero"),
    ] {
        let said = fault(defaulted(kind, default));
        assert!(said.contains(why), "{default}: {said}");
    }
}

#[test]
fn a_constant_is_held_as_its_column_holds_it() {
    let last = |kind: ColumnKind, default: &str| {
        let topic = topic(defaulted(kind, default));
        let (last, forbidden) = applied(&topic, &events(&topic, &[("", 1)]));
        assert!(forbidden.is_empty(), "{default}: {forbidden:?}");
        shown(&last, 0)
    };
    for default in ["1.50", "'1.5'", "1.5", "CAST(1.5 AS DECIMAL(9, 3))"] {
        assert_eq!(last(MONEY, default), "1.50", "{default}");
    }
    assert_eq!(last(MONEY, "1"), "1.00");
    assert_eq!(last(ColumnKind::Integer, "2.0"), "2");
    assert_eq!(last(ColumnKind::Text, "'abc'"), "abc");
    assert_eq!(last(ColumnKind::Currency, "'usd'"), "USD");
    assert_eq!(last(ColumnKind::Text, "' '"), "null");
    assert_eq!(last(ColumnKind::Text, "NULL"), "null");
    assert_eq!(last(ColumnKind::Integer, "NULL"), "null");
}

#[test]
fn a_default_is_held_to_its_column_row_by_row() {
    let held = |kind: ColumnKind, default: &str, events_of: &[(&str, i64)]| {
        let topic = topic(defaulted(kind, default));
        let (last, forbidden) = applied(&topic, &events(&topic, events_of));
        let values: Vec<String> = (0..last.len()).map(|row| shown(&last, row)).collect();
        let reasons: Vec<_> = forbidden.iter().map(|(row, (reason, _))| (*row, *reason)).collect();
        (values.join(" "), reasons, forbidden.into_values().map(|(_, detail)| detail).collect::<String>())
    };
    let (values, reasons, detail) = held(ColumnKind::Currency, "id_produto", &[("usd", 1), ("brasil", 1), ("", 1)]);
    assert_eq!((values.as_str(), reasons), ("USD null null", vec![(1, Reason::Value)]));
    assert!(detail.contains("novo: DEFAULT id_produto does not fit: \"brasil\" is not a currency"), "{detail}");
    let (values, reasons, _) = held(ColumnKind::Text, "id_produto", &[("abcdef", 1), ("abc", 1)]);
    assert_eq!((values.as_str(), reasons), ("null abc", vec![(0, Reason::Size)]));
    let (values, reasons, _) = held(MONEY, "CAST(id_produto AS DECIMAL(9, 3))", &[("1.005", 1), ("1.500", 1)]);
    assert_eq!((values.as_str(), reasons), ("null 1.50", vec![(0, Reason::Value)]));
    let (values, reasons, _) = held(ColumnKind::Integer, "quantidade / 2.0", &[("", 3), ("", 4)]);
    assert_eq!((values.as_str(), reasons), ("null 2", vec![(0, Reason::Value)]));
}

/// Of a value that is there, its default says nothing, even one that it could not hold.
#[test]
fn a_value_is_not_held_to_its_default() {
    let topic = topic(defaulted(MONEY, "CAST(id_produto AS DECIMAL(9, 3))"));
    let mut columns = events(&topic, &[("1.005", 1), ("p1", 1), ("2", 1)]).columns().to_vec();
    let given = Decimal128Array::from(vec![Some(700), Some(800), None]);
    columns[3] = Arc::new(given.with_data_type(MONEY.data_type()));
    let rows = RecordBatch::try_new(topic.schema(), columns).expect("the topic's columns");
    let (last, forbidden) = applied(&topic, &rows);
    assert!(forbidden.is_empty(), "{forbidden:?}");
    let cents: Vec<Option<i128>> = last.as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(cents, [Some(700), Some(800), Some(200)]);
}
