//! What meets a bound, of a number or of memory, is an error that loses nothing.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use vitral_catalog::DomainSettings;

use vitral_schemas::position::PartitionId;

use super::rows::{Event, all_rows, batch, fold, panes, plan, text};
use crate::plan::MetricPlan;
use crate::state::{MetricPanes, pane_column};
use vitral_engine::{EngineConfig, engine_session};

#[test]
fn a_sum_that_does_not_fit_fails_and_never_wraps() {
    let (topic, plan) = plan(
        "CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 minute') AS janela, sum(quantidade) AS q FROM eventos_clientes GROUP BY janela",
    );
    let mut panes = panes(&plan);
    let event = |quantity: i64| -> Event {
        let time = "2025-03-01T00:00:30Z".to_owned();
        vec![
            ("id_usuario", "u".into()),
            ("tipo_evento", "c".into()),
            ("timestamp", time),
            ("quantidade", quantity.to_string()),
        ]
    };
    for (partition, quantity) in [(0, i64::MAX), (1, 2), (0, -2)] {
        fold(&mut panes, &topic, partition, &batch(&topic, &[event(quantity)]));
    }
    let rows = all_rows(&panes);
    assert_eq!(text(&rows).matches(&i64::MAX.to_string()).count(), 1, "parts of it may go beyond");
    fold(&mut panes, &topic, 1, &batch(&topic, &[event(1)]));
    let error = panes.rows_of(|_| true).expect_err("it does not fit");
    assert!(error.reason().contains("does not fit bigint"), "{}", error.reason());
    fold(&mut panes, &topic, 1, &batch(&topic, &[event(-1)]));
    assert_eq!(text(&all_rows(&panes)), text(&rows), "the states have it all");
}

/// Memory that lacks while runs are merged loses none of them.
#[test]
fn states_survive_a_lack_of_memory() {
    let (topic, plan) = plan(
        "CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 minute') AS janela, id_sessao, count(*) AS n FROM eventos_clientes GROUP BY janela, id_sessao",
    );
    let session = engine_session(EngineConfig { memory_bytes: 1 << 20 }).expect("a session");
    let plan = MetricPlan::new(&plan.metric, &topic, &DomainSettings::default(), &session);
    let plan = Arc::new(plan.expect("planned"));
    let mut panes = MetricPanes::new(Arc::clone(&plan), &session.runtime_env().memory_pool, 1 << 20);
    let event = |id: usize| -> Event {
        let (time, session) = ("2025-03-01T00:00:30Z".to_owned(), format!("{id}-{}", "s".repeat(20_000)));
        vec![("id_usuario", "u".into()), ("tipo_evento", "c".into()), ("timestamp", time), ("id_sessao", session)]
    };
    let mut folded = 0;
    let error = loop {
        let rows = batch(&topic, &[event(folded)]);
        let times = rows.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
        let column = pane_column(&plan.windows, times);
        if let Err(error) = panes.add_rows(PartitionId(0), &rows, &column) {
            break error;
        }
        folded += 1;
        if let Err(error) = panes.settle(PartitionId(0)) {
            break error;
        }
    };
    assert!(error.is_memory() && error.reason().contains("panes.memory_bytes"), "{error}");
    assert!(folded > 10);
    assert_eq!(panes.group_count(), folded);
}
