//! A topic loses columns, renames them and gives them back, and its archive goes on with every
//! value that it had.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::{ident, lit};
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Verdict;
use vitral_store::archive::{ArchiveBatch, Limits, retain};
use vitral_store::{Advance, Archive, ArchiveCommit, Drift, Location, StoreError, read_session};

fn topic(columns: &str) -> Topic {
    let text = format!(
        "CREATE TABLE ev (t TIMESTAMP NOT NULL{columns}) WITH (connector = 'kafka', event_time = 't', raw = 'keep');"
    );
    let file = SourceFile { path: "a.sql".into(), text };
    Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog").topics.remove(0)
}

async fn open(topic: &Topic, place: &Location) -> Archive {
    Archive::open(topic, "log", [PartitionId(0)], place).await.expect("opened")
}

/// Offsets of partition 0, one for each second; every column of the topic that is a text has its
/// own name.
async fn add(archive: &mut Archive, topic: &Topic, offsets: Range<i64>) {
    let schema = topic.archive_schema();
    let count = offsets.clone().count();
    let times = TimestampMicrosecondArray::from_iter_values(offsets.clone().map(|n| n * 1_000_000));
    let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![0; count])),
        Arc::new(Int64Array::from_iter_values(offsets.clone())),
        Arc::new(Int64Array::from(vec![None::<i64>; count])),
        Arc::clone(&times),
        Arc::new(StringArray::from(vec!["log"; count])),
        Arc::new(StringArray::from(vec![Verdict::Late.name(); count])),
    ];
    for field in &schema.fields()[columns.len()..] {
        let is_text = topic.columns.iter().any(|column| column.name == *field.name() && column.name != "t");
        columns.push(match field.name().as_str() {
            "t" => Arc::clone(&times),
            name if is_text => Arc::new(StringArray::from(vec![name; count])),
            _ => new_null_array(field.data_type(), count),
        });
    }
    let from = archive.next_offsets().get(&PartitionId(0)).copied();
    let advance = Advance { from, to: Offset(offsets.end) };
    let commit = ArchiveCommit {
        rows: vec![RecordBatch::try_new(schema, columns).expect("the archive's schema")],
        offsets: BTreeMap::from([(PartitionId(0), advance)]),
        token: offsets.end,
        ..ArchiveCommit::default()
    };
    archive.commit(&commit).await.expect("committed");
}

/// A column by offset.
async fn values(provider: Arc<dyn TableProvider>, column: &str) -> Vec<(i64, Option<String>)> {
    let columns = vec![ident("_deslocamento"), ident(column)];
    let frame = read_session(1).read_table(provider).expect("a frame").select(columns).expect("the columns");
    let batches = frame.sort_by(vec![ident("_deslocamento")]).expect("sorted").collect().await.expect("rows");
    let rows = concat_batches(&batches[0].schema(), &batches).expect("one batch");
    let texts = arrow::compute::cast(rows.column(1), &arrow::datatypes::DataType::Utf8).expect("texts");
    let offsets = rows.column(0).as_primitive::<Int64Type>().values().iter().copied();
    offsets.zip(texts.as_string::<i32>().iter().map(|text| text.map(str::to_owned))).collect()
}

async fn stored(topic: &Topic, place: &Location, column: &str) -> Vec<Option<String>> {
    let reader = Archive::read(topic, place).await.expect("read").expect("an archive");
    values(reader.provider().await.expect("rows"), column).await.into_iter().map(|(_, value)| value).collect()
}

fn texts<const N: usize>(texts: [Option<&str>; N]) -> Vec<Option<String>> {
    texts.map(|text| text.map(str::to_owned)).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_column_is_kept_and_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Location::folder(dir.path()).expect("a place");
    let (with, renamed, without) = (topic(", seg TEXT"), topic(", segmento TEXT"), topic(""));
    add(&mut open(&with, &place).await, &with, 0..1).await;
    add(&mut open(&renamed, &place).await, &renamed, 1..2).await;
    let mut stream = open(&without, &place).await;
    add(&mut stream, &without, 2..3).await;
    add(&mut stream, &without, 3..4).await;
    let drift = Drift::of(&without, &place).await.expect("compared");
    assert_eq!(drift.kept.iter().map(String::as_str).collect::<Vec<_>>(), ["seg", "segmento"]);
    assert!(drift.retyped.is_empty() && drift.needed.is_empty(), "{drift:?}");
    assert_eq!(stored(&without, &place, "seg").await, texts([Some("seg"), None, None, None]));
    add(&mut open(&with, &place).await, &with, 4..5).await;
    assert_eq!(stored(&with, &place, "seg").await, texts([Some("seg"), None, None, None, Some("seg")]));
    assert_eq!(stored(&with, &place, "segmento").await, texts([None, Some("segmento"), None, None, None]));
}

#[tokio::test(flavor = "multi_thread")]
async fn replayed_rows_keep_what_they_have_in_dropped_columns() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Location::folder(dir.path()).expect("a place");
    let (with, without) = (topic(", seg TEXT"), topic(""));
    add(&mut open(&with, &place).await, &with, 0..3).await;
    add(&mut open(&without, &place).await, &without, 3..4).await;
    let mut reader = Archive::read(&without, &place).await.expect("read").expect("an archive");
    let wanted = ident("_deslocamento").gt(lit(0_i64));
    let rows = reader.replayable(wanted).await.expect("rows");
    let rows = concat_batches(&without.archive_schema(), &rows).expect("one batch");
    let rows = ArchiveBatch::new(&without, rows).expect("the schema").in_offset_order().expect("in order");
    let counted = rows.with_verdicts(&[Verdict::Counted; 3], rows.columns()).expect("as many");
    reader.replay(counted).await.expect("replayed");
    assert_eq!(stored(&without, &place, "seg").await, texts([Some("seg"), Some("seg"), Some("seg"), None]));
    let (late, counted) = (Some(Verdict::Late.name()), Some(Verdict::Counted.name()));
    assert_eq!(stored(&without, &place, "_veredito").await, texts([late, counted, counted, counted]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_become_cold_keep_their_dropped_columns() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Location::folder(dir.path()).expect("a place");
    let (with, without) = (topic(", seg TEXT"), topic(""));
    let limits = |hot_s: i64| Limits { hot_ms: hot_s * 1_000, cold_ms: None, now_ms: 200_000 };
    add(&mut open(&with, &place).await, &with, 0..2).await;
    let moved =
        async |topic: &Topic, hot_s| retain(topic, &place, limits(hot_s)).await.expect("moved").expect("a run").moved;
    assert_eq!(moved(&with, 1).await, 1);
    add(&mut open(&without, &place).await, &without, 2..4).await;
    assert_eq!(moved(&without, 3).await, 2);
    assert_eq!(stored(&without, &place, "seg").await, texts([Some("seg"), Some("seg"), None, None]));
    assert_eq!(stored(&with, &place, "seg").await, texts([Some("seg"), Some("seg"), None, None]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_another_type_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Location::folder(dir.path()).expect("a place");
    let (with, other) = (topic(", seg TEXT"), topic(", seg BIGINT"));
    add(&mut open(&with, &place).await, &with, 0..1).await;
    let error = Archive::open(&other, "log", [PartitionId(0)], &place).await.expect_err("another type");
    assert!(matches!(&error, StoreError::Incompatible { .. }), "{error:?}");
    assert!(error.to_string().contains("column seg of table ev is TEXT there and BIGINT in the catalog"), "{error}");
    let drift = Drift::of(&other, &place).await.expect("compared");
    assert_eq!(drift.retyped, BTreeMap::from([("seg".to_owned(), ("TEXT".to_owned(), "BIGINT".to_owned()))]));
}
