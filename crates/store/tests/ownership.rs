//! Two processes with one archive: the one that was replaced must stop, whatever brings it up to
//! date.

#[path = "common/places.rs"]
mod places;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Verdict;
use vitral_store::{Advance, Archive, ArchiveCommit, Location, StoreError};

use self::places::places;

fn topic() -> Topic {
    Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog").topics.remove(0)
}

/// Each commit has its own.
fn token() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    LAST.fetch_add(1, Ordering::SeqCst)
}

async fn open(topic: &Topic, place: &Location) -> Archive {
    Archive::open(topic, "log", [PartitionId(0)], place).await.expect("opened")
}

/// Of partition 0.
fn advance(from: Option<i64>, to: i64) -> BTreeMap<PartitionId, Advance> {
    BTreeMap::from([(PartitionId(0), Advance { from: from.map(Offset), to: Offset(to) })])
}

/// The next offset of partition 0, which is at `from`: a message without a value.
fn next_offset(topic: &Topic, from: Option<i64>) -> ArchiveCommit {
    let offset = from.unwrap_or(0);
    let schema = topic.archive_schema();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![0])),
        Arc::new(Int64Array::from(vec![offset])),
        Arc::new(Int64Array::from(vec![None::<i64>])),
        Arc::new(TimestampMicrosecondArray::from(vec![0_i64]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec!["log"])),
        Arc::new(StringArray::from(vec![Verdict::Empty.name()])),
    ];
    let others = schema.fields().iter().skip(columns.len());
    columns.extend(others.map(|field| new_null_array(field.data_type(), 1)));
    ArchiveCommit {
        rows: vec![RecordBatch::try_new(schema, columns).expect("the archive's schema")],
        offsets: advance(from, offset + 1),
        token: token(),
        ..ArchiveCommit::default()
    }
}

#[tokio::test]
async fn a_stale_owner_is_fenced() {
    let topic = topic();
    let (_dir, places) = places();
    for place in places {
        let mut stale = open(&topic, &place).await;
        let mut owner = open(&topic, &place).await;
        owner.commit(&next_offset(&topic, None)).await.expect("committed");
        let commit = ArchiveCommit { offsets: advance(None, 2), ..next_offset(&topic, None) };
        let outcome = stale.commit(&commit).await;
        let error = outcome.expect_err("another has committed");
        let StoreError::Fenced { partition: PartitionId(0), expected: None, found: Some(Offset(1)), .. } = error else {
            panic!("{place}: {error:?}");
        };
        assert!(error.to_string().contains("up to offset Some(1) by another process, not up to None:"), "{error}");
        owner.commit(&next_offset(&topic, Some(1))).await.expect("the owner goes on");
        assert_eq!(
            open(&topic, &place).await.next_offsets(),
            &BTreeMap::from([(PartitionId(0), Offset(2))]),
            "{place}"
        );
    }
}

/// Merges and deletions of old files renew what is known of the table: the check is of that, not of
/// what was known before.
#[tokio::test]
async fn a_stale_owner_stays_fenced_when_its_table_is_tidied() {
    let topic = topic();
    let (_dir, places) = places();
    for place in places {
        let mut stale = open(&topic, &place).await;
        let mut owner = open(&topic, &place).await;
        owner.commit(&next_offset(&topic, None)).await.expect("committed");
        stale.vacuum().await.expect("old files deleted");
        let outcome = stale.commit(&next_offset(&topic, None)).await;
        assert!(matches!(outcome, Err(StoreError::Fenced { partition: PartitionId(0), .. })), "{place}: {outcome:?}");
    }
}

/// A watermark without rows is a commit too.
#[tokio::test]
async fn a_stale_owner_never_sets_the_watermark_back() {
    let topic = topic();
    let move_to =
        |ms| ArchiveCommit { watermark: Some(Watermark::from_ms(ms)), token: token(), ..ArchiveCommit::default() };
    let (_dir, places) = places();
    for place in places {
        let mut stale = open(&topic, &place).await;
        let mut owner = open(&topic, &place).await;
        owner.commit(&move_to(2_000)).await.expect("committed");
        stale.commit(&move_to(1_000)).await.expect_err("another has moved it");
        // A committer tries again what failed.
        let outcome = stale.commit(&move_to(1_000)).await;
        assert!(matches!(outcome, Err(StoreError::Overtaken { .. })), "{place}: {outcome:?}");
        assert_eq!(open(&topic, &place).await.watermark(), Some(Watermark::from_ms(2_000)), "{place}");
    }
}

/// A commit that is tried again after it came through, because its reply was lost, is there once,
/// whether or not its writer has looked at the table since: merges and deletions of old files do.
#[tokio::test]
async fn a_commit_that_came_through_is_known_again() {
    let topic = topic();
    for looks in [false, true] {
        let (_dir, places) = places();
        for place in places {
            let mut before = open(&topic, &place).await;
            let commit = next_offset(&topic, None);
            before.clone().commit(&commit).await.expect("committed");
            if looks {
                before.vacuum().await.expect("old files deleted");
            }
            before.commit(&commit).await.expect("it is read back");
            let rows = open(&topic, &place).await.counts().await.expect("counted");
            assert_eq!(rows.empty, 1, "{place}, {looks}");
            before.commit(&next_offset(&topic, Some(1))).await.expect("it goes on");
        }
    }
}

/// Each partition's is committed with its rows; readers get the topic's, which is their minimum.
#[tokio::test]
async fn watermarks_of_partitions_are_committed_and_never_go_back() {
    let topic = topic();
    let ms = Watermark::from_ms;
    let (_dir, places) = places();
    for place in places {
        let mut owner = Archive::open(&topic, "log", [0, 1].map(PartitionId), &place).await.expect("opened");
        let commit = ArchiveCommit {
            watermark: Some(ms(1_000)),
            watermarks: BTreeMap::from([(PartitionId(0), ms(3_000)), (PartitionId(1), ms(1_000))]),
            ..next_offset(&topic, None)
        };
        owner.commit(&commit).await.expect("committed");
        let commit = ArchiveCommit {
            watermark: Some(ms(2_000)),
            watermarks: BTreeMap::from([(PartitionId(0), ms(2_500)), (PartitionId(1), ms(2_000))]),
            ..next_offset(&topic, Some(1))
        };
        owner.commit(&commit).await.expect("committed");
        let again = Archive::open(&topic, "log", [0, 1, 2].map(PartitionId), &place).await.expect("opened");
        let of_partitions = [0, 1, 2].map(|partition| again.partition_watermark(PartitionId(partition)));
        assert_eq!(of_partitions, [3_000, 2_000, 2_000].map(|at| Some(ms(at))), "{place}");
        assert_eq!(again.watermark(), Some(ms(2_000)), "{place}");
        let reader = Archive::read(&topic, &place).await.expect("read").expect("an archive");
        assert_eq!(reader.watermark().await.expect("read"), Some(ms(2_000)), "{place}");
        // Another log of the same topic goes on from there.
        let again = Archive::open(&topic, "another log", [PartitionId(0)], &place).await.expect("opened");
        assert_eq!(
            (again.watermark(), again.partition_watermark(PartitionId(0))),
            (Some(ms(2_000)), Some(ms(2_000))),
            "{place}"
        );
    }
}

/// As an older version left it, and as it goes on after this one.
#[tokio::test]
async fn a_watermark_of_the_topic_alone_is_that_of_all_partitions() {
    let topic = topic();
    let ms = Watermark::from_ms;
    let (_dir, places) = places();
    for place in places {
        let mut older = open(&topic, &place).await;
        let commit = ArchiveCommit { watermark: Some(ms(1_000)), ..next_offset(&topic, None) };
        older.commit(&commit).await.expect("committed");
        let mut owner = open(&topic, &place).await;
        assert_eq!(owner.partition_watermark(PartitionId(0)), Some(ms(1_000)), "{place}");
        let commit = ArchiveCommit {
            watermark: Some(ms(2_000)),
            watermarks: BTreeMap::from([(PartitionId(0), ms(2_000))]),
            ..next_offset(&topic, Some(1))
        };
        owner.commit(&commit).await.expect("committed");
        let mut older = open(&topic, &place).await;
        let commit = ArchiveCommit { watermark: Some(ms(4_000)), ..next_offset(&topic, Some(2)) };
        older.commit(&commit).await.expect("committed");
        let again = open(&topic, &place).await;
        assert_eq!(
            (again.watermark(), again.partition_watermark(PartitionId(0))),
            (Some(ms(4_000)), Some(ms(4_000))),
            "{place}"
        );
        let reader = Archive::read(&topic, &place).await.expect("read").expect("an archive");
        assert_eq!(reader.watermark().await.expect("read"), Some(ms(4_000)), "{place}");
    }
}
