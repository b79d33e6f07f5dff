//! Alerts over rows that were imported.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::catalog::{MemTable, TableProvider};
use vitral_connect::memory::MemoryNotifier;
use vitral_schemas::topic::history_columns;
use vitral_store::Histories;
use vitral_store::alerts::{TransitionKind, read_alerts};

use crate::kinds;
use crate::world::World;

const OUT: &str =
    "CREATE VIEW ruptura WITH (alert = 'p', notify = 'operacao') AS SELECT p, n FROM eventos WHERE n <= 0;";

/// From here on it is known that these rows were imported.
fn import(world: &World, rows: &[(&str, i64)]) {
    world.histories.send_replace(Arc::new([("eventos".to_owned(), history(rows))].into()));
}

fn history(rows: &[(&str, i64)]) -> Arc<dyn TableProvider> {
    let batch = RecordBatch::try_from_iter([
        (history_columns::VERDICT, Arc::new(StringArray::from(vec!["contada"; rows.len()])) as ArrayRef),
        ("p", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef),
        ("n", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))) as ArrayRef),
        ("t", Arc::new(TimestampMicrosecondArray::from_value(0, rows.len()).with_timezone("UTC")) as ArrayRef),
    ])
    .expect("rows");
    Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("a table"))
}

async fn transitions(world: &World) -> usize {
    read_alerts(&world.store).await.expect("read").expect("tables").0.len()
}

#[tokio::test]
async fn at_a_start_they_wait_until_what_was_imported_is_read() {
    let world = World::new(OUT);
    let notifier = Arc::new(MemoryNotifier::new());
    world.show(&[]);
    import(&world, &[("a", 0)]);
    world.alerts(&notifier).poll().await.expect("nothing is wrong");
    assert_eq!(world.states(), ["a disparado 1"]);
    let made = transitions(&world).await;

    world.histories.send_replace(Arc::new(Histories::unread(["eventos".to_owned()])));
    let mut alerts = world.alerts(&notifier);
    let ended = tokio::time::timeout(Duration::from_millis(300), alerts.run()).await;
    assert!(ended.is_err(), "it waits");
    assert_eq!(transitions(&world).await, made, "nothing is decided meanwhile");

    import(&world, &[("a", 0), ("b", 0)]);
    let seen = async {
        while world.states() != ["a disparado 1", "b disparado 1"] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = alerts.run() => panic!("it has ended"),
        seen = tokio::time::timeout(Duration::from_secs(60), seen) => seen.expect("it is evaluated"),
    }
    assert_eq!(kinds(&world, TransitionKind::Resolved).await, 0);
}

#[tokio::test]
async fn those_of_one_topic_that_cannot_be_read_hold_up_no_other() {
    let world = World::new(OUT);
    let notifier = Arc::new(MemoryNotifier::new());
    world.show(&[]);
    let mut histories = Histories::unread(["eventos", "outros"].map(str::to_owned));
    histories.set("eventos", Some(history(&[("a", 0)])));
    assert!(histories.failed("outros", "no such file"));
    world.histories.send_replace(Arc::new(histories));
    let mut alerts = world.alerts(&notifier);
    let seen = async {
        while world.states() != ["a disparado 1"] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = alerts.run() => panic!("it has ended"),
        seen = tokio::time::timeout(Duration::from_secs(60), seen) => seen.expect("it fires"),
    }
}
