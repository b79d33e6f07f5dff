//! Sinks over rows that were imported.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::catalog::{MemTable, TableProvider};
use vitral_schemas::topic::history_columns;
use vitral_store::Histories;

use crate::row;
use crate::world::{Target, World, poll};

const COPY: &str =
    "CREATE VIEW copia WITH (connector = 'kafka', key = 'p', history = 'all') AS SELECT p, n FROM eventos;";

/// From here on it is known that these rows were imported.
fn import(world: &World, rows: &[(&str, i64)]) {
    let batch = RecordBatch::try_from_iter([
        (history_columns::VERDICT, Arc::new(StringArray::from(vec!["contada"; rows.len()])) as ArrayRef),
        ("p", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef),
        ("n", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))) as ArrayRef),
        ("t", Arc::new(TimestampMicrosecondArray::from_value(0, rows.len()).with_timezone("UTC")) as ArrayRef),
    ])
    .expect("rows");
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("a table");
    let table: Arc<dyn TableProvider> = Arc::new(table);
    world.histories.send_replace(Arc::new([("eventos".to_owned(), table)].into()));
}

#[tokio::test]
async fn at_a_start_they_wait_until_what_was_imported_is_read() {
    let world = World::new(COPY);
    let target = Arc::new(Target::default());
    world.show(&[]);
    import(&world, &[("a", 1)]);
    poll(&mut world.copying_to(&target)).await;
    assert_eq!(target.rows(), [row("a", 1)]);

    world.histories.send_replace(Arc::new(Histories::unread(["eventos".to_owned()])));
    let mut sinks = world.copying_to(&target);
    let ended = tokio::time::timeout(Duration::from_millis(300), sinks.run()).await;
    assert!(ended.is_err(), "it waits");
    assert_eq!((target.sizes(), world.health("copia").failures), (vec![1], 0), "nothing is tried meanwhile");

    import(&world, &[("a", 1), ("b", 2)]);
    let seen = async {
        while target.rows().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = sinks.run() => panic!("it has ended"),
        seen = tokio::time::timeout(Duration::from_secs(60), seen) => seen.expect("it is sent"),
    }
    assert_eq!((target.rows(), target.sizes()), (vec![row("a", 1), row("b", 2)], vec![1, 1]));
}
