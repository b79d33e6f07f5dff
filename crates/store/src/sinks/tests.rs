use arrow::array::{ArrayRef, Int64Array, StringArray};

use super::*;

fn store() -> (tempfile::TempDir, Location) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Location::folder(dir.path()).expect("a store");
    (dir, store)
}

fn batch(keys: &[&str]) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("p", Arc::new(StringArray::from_iter_values(keys)) as ArrayRef),
        ("n", Arc::new(Int64Array::from_iter_values(0..keys.len() as i64)) as ArrayRef),
    ])
    .expect("rows")
}

fn epoch(number: u64, rows: Vec<RecordBatch>) -> SinkEpoch {
    let upserts = rows.iter().map(|rows| rows.num_rows() as u64).sum();
    SinkEpoch {
        number,
        at_ms: 1_000 + number as i64,
        versions: "{}".to_owned(),
        columns: "p, n".to_owned(),
        upserts,
        deletes: 1,
        rows,
    }
}

#[tokio::test]
async fn what_was_committed_is_read_back_as_it_was() {
    let (_dir, store) = store();
    assert!(read_sink(&store, "copia").await.expect("nothing yet").is_none());
    let mut log = SinkLog::open(&store, "copia").await.expect("open");
    assert_eq!((log.read().await.expect("read"), log.sent().await.expect("read")), (SinkState::default(), None));
    let base = epoch(4, vec![]);
    log.begin(&base).await.expect("a base");
    let epochs = [epoch(5, vec![batch(&["a", "b"]), batch(&["c"])]), epoch(6, vec![])];
    log.append(Some(4), &epochs[0]).await.expect("one");
    log.append(Some(5), &epochs[1]).await.expect("the next");
    log.set_sent(5).await.expect("noted");
    let log = SinkLog::open(&store, "copia").await.expect("open");
    let state = log.read().await.expect("read");
    assert_eq!(state, SinkState { base: Some(base), epochs: epochs.to_vec() });
    assert_eq!((state.last(), log.sent().await.expect("read")), (Some(6), Some(5)));
}

#[tokio::test]
async fn of_two_processes_one_has_to_stop() {
    let (_dir, store) = store();
    let mut first = SinkLog::open(&store, "copia").await.expect("open");
    let mut second = SinkLog::open(&store, "copia").await.expect("open");
    first.append(None, &epoch(1, vec![batch(&["a"])])).await.expect("one");
    let error = second.append(None, &epoch(1, vec![batch(&["b"])])).await.expect_err("it is there");
    assert!(matches!(error, StoreError::Table { .. } | StoreError::Overtaken { .. }), "{error}");
    let error = first.append(Some(7), &epoch(8, vec![])).await.expect_err("there is no 7");
    assert!(matches!(error, StoreError::Overtaken { .. }), "{error}");
    let state = first.read().await.expect("read");
    assert_eq!(state.epochs, [epoch(1, vec![batch(&["a"])])]);
}

#[tokio::test]
async fn a_base_takes_the_place_of_what_was_sent() {
    let (_dir, store) = store();
    let mut log = SinkLog::open(&store, "copia").await.expect("open");
    log.append(None, &epoch(1, vec![batch(&["a"])])).await.expect("one");
    log.append(Some(1), &epoch(2, vec![batch(&["b"])])).await.expect("two");
    let base = epoch(2, vec![batch(&["a", "b"])]);
    log.replace(&base).await.expect("replaced");
    assert_eq!(log.read().await.expect("read"), SinkState { base: Some(base), epochs: vec![] });
    log.append(Some(2), &epoch(3, vec![batch(&["c"])])).await.expect("three");
    // Numbers may go on from another place.
    log.replace(&epoch(9, vec![])).await.expect("replaced");
    log.append(Some(9), &epoch(10, vec![batch(&["d"])])).await.expect("ten");
    let state = read_sink(&store, "copia").await.expect("read").expect("a table");
    assert_eq!((state.base.map(|base| base.number), state.epochs.len()), (Some(9), 1));
}
