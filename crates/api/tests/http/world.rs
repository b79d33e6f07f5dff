//! A shop for the tests: its catalog, its events and windows by hand, and a router over them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BinaryArray, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use chrono::{DateTime, Utc};
use datafusion::catalog::{MemTable, TableProvider};
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use vitral_api::{ApiConfig, ApiInputs, ServeConfig, Telemetry};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_panes::open_windows::OpenWindows;
use vitral_panes::view::{Completeness, Live, LookupCompleteness, MetricView, TopicView, View, ViewSender};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::PartitionId;
use vitral_schemas::reconciliation;
use vitral_schemas::time::ManualClock;
use vitral_schemas::topic::{Topic, timestamp_type};
use vitral_store::Histories;

/// The wall clock of every test.
pub const NOW: &str = "2025-05-14T22:30:30Z";

pub fn ms(text: &str) -> i64 {
    text.parse::<DateTime<Utc>>().expect("a time").timestamp_millis()
}

/// Of the shop's events alone.
pub fn catalog(dir: Option<&Path>) -> Catalog {
    let mut catalog = whole_catalog(dir);
    catalog.topics.retain(|topic| topic.name != "atualizacoes_estoque");
    catalog
}

/// The built-in catalog, read once: some tests look into it at every page.
pub fn built_in() -> &'static Catalog {
    static BUILT_IN: LazyLock<Catalog> =
        LazyLock::new(|| Catalog::load(&[], &DomainSettings::default()).expect("a catalog"));
    &BUILT_IN
}

pub fn whole_catalog(dir: Option<&Path>) -> Catalog {
    let Some(dir) = dir else { return built_in().clone() };
    Catalog::load(&[dir.to_owned()], &DomainSettings::default()).expect("a catalog")
}

pub struct World {
    pub router: Router,
    pub sender: ViewSender,
    pub reconciliations: watch::Sender<Arc<RecordBatch>>,
    pub histories: watch::Sender<Arc<Histories>>,
    pub clock: Arc<ManualClock>,
    pub shutdown: CancellationToken,
    pub telemetry: Telemetry,
    pub files: TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl World {
    pub fn new(view: View) -> Self {
        Self::with(view, catalog(None), |_| {})
    }

    pub fn with(view: View, catalog: Catalog, configure: impl FnOnce(&mut ApiConfig)) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let (sender, view) = watch::channel(Arc::new(view));
        let (reconciliations, found) = watch::channel(nothing_reconciled());
        let (histories, imported) = watch::channel(Arc::default());
        let clock = Arc::new(ManualClock::new(ms(NOW)));
        let shutdown = CancellationToken::new();
        let mut registry = Registry::default();
        let telemetry = Telemetry::register(&mut registry);
        let mut config = ApiConfig::new(DomainSettings::default(), files.path().to_owned());
        configure(&mut config);
        let inputs = ApiInputs {
            catalog: Arc::new(catalog),
            view,
            reconciliations: found,
            histories: imported,
            clock: clock.clone(),
            registry: Arc::new(registry),
            telemetry: telemetry.clone(),
            shutdown: shutdown.clone(),
        };
        let router = vitral_api::router(config, inputs).expect("a router");
        Self { router, sender, reconciliations, histories, clock, shutdown, telemetry, files }
    }

    pub fn show(&self, view: View) {
        self.sender.send_replace(Arc::new(view));
    }

    /// The real listener, with the world's router.
    pub fn serve(
        &self,
        listener: TcpListener,
        config: ServeConfig,
    ) -> impl Future<Output = std::io::Result<()>> + use<> {
        vitral_api::serve(listener, self.router.clone(), config, self.telemetry.clone(), self.shutdown.clone())
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let mut request = request;
        // Every client of this version sends one.
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static("localhost"));
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        Answer { status: head.status, headers: head.headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// The body of an answer that must be good.
    pub async fn body(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    pub async fn json(&self, path: &str) -> serde_json::Value {
        serde_json::from_str(&self.body(path).await).expect("JSON")
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a text"))
    }
}

/// What readers see before the first reconciliation.
pub fn nothing_reconciled() -> Arc<RecordBatch> {
    Arc::new(RecordBatch::new_empty(reconciliation::schema()))
}

/// One event; amounts in cents.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    pub kind: &'static str,
    pub time: &'static str,
    pub product: Option<&'static str>,
    pub order: Option<&'static str>,
    pub quantity: Option<i64>,
    pub price: Option<i128>,
    pub total: Option<i128>,
    pub currency: &'static str,
    pub region: Option<&'static str>,
    pub category: Option<&'static str>,
}

pub const SALE: Event = Event {
    kind: "compra",
    time: "2025-05-14T22:16:00Z",
    product: Some("p1"),
    order: Some("o1"),
    quantity: Some(1),
    price: Some(1000),
    total: None,
    currency: "BRL",
    region: Some("Sul"),
    category: Some("livros"),
};

/// Events in the topic's schema.
pub fn events(topic: &Topic, events: &[Event]) -> RecordBatch {
    let text = |value: fn(&Event) -> Option<&'static str>| -> ArrayRef {
        Arc::new(events.iter().map(value).collect::<StringArray>())
    };
    let money = |value: fn(&Event) -> Option<i128>| -> ArrayRef {
        let cents = events.iter().map(value).collect::<Decimal128Array>();
        Arc::new(cents.with_precision_and_scale(18, 2).expect("money"))
    };
    let column = |name: &str| match name {
        "id_usuario" => text(|_| Some("u1")),
        "tipo_evento" => text(|event| Some(event.kind)),
        "timestamp" => times(events.iter().map(|event| ms(event.time))),
        "id_produto" => text(|event| event.product),
        "id_pedido" => text(|event| event.order),
        "regiao" => text(|event| event.region),
        "categoria" => text(|event| event.category),
        "moeda" => text(|event| Some(event.currency)),
        "quantidade" => Arc::new(events.iter().map(|event| event.quantity).collect::<Int64Array>()),
        "preco" => money(|event| event.price),
        "valor_total" => money(|event| event.total),
        "desconto" => money(|_| None),
        _ => text(|_| None),
    };
    let schema = topic.schema();
    let columns = schema.fields().iter().map(|field| column(field.name())).collect();
    RecordBatch::try_new(schema, columns).expect("events")
}

pub fn times(ms: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(ms.map(|ms| ms * 1000)).with_timezone("UTC"))
}

/// Archived rows with one verdict, texts as views: Delta readers may give them so.
pub fn archived(topic: &Topic, rows: &[Event], verdict: &str) -> RecordBatch {
    let count = rows.len();
    let plain = events(topic, rows);
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![0; count])),
        Arc::new((0..i64::try_from(count).expect("few")).collect::<Int64Array>()),
        Arc::new(Int64Array::from(vec![None; count])),
        times((0..count).map(|_| 0)),
        Arc::new(StringArray::from(vec!["log"; count])),
        Arc::new(StringArray::from(vec![verdict; count])),
        Arc::new(StringArray::from(vec![None::<&str>; count])),
        Arc::new(BinaryArray::from(vec![None; count])),
    ];
    columns.extend(plain.columns().iter().cloned());
    let schema = topic.archive_schema();
    let viewed = |data_type: &DataType| match data_type {
        DataType::Utf8 => DataType::Utf8View,
        other => other.clone(),
    };
    let columns = columns.iter().map(|column| cast(column, &viewed(column.data_type())).expect("a cast")).collect();
    let fields =
        schema.fields().iter().map(|field| Field::new(field.name(), viewed(field.data_type()), field.is_nullable()));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).expect("archived rows")
}

pub fn table(schema: SchemaRef, batches: Vec<RecordBatch>) -> Arc<dyn TableProvider> {
    Arc::new(MemTable::try_new(schema, vec![batches]).expect("a table"))
}

pub fn completeness() -> Completeness {
    let since_ms = Some(ms("2025-05-14T12:00:00.500Z"));
    let looked_up = LookupCompleteness { since_ms, unknown: 3, failed: 2, stale: 1 };
    Completeness {
        watermark: Some(Watermark::from_ms(ms("2025-05-14T22:30:05.500Z"))),
        read: 20,
        counted: 15,
        duplicate: 2,
        late: 1,
        refused: 2,
        skipped: 4,
        lookups: BTreeMap::from([("segmento".to_owned(), looked_up)]),
        idle_partitions: vec![PartitionId(1), PartitionId(3)],
        live: Live::Current,
    }
}

pub fn topic_view(archive: Vec<RecordBatch>, tail: Vec<RecordBatch>) -> TopicView {
    let schema = archive
        .first()
        .map_or_else(|| built_in().topic("eventos_clientes").expect("the topic").archive_schema(), RecordBatch::schema);
    TopicView { archive: table(schema, archive), tail: tail.into(), completeness: completeness() }
}

/// The rows of a metric's windows, in their order.
#[derive(Debug, Clone, Default)]
pub struct Windows {
    pub published: Vec<RecordBatch>,
    pub open: Vec<RecordBatch>,
}

pub fn metric_view(name: &str, schema: SchemaRef, windows: Windows) -> MetricView {
    let metric = built_in().metric(name).expect("the metric");
    let start_ms = |batch: &RecordBatch| {
        let starts = batch.column(0).as_any().downcast_ref::<TimestampMicrosecondArray>().expect("times");
        starts.value(0) / 1000
    };
    let open: BTreeMap<i64, RecordBatch> = windows.open.into_iter().map(|rows| (start_ms(&rows), rows)).collect();
    let last = windows.published.iter().map(start_ms).max();
    let one = concat_batches(&schema, &windows.published).expect("one batch");
    MetricView {
        topic: metric.topic.clone(),
        window: metric.window,
        schema: schema.clone(),
        published: table(schema, vec![one]),
        published_through_ms: last.map(|start| start + 60_000),
        open: Arc::new(OpenWindows::of_rows(open)),
        open_at_commit: None,
        completeness: completeness(),
        failure: None,
    }
}

/// The columns of `produtos_mais_vistos`.
pub fn views_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("janela_inicio", timestamp_type(), false),
        Field::new("janela_fim", timestamp_type(), false),
        Field::new("id_produto", DataType::Utf8, true),
        Field::new("visualizacoes", DataType::Int64, true),
    ]))
}

/// One minute of `produtos_mais_vistos`.
pub fn views(start: &str, products: &[(&str, i64)]) -> RecordBatch {
    let start_ms = ms(start);
    let columns: Vec<ArrayRef> = vec![
        times(products.iter().map(|_| start_ms)),
        times(products.iter().map(|_| start_ms + 60_000)),
        Arc::new(products.iter().map(|(product, _)| Some(*product)).collect::<StringArray>()),
        Arc::new(products.iter().map(|(_, count)| *count).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(views_schema(), columns).expect("rows")
}

/// A view that is ready, with one topic and `produtos_mais_vistos`.
pub fn view_of(topic: TopicView, windows: Windows) -> View {
    let metric = metric_view("produtos_mais_vistos", views_schema(), windows);
    View {
        ready: true,
        topics: [("eventos_clientes".to_owned(), topic)].into(),
        metrics: [("produtos_mais_vistos".to_owned(), metric)].into(),
        ..View::default()
    }
}

pub fn windows_view(published: Vec<RecordBatch>, open: Vec<RecordBatch>) -> View {
    view_of(topic_view(Vec::new(), Vec::new()), Windows { published, open })
}
