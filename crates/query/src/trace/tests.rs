use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, TableProvider};
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_panes::open_windows::OpenWindows;
use vitral_panes::view::{Completeness, KeyedTableView, MetricView, TopicView, View};
use vitral_schemas::topic::Topic;
use vitral_store::Histories;

use super::*;
use crate::limits::Limits;
use crate::principal::{RowFilters, Scopes};
use crate::reference::References;

const SQL: &str = "
CREATE TABLE e (id TEXT, t TIMESTAMP NOT NULL, loja TEXT, n BIGINT)
    WITH (connector = 'kafka', event_time = 't', trace = 'id');
CREATE MATERIALIZED VIEW largas AS
    SELECT hop(INTERVAL '1 minute', INTERVAL '2 minutes') AS janela, upper(loja) AS grande, count(*) AS linhas
    FROM e WHERE n > 1 GROUP BY janela, grande;
CREATE MATERIALIZED VIEW lojas AS SELECT loja, count(*) AS linhas FROM e GROUP BY loja;";
const MINUTE: i64 = 60_000_000;

/// Id, minute, shop and number, with a verdict and, of a refused message, what it says.
type Row = (Option<&'static str>, Option<i64>, Option<&'static str>, i64, &'static str, Option<&'static str>);

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let micros = values.map(|minute| minute.map(|minute| minute * MINUTE)).collect::<TimestampMicrosecondArray>();
    Arc::new(micros.with_timezone("UTC"))
}

fn table(schema: SchemaRef, rows: &[Row]) -> Arc<dyn TableProvider> {
    let column = |name: &str, data_type: &DataType| -> ArrayRef {
        match name {
            "id" => texts(rows.iter().map(|row| row.0)),
            "t" => times(rows.iter().map(|row| row.1)),
            "loja" => texts(rows.iter().map(|row| row.2)),
            "n" => Arc::new(rows.iter().map(|row| Some(row.3)).collect::<Int64Array>()),
            "_veredito" => texts(rows.iter().map(|row| Some(row.4))),
            "_motivo" => texts(rows.iter().map(|row| row.5.map(|_| "tipo"))),
            "_conteudo" if *data_type == DataType::Binary => {
                Arc::new(rows.iter().map(|row| row.5.map(str::as_bytes)).collect::<BinaryArray>())
            }
            "_conteudo" => texts(rows.iter().map(|row| row.5)),
            "_particao" => Arc::new(Int32Array::from(vec![0; rows.len()])),
            "_deslocamento" => Arc::new((0..).take(rows.len()).collect::<Int64Array>()),
            "_chegada" => times(rows.iter().map(|_| Some(9))),
            "_importacao" | "_arquivo" | "_log" => texts(rows.iter().map(|_| Some("i1"))),
            "_linha" | "_sequencia" => Arc::new((1..).take(rows.len()).collect::<Int64Array>()),
            _ => arrow::array::new_null_array(data_type, rows.len()),
        }
    };
    let columns = schema.fields().iter().map(|field| column(field.name(), field.data_type())).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("rows");
    Arc::new(MemTable::try_new(schema, vec![vec![batch]]).expect("a table"))
}

fn memory(columns: Vec<(&str, ArrayRef)>) -> Arc<dyn TableProvider> {
    let fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns).expect("rows");
    Arc::new(MemTable::try_new(schema, vec![vec![rows]]).expect("a table"))
}

/// Of minute 10, two windows of two minutes have the rows of shop A.
fn metric() -> MetricView {
    let rows = memory(vec![
        ("janela_inicio", times([9, 10, 10, 20].into_iter().map(Some))),
        ("janela_fim", times([11, 12, 12, 22].into_iter().map(Some))),
        ("grande", texts([Some("A"), Some("A"), Some("B"), Some("A")].into_iter())),
        ("linhas", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
    ]);
    MetricView {
        topic: "e".to_owned(),
        window: catalog().metric("largas").expect("a metric").window,
        schema: rows.schema(),
        published: rows,
        published_through_ms: None,
        open: Arc::new(OpenWindows::of_rows(std::collections::BTreeMap::new())),
        open_at_commit: None,
        completeness: Completeness::default(),
        failure: None,
    }
}

fn catalog() -> Catalog {
    let file = SourceFile { path: "a.sql".to_owned(), text: SQL.to_owned() };
    Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog")
}

fn point(topic: &Topic, principal: Principal) -> ReadPoint {
    let archived = [
        (Some("a1"), Some(10), Some("a"), 2, "contada", None),
        (Some("a1"), Some(10), Some("b"), 1, "contada", None),
        (Some("a1"), Some(3), Some("a"), 2, "atrasada", None),
        (Some("a12"), Some(10), Some("a"), 2, "contada", None),
        (None, None, None, 0, "recusada", Some(r#"{"id": "a1", "t": 7}"#)),
        (None, None, None, 0, "recusada", Some(r#"{"id": "a12", "outro": "a1"}"#)),
        (None, None, None, 0, "recusada", Some(r#"{"id": "a1", "#)),
    ];
    let imported = [(Some("a1"), Some(10), Some("a"), 2, "contada", None)];
    let archive = table(topic.archive_schema(), &archived);
    let shown = TopicView { archive, tail: Arc::from([]), completeness: Completeness::default() };
    let lojas = memory(vec![
        ("loja", texts([Some("a"), Some("b")].into_iter())),
        ("linhas", Arc::new(Int64Array::from(vec![7, 8]))),
        ("atualizado", times([Some(9), Some(9)].into_iter())),
    ]);
    let keyed = KeyedTableView {
        topic: "e".to_owned(),
        keys: vec!["loja".to_owned()],
        rows: lojas,
        through: Arc::default(),
        since_ms: None,
        failure: None,
    };
    let view = View {
        ready: true,
        topics: [("e".to_owned(), shown)].into(),
        metrics: [("largas".to_owned(), metric())].into(),
        keyed: [("lojas".to_owned(), keyed)].into(),
        ..View::default()
    };
    let mut histories = Histories::default();
    histories.set("e", Some(table(topic.history_schema(), &imported)));
    ReadPoint { histories: Arc::new(histories), ..ReadPoint::new(principal, Arc::new(view), 0) }
}

async fn trace(principal: Principal) -> Result<Trace, QueryError> {
    let catalog = Arc::new(catalog());
    let topic = catalog.topic("e").expect("a topic").clone();
    let reader = Reader::stored(catalog, References::without_rows(), Limits::default()).expect("a reader");
    reader.trace(&point(&topic, principal), "a1").await
}

/// Metric, start of the window and values of each number.
fn described(row: &TracedRow) -> Vec<String> {
    let number = |number: &Number| {
        let start = number.window_start.as_deref().unwrap_or("-");
        format!("{} {start} {}", number.metric, number.values.as_deref().map_or("none", RawValue::get))
    };
    row.numbers.iter().map(number).collect()
}

#[tokio::test]
async fn messages_files_and_refused_ones_are_found() {
    let found = trace(Principal::operator()).await.expect("a trace");
    let rows: Vec<_> = found.rows.iter().map(|row| (row.verdict.as_str(), row.offset, row.import.as_deref())).collect();
    assert_eq!(
        rows,
        [
            ("contada", Some(0), None),
            ("contada", Some(1), None),
            ("atrasada", Some(2), None),
            ("contada", None, Some("i1")),
            ("recusada", Some(4), None),
            ("recusada", Some(6), None),
        ]
    );
    assert!(!found.is_cut);
    // Both windows that its minute is in, and the key that it counts under.
    let shop = r#"lojas - {"linhas":7,"atualizado":"1970-01-01T00:09:00Z"}"#;
    assert_eq!(
        described(&found.rows[0]),
        [r#"largas 1970-01-01T00:09:00Z {"linhas":1}"#, r#"largas 1970-01-01T00:10:00Z {"linhas":2}"#, shop,]
    );
    // Its WHERE leaves this one out.
    assert_eq!(described(&found.rows[1]).len(), 1);
    assert_eq!((described(&found.rows[2]).len(), described(&found.rows[4]).len()), (0, 0));
    // Rows of files are in no window.
    assert_eq!(described(&found.rows[3]), [shop]);
    let fields = found.rows[0].fields.as_deref().map(RawValue::get);
    assert_eq!(fields, Some(r#"{"id":"a1","t":"1970-01-01T00:10:00Z","loja":"a","n":2}"#));
    assert_eq!(found.rows[5].payload.as_deref(), Some(r#"{"id": "a1", "#));
}

#[tokio::test]
async fn within_row_filters_only_ones_own_is_told() {
    let filters = RowFilters::from_iter([("loja".to_owned(), BTreeSet::from(["a".to_owned()]))]);
    let tenant = |scopes: &[&str]| Principal::new("t", scopes.iter().copied().collect::<Scopes>(), filters.clone());
    let found = trace(tenant(&[TRACE_SCOPE])).await.expect("a trace");
    let verdicts: Vec<_> = found.rows.iter().map(|row| row.verdict.as_str()).collect();
    assert_eq!(verdicts, ["contada", "atrasada", "contada"]);
    // The metric's groups are made of several shops, the table's of one each.
    assert_eq!(described(&found.rows[0]).len(), 1);
    assert!(described(&found.rows[0])[0].starts_with("lojas"));
    assert!(matches!(trace(tenant(&["outra:read"])).await, Err(QueryError::Forbidden(_))));
}

#[test]
fn objects_are_whole() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["]["]));
    let row = RecordBatch::try_from_iter([("a", text)]).expect("a row");
    assert_eq!(object(&row).expect("JSON").as_deref().map(RawValue::get), Some(r#"{"a":"]["}"#));
}
