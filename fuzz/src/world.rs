//! What targets share: a fixed moment, the built-in catalog, and what a stream shows of some
//! events, final and provisional.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use chrono::DateTime;
use datafusion::catalog::{MemTable, TableProvider};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use vitral_catalog::{Catalog, DomainSettings};
use vitral_connect::memory::{MemoryBroker, MemoryMessage};
use vitral_panes::view::View;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::ManualClock;
use vitral_schemas::topic::Topic;
use vitral_store::{Location, read_session};
use vitral_stream::{StreamConfig, StreamTelemetry, pipeline};

/// 2025-05-14T22:30:00Z
pub const NOW_MS: i64 = 1_747_261_800_000;
const PATIENCE: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_millis(100);

/// The built-in catalog.
pub static CATALOG: LazyLock<Arc<Catalog>> =
    LazyLock::new(|| Arc::new(Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog")));

/// Three hours of events: what is older than one is final.
fn events() -> Vec<String> {
    let kinds = ["clique", "visualizacao", "adicao_carrinho", "inicio_checkout", "compra", "compra", "reembolso"];
    let regions = ["Sul", "São Paulo", "", "Norte & \\\"Nordeste\\\""];
    let currencies = ["BRL", "BRL", "USD"];
    let count = 90;
    let event = |index: usize| {
        let at = NOW_MS - 2 * 60_000 * (count - index) as i64;
        let time = DateTime::from_timestamp_millis(at).expect("a time").to_rfc3339();
        format!(
            r#"{{"id_usuario":"u{}","tipo_evento":"{}","id_produto":"p{}","id_pedido":"o{index}","timestamp":"{time}","id_evento":"e{index}","preco":"{}.{:02}","quantidade":{},"regiao":"{}","categoria":"c{}","moeda":"{}"}}"#,
            index % 7,
            kinds[index % kinds.len()],
            index % 5,
            index % 40,
            index % 100,
            1 + index % 3,
            regions[index % regions.len()],
            index % 2,
            currencies[index % currencies.len()],
        )
    };
    let mut events: Vec<String> = (0..count).map(event).collect();
    // The ledger has rows too.
    events.push(events[count - 1].clone());
    events.extend(["{".to_owned(), r#"{"id_usuario":"u1","tipo_evento":"clique","timestamp":"ontem"}"#.to_owned()]);
    events
}

/// What a stream shows once it has read all events; nothing lies in files.
pub async fn frozen_view() -> View {
    let catalog = Arc::clone(&CATALOG);
    let topic = catalog.topics[0].clone();
    let broker = MemoryBroker::new();
    for topic in &catalog.topics {
        broker.create_topic(&topic.kafka_topic, 1);
    }
    let events = events();
    let messages = events.iter().map(|event| MemoryMessage::new(event.as_bytes()));
    broker.append_all(&topic.kafka_topic, PartitionId(0), messages).expect("appended");

    let dir = tempfile::tempdir().expect("a folder");
    let (sender, mut view) = watch::channel(Arc::new(View::default()));
    let context = pipeline::Context {
        config: StreamConfig {
            commit_interval: WAIT,
            ..StreamConfig::new(Location::folder(dir.path()).expect("a folder"))
        },
        connector: Arc::new(broker),
        lookups: Default::default(),
        row_sinks: Default::default(),
        catalog: Arc::clone(&catalog),
        settings: DomainSettings::default(),
        clock: Arc::new(ManualClock::new(NOW_MS)),
        view: sender,
        telemetry: StreamTelemetry::register(&mut Registry::default()),
        runtime: tokio::runtime::Handle::current(),
    };
    let start = |topic: &Topic| vitral_stream::start(context.clone(), topic.clone()).expect("a stream");
    let streams: Vec<_> = catalog.topics.iter().map(start).collect();
    let began = Instant::now();
    while !is_whole(&view.borrow_and_update(), events.len() as u64) {
        assert!(began.elapsed() < PATIENCE, "the stream has not read its events");
        // Only a view that never comes runs into the time limit.
        let _ = tokio::time::timeout(WAIT, view.changed()).await;
    }
    for mut stream in streams {
        stream.stop();
        stream.finished().await.expect("an ordered end");
    }
    let mut frozen = View::clone(&view.borrow());
    for topic in frozen.topics.values_mut() {
        topic.archive = in_memory(&topic.archive).await;
    }
    for metric in frozen.metrics.values_mut() {
        metric.published = in_memory(&metric.published).await;
    }
    for table in frozen.keyed.values_mut() {
        table.rows = in_memory(&table.rows).await;
    }
    frozen
}

/// All events are read, and windows are published.
fn is_whole(view: &View, events: u64) -> bool {
    view.ready
        && view.keyed.len() == CATALOG.keyed.len()
        && view.topics.values().any(|topic| topic.completeness.read == events)
        && view.metrics.values().all(|metric| metric.published_through_ms.is_some())
}

async fn in_memory(table: &Arc<dyn TableProvider>) -> Arc<dyn TableProvider> {
    let frame = read_session(1).read_table(Arc::clone(table)).expect("a table");
    let rows = frame.collect().await.expect("its rows");
    Arc::new(MemTable::try_new(table.schema(), vec![rows]).expect("a table"))
}
