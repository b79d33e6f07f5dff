//! Logs of rows in other systems: each counted row once, whatever the other system and the process
//! do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use async_trait::async_trait;
use vitral_batch::ledger::LedgerFilter;
use vitral_batch::ledger::replay::replay;
use vitral_catalog::DomainSettings;
use vitral_connect::{ConnectError, Epoch, Sink, TopicLookups};
use vitral_schemas::health::RowLogHealth;
use vitral_store::Location;
use vitral_stream::StreamConfig;

use crate::watermarks::killed;
use crate::world::{HOUR_MS, NOON_MS, PATIENCE, Shop, end, event_at, key, wait_for, wait_until};

const LOG: &str =
    "CREATE TABLE registros_cliques WITH (connector = 'mongodb', connection = 'loja', expires = '90 days') AS
    SELECT id_usuario AS usuario, timestamp FROM eventos_clientes WHERE tipo_evento = 'clique';";

/// Rows under their keys, as a database has them; each epoch once.
#[derive(Debug, Default)]
struct Documents {
    is_away: AtomicBool,
    /// Takes all rows of an epoch, and says that it failed.
    loses_its_answer: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    last: Option<Epoch>,
    rows: BTreeMap<(i32, i64), (String, i64, i64)>,
    writes: usize,
}

impl Documents {
    fn state(&self) -> State {
        self.state.lock().expect("no panic").clone()
    }

    async fn has(&self, rows: usize) {
        let began = Instant::now();
        while self.state().rows.len() != rows {
            assert!(began.elapsed() < PATIENCE, "{} rows instead of {rows}", self.state().rows.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[async_trait]
impl Sink for Documents {
    async fn last_epoch(&self) -> Result<Option<Epoch>, ConnectError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(ConnectError::outage("away"));
        }
        Ok(self.state().last)
    }

    async fn write(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<(), ConnectError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(ConnectError::outage("away"));
        }
        let mut state = self.state.lock().expect("no panic");
        state.writes += 1;
        if state.last.is_some_and(|last| last >= epoch) {
            return Ok(());
        }
        for batch in batches {
            let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
            let users = column("usuario").as_string::<i32>();
            let (times, expiries) = (column("timestamp"), column("expira_em"));
            let micros =
                |times: &arrow::array::ArrayRef, row| times.as_primitive::<TimestampMicrosecondType>().value(row);
            let partitions = column("particao").as_primitive::<Int32Type>();
            let offsets = column("deslocamento").as_primitive::<Int64Type>();
            assert!(column("topico").as_string::<i32>().iter().all(|topic| topic == Some("eventos_clientes")));
            for row in 0..batch.num_rows() {
                let document = (users.value(row).to_owned(), micros(times, row), micros(expiries, row));
                state.rows.insert((partitions.value(row), offsets.value(row)), document);
            }
        }
        state.last = Some(epoch);
        if self.loses_its_answer.swap(false, Ordering::SeqCst) {
            return Err(ConnectError::outage("lost"));
        }
        Ok(())
    }
}

fn shop(at_noon: &Shop, documents: &Arc<Documents>) -> Shop {
    at_noon.with_catalog(LOG).with_row_sink("registros_cliques", Arc::clone(documents) as _)
}

fn config(shop: &Shop, dir: &Path) -> StreamConfig {
    StreamConfig { commit_interval: Duration::from_millis(20), ..shop.config(dir) }
}

fn clicks(ids: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    ids.map(|id| event_at(id, "p1", "clique", NOON_MS + HOUR_MS)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_counted_row_is_written_once_under_its_place() {
    let (at_noon, clock) = Shop::at_noon(2);
    let documents = Arc::new(Documents::default());
    let shop = shop(&at_noon, &documents);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start_with(config(&shop, dir.path()));
    clock.set_ms(NOON_MS + 2 * HOUR_MS);
    shop.produce_to(0, &clicks(0..30));
    shop.produce_to(1, &clicks(100..120));
    // A repeat, one that is broken, and one that is not a click.
    shop.produce_to(0, &clicks(0..1));
    shop.produce_to(0, &[b"{".to_vec(), event_at(900, "p1", "busca", NOON_MS + HOUR_MS)]);
    wait_for(&mut view, "all", |seen| seen.read == 53).await;
    documents.has(50).await;
    documents.loses_its_answer.store(true, Ordering::SeqCst);
    shop.produce_to(1, &clicks(120..130));
    documents.has(60).await;
    end(stream).await;
    let written = documents.state();
    let (user, time, expiry) = &written.rows[&(1, 3)];
    let day_micros = 24 * HOUR_MS * 1_000;
    assert_eq!((user.as_str(), *time), (key(103).as_str(), (NOON_MS + HOUR_MS) * 1_000));
    assert_eq!(*expiry, time + 90 * day_micros);

    // A restart, and a process that died before it knew what was written, go on where the log is.
    for dir in [&dir, &killed(dir.path())] {
        let (stream, mut view) = shop.start_with(config(&shop, dir.path()));
        wait_for(&mut view, "the same", |seen| seen.read == 63).await;
        end(stream).await;
    }
    assert_eq!(documents.state().rows, written.rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_is_away_holds_nothing_up_and_gets_everything_later() {
    let (at_noon, clock) = Shop::at_noon(1);
    let documents = Arc::new(Documents::default());
    documents.is_away.store(true, Ordering::SeqCst);
    let shop = shop(&at_noon, &documents);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start_with(config(&shop, dir.path()));
    clock.set_ms(NOON_MS + 2 * HOUR_MS);
    for part in 0..5 {
        shop.produce_to(0, &clicks(part * 20..part * 20 + 20));
        wait_for(&mut view, "read", |seen| seen.read as usize == part * 20 + 20).await;
    }
    wait_until(&mut view, "committed", |view| view.topics.values().all(|topic| topic.tail.is_empty())).await;
    assert!(documents.state().rows.is_empty());
    let health = Arc::clone(&view.borrow().health);
    let fares = async |as_expected: fn(&RowLogHealth) -> bool| {
        let began = Instant::now();
        while !health.row_logs().get("registros_cliques").is_some_and(as_expected) {
            assert!(began.elapsed() < PATIENCE, "{:?}", health.row_logs());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    fares(|log| log.behind == 100 && log.waiting.is_some() && log.failing.is_some() && log.failures > 0).await;
    documents.is_away.store(false, Ordering::SeqCst);
    documents.has(100).await;
    fares(|log| log.behind == 0 && log.waiting.is_none() && log.failing.is_none() && log.missed == 0).await;
    end(stream).await;

    // A store that begins again under the same log writes on top of what is there.
    let other = tempfile::tempdir().expect("a folder");
    let last = documents.state().last;
    let (stream, _view) = shop.start_with(config(&shop, other.path()));
    let began = Instant::now();
    while documents.state().last <= last {
        assert!(began.elapsed() < PATIENCE, "nothing is written");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    end(stream).await;
    assert_eq!(documents.state().rows.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_log_begins_now_and_rows_that_are_fed_again_come_later() {
    let (at_noon, clock) = Shop::at_noon(1);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = at_noon.start_with(config(&at_noon, dir.path()));
    clock.set_ms(NOON_MS + 5 * HOUR_MS);
    click(&at_noon, 0);
    wait_for(&mut view, "read", |seen| seen.read == 1 && seen.watermark.is_some()).await;
    end(stream).await;
    let documents = Arc::new(Documents::default());
    let shop = shop(&at_noon, &documents);
    let (stream, mut view) = shop.start_with(config(&shop, dir.path()));
    wait_for(&mut view, "the same", |seen| seen.read == 1).await;
    // The second is late.
    click(&shop, 1);
    shop.produce_to(0, &[event_at(2, "p1", "clique", NOON_MS)]);
    wait_for(&mut view, "read", |seen| seen.read == 3 && seen.late == 1).await;
    documents.has(1).await;
    end(stream).await;
    let store = Location::folder(dir.path()).expect("a folder");
    let tables = TopicLookups::default();
    let now_ms = NOON_MS + 5 * HOUR_MS;
    let fed = replay(&shop.topic, &DomainSettings::default(), &store, &tables, &LedgerFilter::default(), now_ms).await;
    assert_eq!(fed.expect("fed again").counted, 1);
    let (stream, _view) = shop.start_with(config(&shop, dir.path()));
    documents.has(2).await;
    end(stream).await;
    assert_eq!(documents.state().rows.keys().map(|(_, offset)| *offset).collect::<Vec<_>>(), [1, 2]);
}

/// A click four hours after noon.
fn click(shop: &Shop, id: usize) {
    shop.produce_to(0, &[event_at(id, "p1", "clique", NOON_MS + 4 * HOUR_MS)]);
}
