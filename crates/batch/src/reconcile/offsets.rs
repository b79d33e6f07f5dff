//! The archive must have every offset once: rows and ranges of what was never delivered, without a hole and without an overlap.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::logical_expr::ident;
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_store::{Archive, read_session};

use crate::error::BatchError;

/// Where the offsets of a partition do not go on as they should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    pub log: String,
    pub partition: i32,
    /// The offset that should come next.
    pub expected: i64,
    /// The offset that does: larger where rows are missing, smaller where some are there twice.
    pub found: i64,
}

/// What the archive of a topic holds of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionOffsets {
    pub log: String,
    pub partition: i32,
    pub first: i64,
    /// After the last one.
    pub next: i64,
}

/// Looks at all offsets of a topic's archive.
pub async fn check(topic: &Topic, data_dir: &Path) -> Result<(Vec<PartitionOffsets>, Vec<Break>), BatchError> {
    use archive_columns::*;
    let folder = data_dir.join("archive").join(&topic.name);
    let Some(archive) = Archive::read(topic, &folder).await? else { return Ok(Default::default()) };
    let rows = archive.provider().await?;
    let run = async {
        read_session(super::PARALLELISM)
            .read_table(rows)?
            .select(vec![ident(LOG), ident(PARTITION), ident(OFFSET), ident(OFFSET_END)])?
            .sort([LOG, PARTITION, OFFSET].map(|name| ident(name).sort(true, true)).to_vec())?
            .collect()
            .await
    };
    let batches = run.await.map_err(BatchError::engine(&topic.name, "looked through"))?;
    let mut partitions = BTreeMap::<(String, i32), PartitionOffsets>::new();
    let mut breaks = Vec::new();
    for batch in &batches {
        let logs = batch.column(0).as_string::<i32>();
        let numbers = batch.column(1).as_primitive::<Int32Type>();
        let offsets = batch.column(2).as_primitive::<Int64Type>();
        let ends = batch.column(3).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let (log, partition, first) = (logs.value(row), numbers.value(row), offsets.value(row));
            let next = 1 + if ends.is_valid(row) { ends.value(row) } else { first };
            match partitions.get_mut(&(log.to_owned(), partition)) {
                Some(known) => {
                    if known.next != first {
                        breaks.push(Break { log: log.to_owned(), partition, expected: known.next, found: first });
                    }
                    known.next = known.next.max(next);
                }
                None => {
                    let known = PartitionOffsets { log: log.to_owned(), partition, first, next };
                    partitions.insert((log.to_owned(), partition), known);
                }
            }
        }
    }
    // Rows that are missing at the end leave no hole; the commits know how far they went.
    for known in partitions.values() {
        let committed = archive.next_offset(&known.log, known.partition).await?;
        if let Some(expected) = committed.filter(|committed| *committed != known.next) {
            breaks.push(Break { log: known.log.clone(), partition: known.partition, expected, found: known.next });
        }
    }
    Ok((partitions.into_values().collect(), breaks))
}
