//! An expression that fails refuses the rows it fails on, whatever lies beside them.

use vitral_schemas::catalog::{Catalog, ShopSettings, SourceFile};

use super::*;
use crate::tests::rows::{Event, batch};
use crate::{EngineConfig, engine_session};

fn topic(column: &str) -> Topic {
    let settings = ShopSettings::default();
    let text = format!(
        "CREATE TABLE eventos_clientes (timestamp TIMESTAMP NOT NULL, id_produto TEXT, quantidade BIGINT, {column}) \
         WITH (connector = 'kafka', topic = 't', event_time = 'timestamp')"
    );
    let file = SourceFile { path: "topic.sql".into(), text };
    Catalog::parse(&[vec![file]], &settings).unwrap_or_else(|errors| panic!("{errors}")).topics.remove(0)
}

/// The values of the last column, and what is refused.
fn apply(topic: &Topic, rows: &RecordBatch) -> (Vec<Option<i64>>, Forbidden) {
    let session = engine_session(EngineConfig::default()).expect("a session");
    let rules = RowRules::new(topic, &session).expect("planned");
    let (rows, forbidden) = rules.apply(rows.columns().to_vec(), i64::MAX / 4_000).expect("applied");
    let last = rows.columns()[rows.num_columns() - 1].as_primitive::<arrow::datatypes::Int64Type>().iter().collect();
    (last, forbidden)
}

fn events(topic: &Topic, events: &[(&str, i64)]) -> RecordBatch {
    let event = |(product, quantity): &(&str, i64)| -> Event {
        let time = "2025-05-14T12:00:00Z".to_owned();
        vec![("timestamp", time), ("id_produto", (*product).to_owned()), ("quantidade", quantity.to_string())]
    };
    batch(topic, &events.iter().map(event).collect::<Vec<_>>())
}

#[test]
fn a_default_that_fails_on_a_row_refuses_that_row_alone() {
    let topic = topic("numero BIGINT DEFAULT CAST(id_produto AS BIGINT) / quantidade");
    let rows = events(&topic, &[("8", 2), ("p1", 2), ("9", 3), ("7", 0), ("", 1)]);
    let (values, forbidden) = apply(&topic, &rows);
    assert_eq!(values, [Some(4), None, Some(3), None, None]);
    assert_eq!(forbidden.keys().copied().collect::<Vec<_>>(), [1, 3]);
    let detail = |row: usize| (forbidden[&row].0, forbidden[&row].1.as_str());
    let (reason, text) = detail(1);
    assert!(reason == Reason::Value && text.starts_with("numero: DEFAULT ") && text.contains("'p1'"), "{text}");
    assert!(detail(3).1.contains("Divide by zero"), "{}", detail(3).1);
}

#[test]
fn a_check_that_fails_on_a_row_refuses_that_row_alone() {
    let topic = topic("numero BIGINT CHECK (100 / quantidade < 60)");
    let rows = events(&topic, &[("", 2), ("", 0), ("", 1), ("", 5)]);
    let (_, forbidden) = apply(&topic, &rows);
    assert_eq!(forbidden.keys().copied().collect::<Vec<_>>(), [1, 2]);
    assert!(forbidden[&1].1.contains("cannot be computed: ") && forbidden[&2].1.ends_with("does not hold"));
}

#[test]
fn integers_of_a_check_do_not_wrap() {
    let topic = topic("numero BIGINT CHECK (quantidade * 4 >= 0)");
    let (_, forbidden) = apply(&topic, &events(&topic, &[("", i64::MAX / 2), ("", 1)]));
    assert_eq!(forbidden.keys().copied().collect::<Vec<_>>(), [0]);
}

/// A guard keeps its row, although the rows beside it make the engine look at both sides of the AND.
#[test]
fn whether_a_row_fails_does_not_depend_on_its_batch() {
    let topic = topic("numero BIGINT CHECK (quantidade <> 0 AND 100 / quantidade < 60)");
    let many: Vec<(&str, i64)> = (0..200).map(|row| ("", [5, 0, 1, 50][row % 4])).collect();
    let (_, together) = apply(&topic, &events(&topic, &many));
    for (row, event) in many.iter().enumerate() {
        let (_, alone) = apply(&topic, &events(&topic, &[*event]));
        assert_eq!(alone.get(&0), together.get(&row), "row {row}");
    }
}
