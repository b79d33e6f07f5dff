//! Walking through the offsets of several partitions, by one scan after the other.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ident, lit};
use futures::TryStreamExt;
use vitral_schemas::position::Offset;
use vitral_schemas::topic::{Topic, archive_columns};

use super::{Break, PartitionOffsets, by_partition};
use crate::error::BatchError;

/// Offsets that are checked together. Their runs are sorted in memory: 16 bytes for each run, and a
/// run for each offset at worst.
const OFFSETS_AT_ONCE: i64 = 4 << 20;

/// First and last of offsets without a hole.
type Run = (Offset, Offset);

/// A walk through the offsets of one partition.
pub(super) struct Walk {
    pub(super) bounds: PartitionOffsets,
    /// The offset that should come next.
    pub(super) expected: Offset,
    /// Where the next scan begins.
    pub(super) start: Offset,
}

/// Walks to the end of each partition; what does not continue as it should is added to `breaks`,
/// partition by partition.
pub(super) async fn all(
    topic: &Topic,
    rows: &Arc<dyn TableProvider>,
    walks: &mut [Walk],
    breaks: &mut Vec<Break>,
) -> std::result::Result<(), BatchError> {
    let mut found_breaks: Vec<Vec<Break>> = walks.iter().map(|_| Vec::new()).collect();
    loop {
        let unfinished = walks.iter().filter(|walk| !walk.is_done()).count();
        let Ok(unfinished @ 1..) = i64::try_from(unfinished) else { break };
        let length = OFFSETS_AT_ONCE / unfinished;
        let found = next(rows, walks, length).await.map_err(BatchError::engine(&topic.name, "looked through"))?;
        for ((walk, mut found), breaks) in walks.iter_mut().zip(found).zip(&mut found_breaks) {
            if !walk.is_done() {
                walk.check(&mut found, breaks);
                walk.start = walk.start + length;
            }
        }
    }
    breaks.extend(found_breaks.into_iter().flatten());
    Ok(())
}

/// Runs of the rows within the next so many offsets of each unfinished
/// walk. A file's rows mostly make one run for each partition.
async fn next(rows: &Arc<dyn TableProvider>, walks: &[Walk], length: i64) -> Result<Vec<Vec<Run>>> {
    use archive_columns::*;
    let unfinished = || walks.iter().filter(|walk| !walk.is_done());
    let logs: BTreeSet<&str> = unfinished().map(|walk| walk.bounds.log.as_str()).collect();
    // A log is looked for once, however many partitions it has.
    let of_log = |log: &str| {
        let of_partitions = unfinished().filter(|walk| walk.bounds.log == log).map(|walk| walk.wants(length));
        Some(ident(LOG).eq(lit(log)).and(of_partitions.reduce(Expr::or)?))
    };
    let wanted = logs.into_iter().filter_map(of_log).reduce(Expr::or);
    let mut batches = by_partition::read(rows, wanted, [OFFSET, OFFSET_END]).await?;
    let mut found: Vec<Vec<Run>> = walks.iter().map(|_| Vec::new()).collect();
    while let Some(batch) = batches.try_next().await? {
        let [offsets, ends] = [2, 3].map(|column| batch.column(column).as_primitive::<Int64Type>());
        let walk_of = |log: &str, partition| {
            walks.iter().position(|walk| walk.bounds.partition == partition && walk.bounds.log == log)
        };
        for (row, walk) in by_partition::of_rows(&batch, walk_of).enumerate() {
            if let Some(walk) = walk {
                let offset = Offset(offsets.value(row));
                let end = if ends.is_valid(row) { Offset(ends.value(row)) } else { offset };
                match found[walk].last_mut() {
                    Some((_, last)) if *last + 1 == offset => *last = end,
                    _ => found[walk].push((offset, end)),
                }
            }
        }
    }
    Ok(found)
}

impl Walk {
    fn is_done(&self) -> bool {
        self.start >= self.bounds.next
    }

    /// Its rows within so many offsets, among those of its log.
    fn wants(&self, length: i64) -> Expr {
        use archive_columns::*;
        ident(PARTITION)
            .eq(lit(self.bounds.partition.0))
            .and(ident(OFFSET).gt_eq(lit(self.start.0)))
            .and(ident(OFFSET).lt(lit((self.start + length).0)))
    }

    /// Continues through runs.
    fn check(&mut self, found: &mut [Run], breaks: &mut Vec<Break>) {
        found.sort_unstable();
        for (first, last) in found {
            if *first != self.expected {
                let PartitionOffsets { log, partition, .. } = &self.bounds;
                breaks.push(Break { log: log.clone(), partition: *partition, expected: self.expected, found: *first });
            }
            self.expected = self.expected.max(*last + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use vitral_schemas::position::PartitionId;

    use super::*;

    #[test]
    fn holes_and_overlaps_are_found_in_whatever_order_files_come() {
        let bounds = PartitionOffsets {
            log: "log".to_owned(),
            partition: PartitionId(3),
            first: Offset(5),
            next: Offset(40),
            newest_arrival_micros: 0,
        };
        let run = |(first, last)| (Offset(first), Offset(last));
        let mut walk = Walk { bounds, expected: Offset(5), start: Offset(5) };
        let mut breaks = Vec::new();
        walk.check(&mut [(20, 29), (5, 9), (10, 17), (12, 13)].map(run), &mut breaks);
        // The next scan.
        walk.check(&mut [run((30, 39))], &mut breaks);
        let shown: Vec<_> = breaks.iter().map(|found| (found.partition.0, found.expected.0, found.found.0)).collect();
        assert_eq!(shown, [(3, 18, 12), (3, 18, 20)]);
        assert_eq!(walk.expected, Offset(40));
    }
}
