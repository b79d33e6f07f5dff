//! What is old becomes cold, and what is too old is deleted, while readers and the archive's owner
//! find each row once.

#[path = "common/places.rs"]
mod places;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::Int64Type;
use datafusion::logical_expr::lit;
use vitral_catalog::{Catalog, DomainSettings};
use vitral_schemas::event_time::EventTime;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Verdict;
use vitral_store::archive::{Limits, RetentionReport, retain};
use vitral_store::{Advance, Archive, ArchiveCommit, Location, read_session};

use self::places::places;

fn topic() -> Topic {
    Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog").topics.remove(0)
}

/// Offsets of partition 0, one for each second, each counted with its arrival for its event time.
async fn add(archive: &mut Archive, topic: &Topic, offsets: std::ops::Range<i64>) {
    let schema = topic.archive_schema();
    let count = offsets.clone().count();
    let seconds = || {
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(offsets.clone().map(|n| n * 1_000_000)).with_timezone("UTC"),
        )
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![0; count])),
        Arc::new(Int64Array::from_iter_values(offsets.clone())),
        Arc::new(Int64Array::from(vec![None::<i64>; count])),
        seconds(),
        Arc::new(StringArray::from(vec!["log"; count])),
        Arc::new(StringArray::from(vec![Verdict::Counted.name(); count])),
    ];
    let time = topic.columns[topic.event_time].name.as_str();
    let others = schema.fields().iter().skip(columns.len());
    columns.extend(others.map(|field| match field.name() == time {
        true => seconds() as ArrayRef,
        false => new_null_array(field.data_type(), count),
    }));
    let from = archive.next_offsets().get(&PartitionId(0)).copied();
    let commit = ArchiveCommit {
        rows: vec![RecordBatch::try_new(schema, columns).expect("the archive's schema")],
        offsets: BTreeMap::from([(PartitionId(0), Advance { from, to: Offset(offsets.end) })]),
        token: offsets.end,
        ..ArchiveCommit::default()
    };
    // Rows that went away make it look again, as everything does that comes between.
    if archive.commit(&commit).await.is_err() {
        archive.commit(&commit).await.expect("committed");
    }
}

async fn open(topic: &Topic, place: &Location) -> Archive {
    Archive::open(topic, "log", [PartitionId(0)], place).await.expect("opened")
}

async fn offsets(provider: Arc<dyn datafusion::catalog::TableProvider>) -> Vec<i64> {
    let rows = read_session(2).read_table(provider).expect("a frame").collect().await.expect("rows");
    let rows = rows.iter().flat_map(|batch| {
        let offsets = batch.column_by_name("_deslocamento").expect("a column");
        offsets.as_primitive::<Int64Type>().values().to_vec()
    });
    let mut offsets: Vec<i64> = rows.collect();
    offsets.sort_unstable();
    offsets
}

fn limits(hot_s: i64, cold_s: Option<i64>) -> Limits {
    Limits { hot_ms: hot_s * 1_000, cold_ms: cold_s.map(|s| s * 1_000), now_ms: 200_000 }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_become_cold_and_go_away() {
    let topic = topic();
    let (_dir, places) = places();
    for place in places {
        assert_eq!(retain(&topic, &place, limits(10, None)).await.expect("nothing"), None, "{place}: no archive");
        let mut stream = open(&topic, &place).await;
        add(&mut stream, &topic, 0..100).await;
        let done = retain(&topic, &place, limits(40, Some(0))).await.expect("moved");
        assert_eq!(done, Some(RetentionReport { moved: 40, purged: 0 }), "{place}");
        let again = retain(&topic, &place, limits(40, Some(0))).await.expect("again");
        assert_eq!(again, Some(RetentionReport::default()), "{place}");

        // The stream goes on, and sees what was moved once it looks.
        add(&mut stream, &topic, 100..120).await;
        let reader = Archive::read(&topic, &place).await.expect("read").expect("an archive");
        for provider in [stream.provider().await.expect("rows"), reader.provider().await.expect("rows")] {
            assert_eq!(offsets(provider).await, (0..120).collect::<Vec<_>>(), "{place}");
        }
        let replayable: usize =
            reader.replayable(lit(true)).await.expect("rows").iter().map(RecordBatch::num_rows).sum();
        assert_eq!(replayable, 80, "{place}: cold rows are not replayed");

        let done = retain(&topic, &place, limits(60, Some(30))).await.expect("deleted");
        assert_eq!(done, Some(RetentionReport { moved: 20, purged: 30 }), "{place}");
        for archive in [&stream, &open(&topic, &place).await] {
            let mut archive = archive.clone();
            archive.refresh().await.expect("refreshed");
            assert_eq!(
                offsets(archive.provider().await.expect("rows")).await,
                (30..120).collect::<Vec<_>>(),
                "{place}"
            );
            assert_eq!(archive.counts().await.expect("counts").counted, 120, "{place}: purged rows have counted");
            assert_eq!(archive.newest_purged().await.expect("known"), Some(EventTime::from_ms(29_000)), "{place}");
        }
        let reader = Archive::read(&topic, &place).await.expect("read").expect("an archive");
        let purged = reader.purged_times().within(EventTime::MIN, EventTime::from_micros(i64::MAX));
        assert_eq!(purged, Some((EventTime::from_ms(0), EventTime::from_ms(29_000))), "{place}");
        add(&mut stream, &topic, 120..130).await;
        assert_eq!(offsets(stream.provider().await.expect("rows")).await, (30..130).collect::<Vec<_>>(), "{place}");
        let held = retain(&topic, &place, limits(90, None)).await.expect("held");
        assert_eq!(held, Some(RetentionReport { moved: 30, purged: 0 }), "{place}: nothing goes under legal hold");
    }
}

/// A reader's snapshot from before a step, and an owner who has not looked since, still find
/// everything once.
#[tokio::test(flavor = "multi_thread")]
async fn who_looked_before_finds_the_same() {
    let topic = topic();
    let (_dir, places) = places();
    for place in places {
        let mut stream = open(&topic, &place).await;
        add(&mut stream, &topic, 0..50).await;
        let (before, shown) = (stream.clone(), stream.provider().await.expect("rows"));
        retain(&topic, &place, limits(20, None)).await.expect("moved");
        assert_eq!(offsets(shown).await, (0..50).collect::<Vec<_>>(), "{place}");
        assert_eq!(offsets(before.provider().await.expect("rows")).await, (0..50).collect::<Vec<_>>(), "{place}");
    }
}
