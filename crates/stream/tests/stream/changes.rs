//! Topics with a primary key: a table that equals its source, whatever comes twice, out of order or
//! without a value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use vitral_batch::reconcile::{Selection, reconcile_keyed};
use vitral_connect::memory::MemoryMessage;
use vitral_panes::view::View;
use vitral_schemas::position::PartitionId;
use vitral_schemas::topic::archive_columns;
use vitral_store::{Archive, Location, read_session};

use crate::world::{Shop, end, wait_for};

const DEBEZIUM: &str = "CREATE TABLE clientes (id BIGINT, nome TEXT CHECK (nome <> 'proibido'), pontos BIGINT)
    WITH (connector = 'kafka', format = 'debezium', primary_key = 'id')";
const ROWS: &str =
    "CREATE TABLE clientes (id BIGINT, nome TEXT, pontos BIGINT, versao BIGINT NOT NULL, quando TIMESTAMP NOT NULL)
    WITH (connector = 'kafka', event_time = 'quando', primary_key = 'id', order = 'versao')";
const NOON: &str = "2025-05-14T12:00:00Z";

type Rows = BTreeMap<i64, (Option<String>, Option<i64>)>;

/// A source with its log: what it holds, and every message that it has sent.
struct Source {
    rows: Rows,
    sent: Vec<(i64, MemoryMessage)>,
    lsn: i64,
    seed: u64,
    is_debezium: bool,
}

impl Source {
    fn new(is_debezium: bool) -> Self {
        Self { rows: Rows::new(), sent: Vec::new(), lsn: 1_000, seed: 7, is_debezium }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn message(&self, id: i64, op: &str, row: Option<&(Option<String>, Option<i64>)>) -> MemoryMessage {
        let (key, lsn) = (format!(r#"{{"id":{id}}}"#), self.lsn);
        let json = |row: &(Option<String>, Option<i64>)| {
            let name = row.0.as_ref().map_or("null".to_owned(), |name| format!("\"{name}\""));
            let points = row.1.map_or("null".to_owned(), |points| points.to_string());
            format!(r#""id":{id},"nome":{name},"pontos":{points}"#)
        };
        let payload = if self.is_debezium {
            let (before, after) = match row {
                Some(row) => ("null".to_owned(), format!("{{{}}}", json(row))),
                None => (format!(r#"{{"id":{id},"nome":null,"pontos":null}}"#), "null".to_owned()),
            };
            let source = format!(r#"{{"connector":"postgresql","ts_ms":1747224000000,"lsn":{lsn}}}"#);
            format!(r#"{{"before":{before},"after":{after},"source":{source},"op":"{op}","ts_ms":1747224000001}}"#)
        } else {
            let row = json(row.expect("a row"));
            format!(r#"{{{row},"versao":{lsn},"quando":"{NOON}"}}"#)
        };
        MemoryMessage::new(payload.as_bytes()).with_key(key.as_bytes())
    }

    /// A random change of a random row.
    fn change(&mut self) {
        self.lsn += 1 + self.random(90) as i64;
        let id = self.random(60) as i64;
        if self.rows.contains_key(&id) && self.random(4) == 0 {
            self.rows.remove(&id);
            if self.is_debezium {
                self.sent.push((id, self.message(id, "d", None)));
            }
            // Debezium need not send it, other sources say it by this alone.
            if !self.is_debezium || self.random(2) == 0 {
                let key = format!(r#"{{"id":{id}}}"#);
                let tombstone = MemoryMessage { key: Some(key.as_bytes().into()), payload: None, headers: Vec::new() };
                self.sent.push((id, tombstone));
            }
            return;
        }
        let name = (self.random(5) > 0).then(|| format!("n{}", self.lsn));
        let points = (self.random(5) > 0).then(|| self.lsn * 3);
        let op = if self.rows.insert(id, (name, points)).is_some() { "u" } else { "c" };
        self.sent.push((id, self.message(id, op, self.rows.get(&id))));
    }

    /// Sends what was not sent before, and what a source sends again that has lost its place.
    fn send(&mut self, shop: &Shop, from: usize) {
        let resent = self.sent.len().min(from + 25);
        let all: Vec<_> = self.sent[from..resent].iter().chain(&self.sent[from..]).cloned().collect();
        for (id, message) in all {
            let partition = PartitionId((id % 3) as i32);
            shop.broker.append(&shop.topic.kafka_topic, partition, message).expect("appended");
        }
    }
}

async fn rows(view: &View) -> Rows {
    let table = view.keyed["clientes"].rows.clone();
    let batches = read_session(1).read_table(table).expect("a table").collect().await.expect("rows");
    let mut rows = Rows::new();
    for batch in &batches {
        let number = |name: &str, row: usize| {
            let column = batch.column_by_name(name).expect("a column").as_primitive::<Int64Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        for row in 0..batch.num_rows() {
            let names = batch.column_by_name("nome").expect("names").as_string::<i32>();
            let name = names.is_valid(row).then(|| names.value(row).to_owned());
            let before = rows.insert(number("id", row).expect("a key"), (name, number("pontos", row)));
            assert!(before.is_none(), "one row for each key");
        }
    }
    rows
}

async fn assert_proved(shop: &Shop, dir: &Path, count: usize) {
    let store = Location::folder(dir).expect("a folder");
    let settings = Default::default();
    let compared = reconcile_keyed(
        shop.catalog(),
        &settings,
        &store,
        Selection { only: Some("clientes"), ..Selection::default() },
    );
    let compared = compared.await.expect("compared").pop().expect("the table");
    assert!(compared.failure.is_none() && !compared.differs(), "{compared:?}");
    assert_eq!(compared.expected.num_rows(), count, "{compared:?}");
}

async fn follows_its_source(declaration: &str, is_debezium: bool) {
    let (shop, _) = Shop::at_noon(3);
    let shop = shop.with_topic(declaration);
    shop.broker.create_topic(&shop.topic.kafka_topic, 3);
    let dir = tempfile::tempdir().expect("a folder");
    let (mut source, mut read) = (Source::new(is_debezium), 0);
    for stop in 1..=4 {
        let (stream, mut view) = shop.start(dir.path());
        let from = source.sent.len();
        (0..150).for_each(|_| source.change());
        source.send(&shop, from);
        read += (source.sent.len() - from) + (source.sent.len() - from).min(25);
        wait_for(&mut view, "all changes", |seen| seen.read == read as u64).await;
        end(stream).await;
        let shown = view.borrow().clone();
        assert_eq!(rows(&shown).await, source.rows, "stop {stop}");
        assert_proved(&shop, dir.path(), source.rows.len()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_debezium_equals_its_source() {
    follows_its_source(DEBEZIUM, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_rows_with_a_version_equals_its_source() {
    follows_its_source(ROWS, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_nothing_of_a_row_is_in_the_ledger() {
    let (shop, _) = Shop::at_noon(1);
    let shop = shop.with_topic(DEBEZIUM);
    shop.broker.create_topic(&shop.topic.kafka_topic, 1);
    let dir = tempfile::tempdir().expect("a folder");
    let mut source = Source::new(true);
    source.rows.insert(1, (Some("Ana".to_owned()), Some(5)));
    let created = source.message(1, "c", source.rows.get(&1));
    source.lsn += 1;
    let truncate = created.payload.as_deref().map(|payload| {
        let text = String::from_utf8_lossy(payload).replace("\"op\":\"c\"", "\"op\":\"t\"");
        MemoryMessage::new(text.as_bytes())
    });
    let forbidden = source.message(1, "u", Some(&(Some("proibido".to_owned()), None)));
    let no_key = MemoryMessage { key: None, payload: None, headers: Vec::new() };
    let messages = [created, truncate.expect("a payload"), MemoryMessage::new(b"{}"), forbidden, no_key];
    for message in messages {
        shop.broker.append(&shop.topic.kafka_topic, PartitionId(0), message).expect("appended");
    }
    let (stream, mut view) = shop.start(dir.path());
    wait_for(&mut view, "all messages", |seen| seen.read == 5).await;
    let reasons: BTreeSet<String> = shop
        .dead_letters(4)
        .iter()
        .map(|letter| letter.header("vitral.reason").expect("a reason").to_owned())
        .collect();
    assert_eq!(reasons, BTreeSet::from(["campo_ausente".to_owned(), "valor".to_owned()]));
    end(stream).await;
    assert_eq!(rows(&view.borrow().clone()).await, source.rows);
    assert_proved(&shop, dir.path(), 1).await;
    let store = Location::folder(dir.path()).expect("a folder");
    let archive = Archive::read(&shop.topic, &store).await.expect("read").expect("an archive");
    let frame = read_session(1).read_table(archive.provider().await.expect("rows")).expect("a table");
    let verdicts = frame.select_columns(&[archive_columns::VERDICT]).expect("a column").collect().await.expect("rows");
    let refused = verdicts.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten());
    assert_eq!(refused.filter(|verdict| *verdict == "recusada").count(), 4);
}
