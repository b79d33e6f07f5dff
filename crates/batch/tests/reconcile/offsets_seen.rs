//! A check of offsets that goes on where another one ended.

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array};
use vitral_schemas::verdict::Verdict;

use super::*;

/// Commits tombstones at these offsets of a partition, and says that reading goes on at `next`.
async fn commit(shop: &Shop, log: &str, partition: i32, (from, next): (Option<i64>, i64), offsets: &[i64]) {
    let of_archive = PartitionId(partition);
    let (schema, count) = (shop.topic().archive_schema(), offsets.len());
    let arrival = 1_000_000 * (1 + offsets.iter().sum::<i64>());
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![partition; count])),
        Arc::new(Int64Array::from(offsets.to_vec())),
        Arc::new(Int64Array::from(vec![None; count])),
        Arc::new(TimestampMicrosecondArray::from(vec![arrival; count]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec![log; count])),
        Arc::new(StringArray::from(vec![Verdict::Empty.name(); count])),
    ];
    let others = schema.fields().iter().skip(columns.len());
    columns.extend(others.map(|field| new_null_array(field.data_type(), count)));
    let rows = RecordBatch::try_new(schema, columns).expect("rows");
    let offsets = BTreeMap::from([(of_archive, Advance { from: from.map(Offset), to: Offset(next) })]);
    let commit =
        ArchiveCommit { rows: vec![rows], offsets, token: next + i64::from(partition), ..ArchiveCommit::default() };
    let mut archive = Archive::open(shop.topic(), log, [of_archive], &shop.store()).await.expect("opened");
    archive.commit(&commit).await.expect("committed");
}

#[tokio::test]
async fn what_was_seen_is_not_looked_at_again_and_what_came_since_is() {
    let shop = Shop::new();
    let mut seen = Seen::new();
    let check = async |seen: &Seen| offsets::check(shop.topic(), &shop.store(), seen).await.expect("checked");
    commit(&shop, "log", 0, (None, 3), &[0, 1, 2]).await;
    let (partitions, breaks) = check(&seen).await;
    assert_eq!((partitions.len(), partitions[0].next, breaks.len()), (1, Offset(3), 0));
    seen.learn(partitions);
    // Nothing came.
    let (partitions, breaks) = check(&seen).await;
    assert_eq!((partitions.len(), partitions[0].next, breaks.len()), (1, Offset(3), 0));
    // More rows, with a hole.
    commit(&shop, "log", 0, (Some(3), 7), &[3, 4, 6]).await;
    let (partitions, breaks) = check(&seen).await;
    assert_eq!((partitions.len(), partitions[0].next), (1, Offset(7)));
    assert_eq!(breaks, [broken("log", 5, 6)]);
    seen.learn(partitions);
    // A partition and a log that were not there before, and rows that are missing at the end.
    commit(&shop, "log", 1, (None, 12), &[10, 11]).await;
    commit(&shop, "another", 0, (None, 2), &[0]).await;
    commit(&shop, "log", 0, (Some(7), 9), &[7]).await;
    let (partitions, mut breaks) = check(&seen).await;
    let stands: Vec<_> = partitions.iter().map(|known| (known.log.as_str(), known.partition.0, known.next.0)).collect();
    assert_eq!(stands, [("another", 0, 1), ("log", 0, 8), ("log", 1, 12)]);
    breaks.sort_by(|a, b| a.log.cmp(&b.log));
    assert_eq!(breaks, [broken("another", 2, 1), broken("log", 9, 8)]);
}
