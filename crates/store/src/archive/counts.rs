//! How many offsets have which verdict, and which ranges were skipped.

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{ident, lit};
use serde::{Deserialize, Serialize};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::archive_columns;
use vitral_schemas::verdict::{Unread, Verdict};

/// How many of a topic's offsets have each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Offsets that count in every metric.
    pub counted: u64,
    /// Offsets whose event id had been counted already.
    pub duplicate: u64,
    /// Offsets that came too late to count.
    pub late: u64,
    /// Offsets that are not valid events.
    pub refused: u64,
    /// Tombstones.
    pub empty: u64,
}

/// Offsets of one partition, both included, that an operator has skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// The partition.
    pub partition: PartitionId,
    /// The first of them.
    pub first: Offset,
    /// The last one.
    pub last: Offset,
}

impl Counts {
    /// Adds `rows` offsets with this verdict; undelivered ones are not counted.
    pub fn add(&mut self, verdict: Verdict, rows: u64) {
        match verdict {
            Verdict::Counted => self.counted += rows,
            Verdict::Duplicate => self.duplicate += rows,
            Verdict::Late => self.late += rows,
            Verdict::Refused => self.refused += rows,
            Verdict::Empty => self.empty += rows,
            Verdict::Undelivered => {}
        }
    }

    /// Every delivered offset.
    pub fn read(&self) -> u64 {
        self.counted + self.duplicate + self.late + self.refused + self.empty
    }
}

pub(super) async fn count_verdicts(rows: DataFrame, purged: Counts) -> Result<Counts, DataFusionError> {
    let verdict = || ident(archive_columns::VERDICT);
    let rows = rows.aggregate(vec![verdict()], vec![count(lit(1)).alias("rows")])?.collect().await?;
    let mut counts = purged;
    for batch in &rows {
        let verdicts = batch.column(0).as_string::<i32>();
        let numbers = batch.column(1).as_primitive::<Int64Type>();
        for (name, number) in verdicts.iter().zip(numbers.values()) {
            if let Some(verdict) = name.and_then(Verdict::from_name) {
                counts.add(verdict, u64::try_from(*number).unwrap_or_default());
            }
        }
    }
    Ok(counts)
}

pub(super) async fn skipped_ranges(rows: DataFrame) -> Result<Vec<Skipped>, DataFusionError> {
    use archive_columns::{OFFSET, OFFSET_END, PARTITION, REASON, VERDICT};
    // Ranges are rare, and the only rows with an end: files without any are not read.
    let is_skipped = ident(OFFSET_END)
        .is_not_null()
        .and(ident(VERDICT).eq(lit(Verdict::Undelivered.name())))
        .and(ident(REASON).eq(lit(Unread::Skipped.name())));
    let rows = rows.filter(is_skipped)?.select([PARTITION, OFFSET, OFFSET_END].map(ident))?.collect().await?;
    let ranges = rows.iter().flat_map(|batch| {
        let partitions = batch.column(0).as_primitive::<Int32Type>();
        let [first, last] = [1, 2].map(|column| batch.column(column).as_primitive::<Int64Type>());
        (0..batch.num_rows()).map(move |row| Skipped {
            partition: PartitionId(partitions.value(row)),
            first: Offset(first.value(row)),
            last: Offset(last.value(row)),
        })
    });
    Ok(ranges.collect())
}

pub(super) fn offsets_in(ranges: &[Skipped]) -> u64 {
    ranges.iter().map(|range| u64::try_from(range.last - range.first + 1).unwrap_or_default()).sum()
}
