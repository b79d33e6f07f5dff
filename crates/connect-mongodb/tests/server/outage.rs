//! A server that stops, hangs and comes back under load: nothing stalls, rows without an answer are
//! counted, copies are whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use mongodb::bson::{Document, doc};
use vitral_connect::{
    Connection, Epoch, LookupCounts, LookupExt, Lookups, RetryPolicy, Sink, TableLookup, TopicLookups, retry,
};
use vitral_connect_mongodb::{SinkTarget, lookup, sink};
use vitral_schemas::diagnostic::Position;
use vitral_schemas::looked_up::LookedUp;
use vitral_schemas::lookup::OnFailure;
use vitral_schemas::topic::{Column, ColumnKind, Topic};

use crate::world::{OwnServer, database, table};

const ROWS: usize = 1_000;
const TIMEOUT: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(20);
/// A batch waits for two attempts and the pause between them; the rest is for a busy machine.
const BATCH_MAX: Duration = Duration::from_secs(5);
/// The pause of the circuit breaker, and that of the driver's own monitor.
const RECOVERY_MAX: Duration = Duration::from_secs(60);

fn topic() -> Topic {
    let looked_up = LookedUp {
        table: "perfis".to_owned(),
        key: "id_usuario".to_owned(),
        column: "segmento".to_owned(),
        position: Position::file("a.sql"),
    };
    let segment = Column { lookup: Some(looked_up), ..Column::new("segmento", ColumnKind::Text) };
    Topic {
        name: "eventos".to_owned(),
        kafka_topic: "eventos".to_owned(),
        columns: vec![Column::new("id_usuario", ColumnKind::Text), segment],
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

/// As a stream opens it, and without a memory of answers: every batch asks.
fn look_ups(connection: &Connection) -> TopicLookups {
    let columns = [("id_usuario", ColumnKind::Text), ("segmento", ColumnKind::Text)];
    let timeout_ms = i64::try_from(TIMEOUT.as_millis()).expect("a few");
    let own = lookup(&table(&columns, timeout_ms), "perfis", "id_usuario", connection).expect("a look-up");
    let own = own.timed_out(TIMEOUT).retrying(RetryPolicy::times(1, PAUSE, PAUSE)).with_breaker();
    let own = TableLookup::cached("perfis", Box::new(own), "id_usuario", Duration::ZERO, OnFailure::Null);
    TopicLookups::new(&topic(), &Lookups::new([("perfis".to_owned(), own.expect("a table"))])).expect("look-ups")
}

/// Looks up a batch, within its time; what became of its keys.
async fn batch(look_ups: &TopicLookups, number: usize) -> LookupCounts {
    let users = StringArray::from_iter_values((0..ROWS).map(|n| format!("u{}", (n + number * 7) % ROWS)));
    let columns =
        [("id_usuario", Arc::new(users) as ArrayRef), ("segmento", Arc::new(StringArray::new_null(ROWS)) as ArrayRef)];
    let rows = RecordBatch::try_from_iter(columns).expect("rows");
    let began = Instant::now();
    let found = look_ups.find(&rows, &BooleanArray::from(vec![true; ROWS])).await.expect("answers");
    assert!(began.elapsed() < BATCH_MAX, "a batch has waited for {:?}", began.elapsed());
    let counts = found.counts()[0].1;
    let filled = found.put_into(&rows, 0).expect("rows");
    let segments = filled.column(1).as_string::<i32>();
    let null_count = u64::try_from(segments.null_count()).expect("a count");
    assert_eq!(null_count, counts.failed + counts.unknown, "every null is counted");
    assert!(segments.iter().flatten().all(|segment| segment == "vip"));
    counts
}

/// Batches until one has all its answers. On a busy machine the first may come too late for that.
async fn answers(look_ups: &TopicLookups, number: &mut usize) {
    let began = Instant::now();
    loop {
        *number += 1;
        let counts = batch(look_ups, *number).await;
        if counts.failed == 0 {
            assert_eq!(counts.unknown, 0);
            return;
        }
        assert!(began.elapsed() < RECOVERY_MAX, "it is there, and not found");
    }
}

async fn fill(server: &OwnServer) {
    let users = (0..ROWS).map(|n| doc! { "id_usuario": format!("u{n}"), "segmento": "vip" });
    let database = database(&server.url()).await;
    database.collection::<Document>("perfis").insert_many(users).await.expect("inserted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_go_on_without_a_server_and_with_one_that_hangs() {
    let Some(mut server) = OwnServer::start().await else { return };
    fill(&server).await;
    let (look_ups, mut number) = (look_ups(&server.connection()), 0);
    answers(&look_ups, &mut number).await;
    server.stop();
    for _ in 0..50 {
        number += 1;
        let counts = batch(&look_ups, number).await;
        assert_eq!((counts.asked, counts.failed), (1_000, 1_000));
    }
    server.start_again().await;
    answers(&look_ups, &mut number).await;
    server.signal("STOP");
    for _ in 0..50 {
        number += 1;
        assert_eq!(batch(&look_ups, number).await.failed, 1_000);
    }
    server.signal("CONT");
    answers(&look_ups, &mut number).await;
}

fn epoch_rows(epoch: u64) -> RecordBatch {
    let first = i64::try_from(epoch).expect("a number") * 100;
    let numbers: Vec<i64> = (first..first + 100).collect();
    let topics = StringArray::from(vec!["eventos"; 100]);
    let columns =
        [("topico", Arc::new(topics) as ArrayRef), ("deslocamento", Arc::new(Int64Array::from(numbers)) as ArrayRef)];
    RecordBatch::try_from_iter(columns).expect("rows")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_whole_and_without_doubles_after_its_server_was_away() {
    let Some(mut server) = OwnServer::start().await else { return };
    let target = SinkTarget {
        name: "registros".to_owned(),
        collection: "registros".to_owned(),
        key: vec!["topico".to_owned(), "deslocamento".to_owned()],
        expires: None,
    };
    let own: Arc<dyn Sink> = Arc::from(sink(target, &server.connection()).expect("a sink"));
    let back = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&back);
    let failures = Arc::new(AtomicUsize::new(0));
    let failed = Arc::clone(&failures);
    let writer = tokio::spawn(async move {
        let policy = RetryPolicy::endless(PAUSE, Duration::from_millis(200));
        let mut epoch = 0;
        // However fast the server is, it is stopped while rows are written.
        while !ends.load(Ordering::Relaxed) {
            epoch += 1;
            let rows = [epoch_rows(epoch)];
            let attempt = || {
                let (own, rows) = (Arc::clone(&own), rows.clone());
                async move {
                    // Given up half-way now and then, as a runtime that ends its attempts does.
                    let limit = Duration::from_secs(if epoch % 7 == 0 { 0 } else { 10 });
                    let write = own.write(Epoch(epoch), &rows);
                    let outcome = tokio::time::timeout(limit, write).await;
                    if limit.is_zero() { own.write(Epoch(epoch), &rows).await } else { outcome.expect("in time") }
                }
            };
            let mut is_repeat = false;
            retry(&policy, || {
                failed.fetch_add(usize::from(is_repeat), Ordering::Relaxed);
                is_repeat = true;
                attempt()
            })
            .await
            .expect("it comes back");
        }
        (own, epoch)
    });
    let url = server.url();
    let written = async |at_least: u64| {
        let database = database(&url).await;
        let documents = database.collection::<Document>("registros");
        let began = Instant::now();
        while documents.count_documents(doc! {}).await.expect("a count") < at_least {
            assert!(began.elapsed() < RECOVERY_MAX, "nothing is written");
            tokio::time::sleep(PAUSE).await;
        }
    };
    written(500).await;
    server.stop();
    // Away for longer than an attempt waits for it, and until one has failed: an attempt that was
    // given up half-way waits first, and what follows it only then.
    let stopped = Instant::now();
    tokio::time::sleep(Duration::from_secs(6)).await;
    while failures.load(Ordering::Relaxed) == 0 {
        assert!(stopped.elapsed() < RECOVERY_MAX, "no write fails");
        tokio::time::sleep(PAUSE).await;
    }
    server.start_again().await;
    written(4_000).await;
    back.store(true, Ordering::Relaxed);
    let (own, last) = writer.await.expect("the writer");
    assert_eq!(own.last_epoch().await.expect("an epoch"), Some(Epoch(last)));
    let documents = database(&server.url()).await.collection::<Document>("registros");
    assert_eq!(documents.count_documents(doc! {}).await.expect("a count"), last * 100);
    for offset in [100, 3_333, 4_099] {
        let found = documents.find_one(doc! { "_id": format!("eventos/{offset}") }).await.expect("found");
        assert_eq!(found.expect("it is there").get_i64("deslocamento").ok(), Some(offset));
    }
}
