//! What the history and the archive say of a file's rows.

use arrow::array::{Array, AsArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{ident, lit};
use futures::TryStreamExt;
use vitral_schemas::topic::{archive_columns, history_columns};
use vitral_schemas::verdict::Verdict;
use vitral_store::{ArchiveReader, History, bulk_session};

use super::identity::Marker;
use super::known::Known;
use super::legacy::Legacy;
use super::{Import, failed};
use crate::error::BatchError;

/// Learns what is in of the file's rows.
pub(super) async fn learn(
    import: &Import,
    history: Option<&History>,
    archive: Option<ArchiveReader>,
    marker: &Marker,
    taken: &[String],
    known: &mut Known,
    legacy: &mut Legacy,
) -> Result<(), BatchError> {
    if let Some(history) = history {
        let mut has_old_rows = false;
        let mut stored = history.identities(0).await?;
        while let Some(batch) = stored.try_next().await.map_err(failed)? {
            let undone =
                batch.column(1).as_string::<i32>().iter().filter(|it| *it == Some(history_columns::UNDONE)).count();
            has_old_rows = has_old_rows || batch.column(2).null_count() > undone;
            known.learn(&batch, taken);
        }
        if has_old_rows {
            learn_old_rows(history, marker, taken, known, legacy).await?;
        }
    }
    if let (Some(index), Some(archive), true) = (import.topic.event_id, archive, known.has_ids()) {
        let id = ident(&import.topic.columns[index].name);
        let wanted = ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name())).and(id.clone().is_not_null());
        let provider = archive.provider().await?;
        let run =
            async { bulk_session(2).read_table(provider)?.filter(wanted)?.select(vec![id])?.execute_stream().await };
        let mut ids = run.await.map_err(failed)?;
        while let Some(batch) = ids.try_next().await.map_err(failed)? {
            let texts = cast(batch.column(0), &DataType::Utf8).map_err(|source| failed(source.into()))?;
            known.learn_streamed(texts.as_string::<i32>().iter().flatten());
        }
    }
    known.settle();
    Ok(())
}

/// Rows of versions that kept no identities.
async fn learn_old_rows(
    history: &History,
    marker: &Marker,
    taken: &[String],
    known: &mut Known,
    legacy: &mut Legacy,
) -> Result<(), BatchError> {
    let mut rows = history.rows_without_identity().await?;
    while let Some(batch) = rows.try_next().await.map_err(failed)? {
        let text = |name: &str| batch.column_by_name(name).map(|column| column.as_string::<i32>());
        let (Some(verdicts), Some(imports), Some(contents)) =
            (text(history_columns::VERDICT), text(history_columns::IMPORT), text(history_columns::PAYLOAD))
        else {
            continue;
        };
        let is_left = |row: usize| !taken.iter().any(|taken| taken == imports.value(row));
        let counted = (0..batch.num_rows())
            .map(|row| Some(verdicts.value(row) == Verdict::Counted.name() && is_left(row)))
            .collect();
        let counted = filter_record_batch(&batch, &counted).map_err(|source| failed(source.into()))?;
        legacy.learn(&counted).map_err(|source| failed(source.into()))?;
        for row in (0..batch.num_rows()).filter(|row| is_left(*row)) {
            if verdicts.value(row) == Verdict::Refused.name()
                && let Some(cells) = marker.cells_of_json(contents.value(row))
            {
                known.learn_refused(cells);
            }
        }
    }
    Ok(())
}
