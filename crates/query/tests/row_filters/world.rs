//! A catalog and rows of several tenants, as a stream would show them: of all tenants, or of one
//! alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Field, SchemaRef, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use vitral_catalog::{Catalog, DomainSettings, Metric, ReadStatement, SourceFile};
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::open_windows::OpenWindows;
use vitral_panes::plan::MetricPlan;
use vitral_panes::split_by_window;
use vitral_panes::state::{MetricPanes, pane_column};
use vitral_panes::view::{Completeness, KeyedTableView, MetricView, TopicView, View};
use vitral_query::{Limits, Principal, QueryError, ReadPoint, Reader, References, RowFilters, Scopes};
use vitral_schemas::position::PartitionId;
use vitral_store::Histories;

const CATALOG: &str = include_str!("catalog.sql");
pub const MINUTE_MS: i64 = 60_000;
/// When the first event was.
pub const START_MS: i64 = 1_747_224_000_000;
/// Windows from here on are open.
const OPEN_MS: i64 = START_MS + 7 * MINUTE_MS;
pub const NOW_MS: i64 = START_MS + 60 * MINUTE_MS;
const DAY_MS: i64 = 86_400_000;

pub struct World {
    pub reader: Reader,
    pub view: Arc<View>,
    histories: Arc<Histories>,
    settings: DomainSettings,
    pub catalog: Arc<Catalog>,
    _references: tempfile::TempDir,
}

/// An event, and where it lies.
#[derive(Debug, Clone)]
struct Row {
    tenant: Option<&'static str>,
    user: String,
    product: String,
    value: Option<i64>,
    text: String,
    micros: i64,
    place: Place,
    verdict: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Archive,
    Tail,
    History,
}

/// The same numbers in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, end: usize) -> usize {
        // Steele and Vigna's SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("it is small")
    }

    pub fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// Events of all tenants. What others have is made to betray itself: only they have the value 13,
/// and texts that are not numbers.
fn rows() -> Vec<Row> {
    let mut numbers = Numbers(17);
    let row = |index: usize| {
        let tenant =
            numbers.one_of(&[Some("A"), Some("A"), Some("B"), Some("B"), Some("C"), Some("a"), Some("A "), None]);
        let is_own = tenant == Some("A");
        let value = match numbers.below(12) {
            0 => None,
            1 | 2 if !is_own => Some(13),
            other => Some(i64::try_from(other * 7).expect("it is small") + 20),
        };
        // The last windows are of others alone.
        let minute = numbers.below(if is_own { 9 } else { 12 });
        let second = numbers.below(60);
        let at_ms = START_MS + i64::try_from(minute * 60 + second).expect("it is small") * 1_000;
        let place = match numbers.below(5) {
            0 => Place::History,
            1 => Place::Tail,
            _ => Place::Archive,
        };
        let is_counted = place == Place::Tail || numbers.below(6) > 0;
        Row {
            tenant,
            user: format!("u{}", numbers.below(9)),
            product: format!("p{}", numbers.below(5)),
            value,
            text: if is_own { numbers.below(99).to_string() } else { format!("segredo de {tenant:?}") },
            micros: at_ms * 1_000 + i64::try_from(index).expect("it is small"),
            place,
            verdict: if is_counted { "contada" } else { "duplicada" },
        }
    };
    (0..600).map(row).collect()
}

fn column(field: &Field, rows: &[&Row]) -> ArrayRef {
    let texts =
        |text: &dyn Fn(&Row) -> Option<String>| Arc::new(rows.iter().map(|row| text(row)).collect::<StringArray>());
    let times = || TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.micros)).with_timezone("UTC");
    let numbers = || Int64Array::from_iter_values(0..rows.len() as i64);
    match field.name().as_str() {
        "inquilino" => texts(&|row| row.tenant.map(str::to_owned)),
        "id_usuario" => texts(&|row| Some(row.user.clone())),
        "produto" => texts(&|row| Some(row.product.clone())),
        "texto" => texts(&|row| Some(row.text.clone())),
        "valor" => Arc::new(rows.iter().map(|row| row.value).collect::<Int64Array>()),
        "quando" | "_chegada" => Arc::new(times()),
        "_veredito" => texts(&|row| Some(row.verdict.to_owned())),
        "_log" | "_importacao" | "_arquivo" => texts(&|_| Some("x".to_owned())),
        "_particao" => Arc::new(Int32Array::from(vec![0; rows.len()])),
        "_deslocamento" | "_linha" | "_sequencia" => Arc::new(numbers()),
        _ => new_null_array(field.data_type(), rows.len()),
    }
}

fn batch(schema: &SchemaRef, rows: &[&Row]) -> RecordBatch {
    let columns = schema.fields().iter().map(|field| column(field, rows));
    RecordBatch::try_new(Arc::clone(schema), columns.collect()).expect("rows")
}

/// In two parts, as tables have several files.
fn table(rows: RecordBatch) -> Arc<dyn TableProvider> {
    let half = rows.num_rows() / 2;
    let parts = vec![vec![rows.slice(0, half)], vec![rows.slice(half, rows.num_rows() - half)]];
    Arc::new(MemTable::try_new(rows.schema(), parts).expect("a table"))
}

impl World {
    /// With the rows of this tenant alone, or of all.
    pub async fn of(tenant: Option<&str>) -> Self {
        let settings = DomainSettings::default();
        let file = SourceFile { path: "catalog.sql".into(), text: CATALOG.into() };
        let catalog = Arc::new(Catalog::parse(&[vec![file]], &settings).expect("a catalog"));
        let all = rows();
        let rows: Vec<&Row> = all.iter().filter(|row| tenant.is_none() || row.tenant == tenant).collect();
        let references = references(tenant);
        let reader = References::new(references.path().to_owned());
        let limits = Limits { memory_bytes: 512 << 20, ..Limits::default() };
        let reader = Reader::stored(Arc::clone(&catalog), reader, limits).expect("a reader");
        let (view, histories) = views(&catalog, &settings, &rows).await;
        let (view, histories) = (Arc::new(view), Arc::new(histories));
        Self { reader, view, histories, settings, catalog, _references: references }
    }

    pub fn point(&self, principal: &Principal) -> ReadPoint {
        let histories = Arc::clone(&self.histories);
        ReadPoint { histories, ..ReadPoint::new(principal.clone(), Arc::clone(&self.view), NOW_MS) }
    }

    /// The rows of a statement of this principal as texts, in the order of these.
    pub async fn ask(&self, principal: &Principal, sql: &str) -> Result<Vec<String>, QueryError> {
        let ReadStatement { query, position } = ReadStatement::parse(sql, &self.settings).expect(sql);
        let needs = self.reader.needs_of(principal, &query, &position)?;
        let planned = self.reader.plan_statement(&self.point(principal), &query, &needs, &position).await?;
        let batches: Vec<RecordBatch> = planned.run(&position).await?.try_collect().await?;
        Ok(texts(&batches))
    }
}

pub fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let mut texts = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| match column.is_null(row) {
                true => "NULL".to_owned(),
                false => array_value_to_string(column, row).expect("a text"),
            });
            texts.push(values.collect::<Vec<_>>().join("|"));
        }
    }
    texts.sort();
    texts
}

/// One who may read everything, of this tenant.
pub fn tenant(name: &str) -> Principal {
    of_tenant(name, [Scopes::READ_ALL].into_iter().collect())
}

pub fn of_tenant(name: &str, scopes: Scopes) -> Principal {
    let filters: RowFilters = [("inquilino".to_owned(), [name.to_owned()].into())].into_iter().collect();
    Principal::new(name, scopes, filters)
}

fn references(tenant: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let all = [("A", "Santos"), ("A", "Lages"), ("B", "segredo"), ("C", "segredo")];
    let lines = all.iter().filter(|(of, _)| tenant.is_none_or(|tenant| tenant == *of));
    let lines: String = lines.map(|(of, town)| format!("{of},{town}\n")).collect();
    std::fs::write(folder.path().join("lojas.csv"), format!("inquilino,cidade\n{lines}")).expect("written");
    std::fs::write(folder.path().join("produtos.csv"), "produto,nome\np1,Caneca\n").expect("written");
    folder
}

async fn views(catalog: &Catalog, settings: &DomainSettings, rows: &[&Row]) -> (View, Histories) {
    let mut view = View { ready: true, ..View::default() };
    let mut histories = Histories::default();
    for topic in &catalog.topics {
        let rows = if topic.name == "eventos" { rows } else { &[] };
        let at = |place: Place| rows.iter().filter(|row| row.place == place).copied().collect::<Vec<_>>();
        let archive = table(batch(&topic.archive_schema(), &at(Place::Archive)));
        let tail = Arc::from([batch(&topic.schema(), &at(Place::Tail))]);
        let completeness = Completeness::default();
        view.topics.insert(topic.name.clone(), TopicView { archive, tail, completeness });
        histories.set(&topic.name, Some(table(batch(&topic.history_schema(), &at(Place::History)))));
    }
    let topic = catalog.topic("eventos").expect("a topic");
    // Metrics are of messages alone.
    let is_message = |row: &&&Row| row.verdict == "contada" && row.place != Place::History;
    let messages = batch(&topic.schema(), &rows.iter().filter(is_message).copied().collect::<Vec<_>>());
    for metric in &catalog.metrics {
        view.metrics.insert(metric.name.clone(), metric_view(metric, catalog, settings, &messages));
    }
    let context = SessionContext::new();
    context.register_table("eventos", table(messages)).expect("a table");
    for (name, sql) in [
        (
            "por_usuario",
            "SELECT inquilino, id_usuario, count(*) AS n, sum(valor) AS total, max(quando) AS atualizado
            FROM eventos WHERE inquilino IS NOT NULL GROUP BY inquilino, id_usuario",
        ),
        (
            "ultimo",
            "SELECT id_usuario, max(inquilino) AS inquilino, max(quando) AS atualizado FROM eventos GROUP BY id_usuario",
        ),
    ] {
        let rows = context.sql(sql).await.expect(name).collect().await.expect(name);
        let rows = concat_batches(&rows[0].schema(), &rows).expect("rows");
        let keys = catalog.keyed_view(name).expect("a table").keys.clone();
        let (topic, rows, through) = ("eventos".to_owned(), table(rows), Arc::default());
        view.keyed
            .insert(name.to_owned(), KeyedTableView { topic, keys, rows, through, since_ms: None, failure: None });
    }
    (view, histories)
}

/// Folded as a stream folds it; the older windows are published.
fn metric_view(metric: &Metric, catalog: &Catalog, settings: &DomainSettings, events: &RecordBatch) -> MetricView {
    let session = engine_session(EngineConfig::default()).expect("a session");
    let topic = catalog.topic(&metric.topic).expect("a topic");
    let plan = Arc::new(MetricPlan::new(metric, topic, settings, &session).expect("a plan"));
    let mut panes = MetricPanes::new(Arc::clone(&plan), &session.runtime_env().memory_pool, 64 << 20);
    let times = events.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
    panes.fold(PartitionId(0), events, &pane_column(&plan.windows, times)).expect("folded");
    let schema = Arc::clone(plan.rows_schema());
    let rows = concat_batches(&schema, &panes.rows_of(|_| true).expect("rows")).expect("rows");
    let starts = rows.column(0).as_primitive::<TimestampMicrosecondType>().values();
    let is_open: BooleanArray = starts.iter().map(|start| Some(*start >= OPEN_MS * 1_000)).collect();
    let is_published: BooleanArray = is_open.values().iter().map(|is_open| Some(!is_open)).collect();
    let open = filter_record_batch(&rows, &is_open).expect("rows");
    let open = match metric.window.session_gap_micros() {
        None => split_by_window(&open).expect("windows"),
        // They are kept by day.
        Some(_) => BTreeMap::from([(OPEN_MS - OPEN_MS.rem_euclid(DAY_MS), open)]),
    };
    MetricView {
        topic: metric.topic.clone(),
        window: metric.window,
        published: table(filter_record_batch(&rows, &is_published).expect("rows")),
        schema,
        published_through_ms: Some(OPEN_MS),
        open: Arc::new(OpenWindows::of_rows(open)),
        open_at_commit: None,
        completeness: Completeness::default(),
        failure: None,
    }
}

/// A column of rows as texts.
pub fn column_of(rows: &RecordBatch, name: &str) -> Vec<String> {
    let column = rows.column_by_name(name).expect(name);
    (0..rows.num_rows()).map(|row| array_value_to_string(column, row).expect("a text")).collect()
}
