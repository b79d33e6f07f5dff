//! A shop of one topic on a broker in memory, and a follower that hears what its stream shows
//! when a test says so.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_connect::Lookups;
use vitral_connect::memory::{MemoryBroker, MemoryMessage};
use vitral_follow::{Follower, LiveStates, NotLive};
use vitral_panes::view::{View, ViewReceiver};
use vitral_query::remote::{Encoder, LivePart};
use vitral_schemas::health::Bounds;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::SystemClock;
use vitral_store::{Location, read_session};
use vitral_stream::{StreamConfig, StreamHandle, StreamTelemetry, pipeline};

const PATIENCE: Duration = Duration::from_secs(60);
/// 2025-05-14T12:00:00Z.
const NOON_MS: i64 = 1_747_224_000_000;
const SQL: &str = "CREATE TABLE eventos (p TEXT NOT NULL, n BIGINT, id TEXT, t TIMESTAMP NOT NULL)
    WITH (connector = 'kafka', topic = 'eventos', event_time = 't', event_id = 'id', watermark = '1 second', lateness = '1 minute');
CREATE MATERIALIZED VIEW contagem AS
    SELECT tumble(INTERVAL '1 minute') AS janela, p, count(*) AS n, count(DISTINCT id) AS ids FROM eventos GROUP BY janela, p;
CREATE MATERIALIZED VIEW sessoes AS
    SELECT session(INTERVAL '10 seconds', p) AS janela, p, count(*) AS eventos FROM eventos GROUP BY janela, p;
CREATE MATERIALIZED VIEW por_produto AS SELECT p, count(*) AS vezes, max(t) AS ate FROM eventos GROUP BY p;\n";

pub struct Shop {
    pub catalog: Arc<Catalog>,
    broker: MemoryBroker,
}

impl Shop {
    pub fn new() -> Self {
        let broker = MemoryBroker::new();
        broker.create_topic("eventos", 1);
        Self { catalog: Self::catalog_with(str::to_owned), broker }
    }

    /// A catalog whose text was changed.
    pub fn catalog_with(change: impl Fn(&str) -> String) -> Arc<Catalog> {
        let file = SourceFile { path: "a.sql".to_owned(), text: change(SQL) };
        Arc::new(Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog"))
    }

    pub fn start(&self, dir: &Path) -> (StreamHandle, ViewReceiver) {
        let (sender, view) = tokio::sync::watch::channel(Arc::new(View::default()));
        let config = StreamConfig {
            commit_interval: Duration::from_millis(100),
            live_refresh: Duration::from_millis(10),
            ..StreamConfig::new(Location::folder(dir).expect("a folder"))
        };
        let context = pipeline::Context {
            config,
            connector: Arc::new(self.broker.clone()),
            lookups: Lookups::default(),
            row_sinks: BTreeMap::new(),
            catalog: Arc::clone(&self.catalog),
            settings: DomainSettings::default(),
            clock: Arc::new(SystemClock),
            view: sender,
            telemetry: StreamTelemetry::register(&mut Registry::default()),
            runtime: tokio::runtime::Handle::current(),
        };
        (vitral_stream::start(context, self.catalog.topics[0].clone()).expect("started"), view)
    }

    /// Events of four products in turn, six of each, seven seconds apart.
    pub fn produce(&self, ids: Range<usize>) {
        let messages = ids.map(|id| {
            let time_ms = NOON_MS + i64::try_from(id).expect("a time") * 7_000;
            let time = chrono_text(time_ms);
            let text = format!(r#"{{"p":"p{}","n":{},"id":"e{id}","t":"{time}"}}"#, id / 6 % 4, id % 3);
            MemoryMessage::new(text.as_bytes())
        });
        self.broker.append_all("eventos", PartitionId(0), messages).expect("appended");
    }
}

fn chrono_text(ms: i64) -> String {
    vitral_query::utc_text(ms * 1_000).expect("a time")
}

pub async fn end(mut stream: StreamHandle) {
    stream.stop();
    stream.finished().await.expect("an ordered end");
}

pub async fn wait_until(view: &mut ViewReceiver, done: impl Fn(&View) -> bool) {
    let waited = tokio::time::timeout(PATIENCE, view.wait_for(|view| done(view))).await;
    waited.expect("in time").expect("the stream goes on");
}

/// A stream whose view travels as bytes, once for each turn.
struct Wire {
    said: Arc<Mutex<Said>>,
    encoder: Encoder,
    turns: mpsc::Receiver<()>,
    number: u64,
}

struct Said {
    view: ViewReceiver,
    failure: Option<NotLive>,
    described: Option<Arc<View>>,
}

#[async_trait]
impl LiveStates for Wire {
    async fn next(&mut self, _known: Option<&str>) -> Result<Option<LivePart>, NotLive> {
        if self.turns.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        let (mut view, failure) = {
            let said = self.said.lock().expect("no panic");
            (said.view.clone(), said.failure.clone())
        };
        if let Some(failure) = failure {
            return Err(failure);
        }
        let view = view.wait_for(|view| view.ready).await.expect("the stream runs").clone();
        self.number += 1;
        let bytes = self.encoder.encode(&view, self.number.to_string()).await.expect("bytes");
        self.said.lock().expect("no panic").described = Some(view);
        Ok(Some(LivePart::read(&bytes).expect("a part")))
    }
}

/// A follower at the other end.
pub struct Wired {
    said: Arc<Mutex<Said>>,
    turn: mpsc::Sender<()>,
    shown: ViewReceiver,
    following: JoinHandle<()>,
}

impl Drop for Wired {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Wired {
    /// Of a stream with the shop's catalog, by a process with this one.
    pub fn start(shop: &Shop, catalog: &Catalog, dir: &Path, view: ViewReceiver) -> Self {
        let settings = DomainSettings::default();
        let bounds = Bounds { commit: PATIENCE, still: PATIENCE };
        let encoder = Encoder::new(&shop.catalog, &settings, bounds, 64 << 20).expect("an encoder");
        let said = Arc::new(Mutex::new(Said { view, failure: None, described: None }));
        let (turn, turns) = mpsc::channel(1);
        let wire = Wire { said: Arc::clone(&said), encoder, turns, number: 0 };
        let store = Location::folder(dir).expect("a folder");
        let follower = Follower::new(catalog, &settings, &store, Box::new(wire), Arc::new(SystemClock));
        let (mut follower, shown) = follower.expect("a follower");
        let following = tokio::spawn(async move { follower.run().await });
        Self { said, turn, shown, following }
    }

    pub fn fail(&self, failure: Option<NotLive>) {
        self.said.lock().expect("no panic").failure = failure;
    }

    pub fn follow(&self, view: ViewReceiver) {
        self.said.lock().expect("no panic").view = view;
    }

    pub fn stream_view(&self) -> ViewReceiver {
        self.said.lock().expect("no panic").view.clone()
    }

    pub fn view(&self) -> Arc<View> {
        self.shown.borrow().clone()
    }

    /// What is shown after the next answer of the stream, and the view that it was.
    pub async fn turn(&mut self) -> (Arc<View>, Option<Arc<View>>) {
        self.turn.send(()).await.expect("it follows");
        tokio::time::timeout(PATIENCE, self.shown.changed()).await.expect("in time").expect("it shows");
        let shown = self.shown.borrow_and_update().clone();
        (shown, self.said.lock().expect("no panic").described.take())
    }
}

async fn rows(table: &Arc<dyn TableProvider>) -> Vec<RecordBatch> {
    read_session(1).read_table(Arc::clone(table)).expect("a table").collect().await.expect("its rows")
}

fn texts(batches: &[RecordBatch], columns: &[String]) -> Vec<String> {
    let text = |batch: &RecordBatch, row: usize| {
        let values = columns.iter().map(|name| {
            let column = batch.column_by_name(name).expect("the column");
            match column.data_type() {
                DataType::Timestamp(..) => column.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
                _ => array_value_to_string(column, row).expect("a text"),
            }
        });
        values.collect::<Vec<_>>().join("|")
    };
    let mut texts: Vec<_> =
        batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| text(batch, row))).collect();
    texts.sort_unstable();
    texts
}

/// How many rows of the topic count.
pub async fn count(view: &View) -> u64 {
    let topic = &view.topics["eventos"];
    let archived = rows(&topic.archive).await;
    let verdicts = archived
        .iter()
        .flat_map(|batch| batch.column_by_name("_veredito").expect("the verdict").as_string::<i32>().iter().flatten());
    let counted = verdicts.filter(|verdict| *verdict == "contada").count();
    (counted + topic.tail.iter().map(RecordBatch::num_rows).sum::<usize>()) as u64
}

/// All rows of a view, and what it says of them.
pub async fn picture(view: &View) -> BTreeMap<String, Vec<String>> {
    let mut picture = BTreeMap::new();
    for (name, topic) in &view.topics {
        let columns: Vec<String> = ["p", "n", "id", "t"].map(str::to_owned).into();
        let archive = rows(&topic.archive).await;
        picture.insert(format!("{name} archive"), texts(&archive, &columns));
        picture.insert(format!("{name} tail"), texts(&topic.tail, &columns));
        picture.insert(format!("{name} completeness"), vec![format!("{:?}", topic.completeness)]);
    }
    for (name, metric) in &view.metrics {
        let columns: Vec<String> = metric.schema.fields().iter().map(|field| field.name().clone()).collect();
        let open: Vec<RecordBatch> = metric.open.rows().values().cloned().collect();
        picture.insert(format!("{name} published"), texts(&rows(&metric.published).await, &columns));
        picture.insert(format!("{name} open"), texts(&open, &columns));
        let said = (metric.published_through_ms, metric.failure(), &metric.completeness, &metric.window);
        picture.insert(format!("{name} said"), vec![format!("{said:?}")]);
    }
    for (name, table) in &view.keyed {
        let batches = rows(&table.rows).await;
        let columns: Vec<String> = table
            .rows
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .filter(|name| name != "atualizado")
            .collect();
        picture.insert(name.clone(), texts(&batches, &columns));
        let said = (&table.keys, &table.through, table.since_ms, &table.failure);
        picture.insert(format!("{name} said"), vec![format!("{said:?}")]);
    }
    picture.insert("watermarks".to_owned(), vec![format!("{:?}", view.committed_watermarks)]);
    picture
}
