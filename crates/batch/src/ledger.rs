//! The ledger: the archive's rows that did not count.

use arrow::array::RecordBatch;
use datafusion::logical_expr::{Expr, ident};
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_store::{Archive, Location, read_session};

use crate::error::BatchError;

/// The newest rows of a topic that `wanted` names: where they came from, what became of them, and why.
pub async fn newest(
    topic: &Topic,
    store: &Location,
    wanted: Expr,
    limit: usize,
) -> Result<Vec<RecordBatch>, BatchError> {
    use archive_columns::*;
    let Some(archive) = Archive::read(topic, store).await? else {
        return Err(BatchError::NoArchive { topic: topic.name.clone(), folder: store.to_string() });
    };
    let rows = archive.provider().await?;
    let columns = [
        (PARTITION, "particao"),
        (OFFSET, "deslocamento"),
        (VERDICT, "veredito"),
        (REASON, "motivo"),
        (ARRIVAL, "chegada"),
    ];
    let shown = columns.map(|(name, shown)| ident(name).alias(shown)).to_vec();
    let run = async {
        read_session(2)
            .read_table(rows)?
            .filter(wanted)?
            .sort(vec![
                ident(ARRIVAL).sort(false, false),
                ident(PARTITION).sort(true, true),
                ident(OFFSET).sort(false, false),
            ])?
            .limit(0, Some(limit))?
            .select(shown)?
            .collect()
            .await
    };
    run.await.map_err(BatchError::engine(&topic.name, "searched for rows that did not count"))
}
