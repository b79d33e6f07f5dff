//! Sinks conform; documents that go, that are somebody else's, and that expire.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{DateTime, Document, doc};
use vitral_connect::conformance::{keyed_sink_conforms, sink_conforms};
use vitral_connect::{Connection, Epoch, Sink};
use vitral_connect_mongodb::{SinkTarget, sink};

use crate::world::{database, fresh, url};

fn target(name: &str, key: &str) -> SinkTarget {
    let key = key.split(", ").map(str::to_owned).collect();
    SinkTarget { name: name.to_owned(), collection: name.to_owned(), key, expires: None }
}

/// An empty collection, and a sink into it that has written nothing.
async fn begin(url: &str, target: SinkTarget) -> (Collection<Document>, Box<dyn Sink>) {
    let collection = fresh(url, &target.collection).await;
    let progress: Collection<Document> = database(url).await.collection("vitral_sinks");
    progress.delete_one(doc! { "_id": &target.name }).await.expect("deleted");
    (collection, sink(target, &Connection::to(url)).expect("a sink"))
}

async fn all(collection: &Collection<Document>) -> Vec<Document> {
    collection.find(doc! {}).sort(doc! { "_id": 1 }).await.expect("found").try_collect().await.expect("documents")
}

fn rows(rows: &[(&str, i64, bool)]) -> RecordBatch {
    let keys = StringArray::from_iter_values(rows.iter().map(|row| row.0));
    let values = Int64Array::from_iter_values(rows.iter().map(|row| row.1));
    let deleted = BooleanArray::from_iter(rows.iter().map(|row| Some(row.2)));
    let columns = [
        ("chave", Arc::new(keys) as ArrayRef),
        ("valor", Arc::new(values) as ArrayRef),
        ("_apagada", Arc::new(deleted) as ArrayRef),
    ];
    RecordBatch::try_from_iter(columns).expect("rows")
}

#[tokio::test]
async fn a_collection_conforms() {
    let Some(url) = url() else { return };
    let (collection, own) = begin(&url, target("numeros", "numero")).await;
    let sum = async || all(&collection).await.iter().map(|row| row.get_i64("numero").expect("a number")).sum::<i64>();
    sink_conforms(&own, sum).await;
}

#[tokio::test]
async fn a_collection_conforms_by_key() {
    let Some(url) = url() else { return };
    let (collection, own) = begin(&url, target("chaves", "chave")).await;
    let row =
        |row: &Document| (row.get_str("chave").expect("a key").to_owned(), row.get_i64("numero").expect("a number"));
    let found = async || all(&collection).await.iter().map(row).collect::<Vec<_>>();
    keyed_sink_conforms(&own, found).await;
}

#[tokio::test]
async fn rows_replace_each_other_go_and_come_back() {
    let Some(url) = url() else { return };
    let (collection, own) = begin(&url, target("copia", "chave")).await;
    let first = [rows(&[("a", 1, false), ("b", 2, false)])];
    own.write(Epoch(1), &first).await.expect("written");
    own.write(Epoch(2), &[rows(&[("a", 10, false), ("b", 0, true), ("nunca", 0, true)])]).await.expect("written");
    assert_eq!(all(&collection).await, [doc! { "_id": "a", "chave": "a", "valor": 10_i64, "_epoch": 2_i64 }]);
    own.write(Epoch(1), &first).await.expect("an older one");
    assert_eq!(all(&collection).await.len(), 1, "nothing has changed");
    own.write(Epoch(3), &[rows(&[("b", 20, false)])]).await.expect("written");
    assert_eq!(all(&collection).await.len(), 2);
}

#[tokio::test]
async fn an_epoch_that_was_cut_off_is_completed_and_newer_documents_stay() {
    let Some(url) = url() else { return };
    let (collection, own) = begin(&url, target("cortada", "chave")).await;
    // Of epoch 5, whose progress was not written, and of a writer that is ahead.
    let there = [
        doc! { "_id": "a", "chave": "a", "valor": 1_i64, "_epoch": 5_i64 },
        doc! { "_id": "b", "chave": "b", "valor": 7_i64, "_epoch": 6_i64 },
    ];
    collection.insert_many(there).await.expect("inserted");
    let batch = [rows(&[("a", 1, false), ("b", 2, false), ("c", 3, false)])];
    own.write(Epoch(5), &batch).await.expect("written");
    let values: Vec<_> = all(&collection).await.iter().map(|row| row.get_i64("valor").expect("a number")).collect();
    assert_eq!(values, [1, 7, 3]);
    assert_eq!(own.last_epoch().await.expect("an epoch"), Some(Epoch(5)));
}

#[tokio::test]
async fn of_a_collection_that_was_dropped_nothing_is_known() {
    let Some(url) = url() else { return };
    let (collection, own) = begin(&url, target("apagada", "chave")).await;
    own.write(Epoch(4), &[rows(&[("a", 1, false)])]).await.expect("written");
    assert_eq!(own.last_epoch().await.expect("an answer"), Some(Epoch(4)));
    collection.drop().await.expect("dropped");
    own.write(Epoch(5), &[rows(&[("b", 2, false)])]).await.expect_err("the earlier rows are missing");
    assert_eq!(own.last_epoch().await.expect("an answer"), None);
    // Also from a store that was recreated.
    own.write(Epoch(1), &[rows(&[("a", 1, false), ("b", 2, false)])]).await.expect("written");
    assert_eq!((all(&collection).await.len(), own.last_epoch().await.expect("an answer")), (2, Some(Epoch(1))));
}

#[tokio::test]
async fn a_collection_that_never_had_a_document_was_not_dropped() {
    let Some(url) = url() else { return };
    let (collection, own) = begin(&url, target("sem_linhas", "chave")).await;
    own.write(Epoch(1), &[rows(&[("a", 0, true)])]).await.expect("written");
    assert_eq!(own.last_epoch().await.expect("an answer"), Some(Epoch(1)));
    own.write(Epoch(2), &[rows(&[("b", 2, false)])]).await.expect("written");
    own.write(Epoch(3), &[rows(&[("b", 0, true)])]).await.expect("written");
    assert_eq!((all(&collection).await.len(), own.last_epoch().await.expect("an answer")), (0, Some(Epoch(3))));
}

#[tokio::test]
async fn documents_of_others_are_not_written_over() {
    let Some(url) = url() else { return };
    let (collection, own) = begin(&url, target("alheia", "chave")).await;
    collection.insert_one(doc! { "_id": "a", "valor": "of somebody else" }).await.expect("inserted");
    let error = own.write(Epoch(1), &[rows(&[("a", 1, false)])]).await.expect_err("it is theirs");
    assert!(!error.is_worth_a_retry() && error.to_string().contains("somebody else"), "{error}");
    assert_eq!(all(&collection).await, [doc! { "_id": "a", "valor": "of somebody else" }]);
}

#[tokio::test]
async fn what_has_expired_is_deleted_by_us_where_the_server_does_not() {
    let Some(url) = url() else { return };
    let expiring = SinkTarget { expires: Some("expira_em".to_owned()), ..target("registros", "topico, deslocamento") };
    let (collection, own) = begin(&url, expiring).await;
    let soon = DateTime::now().timestamp_millis() + 3_600_000;
    let batch = RecordBatch::try_from_iter([
        ("topico", Arc::new(StringArray::from(vec!["t", "t"])) as ArrayRef),
        ("deslocamento", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        (
            "expira_em",
            Arc::new(TimestampMicrosecondArray::from(vec![1_000, soon * 1_000]).with_timezone("UTC")) as ArrayRef,
        ),
    ])
    .expect("rows");
    own.write(Epoch(1), &[batch]).await.expect("written");
    // A server with TTL indexes deletes within a minute.
    let began = std::time::Instant::now();
    loop {
        let found = all(&collection).await;
        if let [left] = found.as_slice() {
            assert_eq!(left.get_str("_id").ok(), Some("t/2"));
            break;
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(90), "{found:?}");
    }
}
