//! The ledger: rows that did not count, of the archive and of files.

mod detail;
mod filter;
pub mod look_up_again;
mod pending;
pub mod replay;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, cast, ident, lit};
use datafusion::prelude::DataFrame;
use datafusion::scalar::ScalarValue;
use vitral_schemas::topic::{Topic, archive_columns, history_columns, timestamp_type};
use vitral_schemas::verdict::Verdict;
use vitral_store::{Archive, History, Layout, Location, read_session};

use self::detail::{CONTENT, EVENT_TIME, part_of};
pub use self::filter::{Cause, LedgerFilter};
use crate::error::BatchError;
use crate::import::ROW_REASON;

/// Columns, their types and their names in the archive and in histories.
type Shown = (&'static str, DataType, Option<&'static str>, Option<&'static str>);

fn columns() -> [Shown; 11] {
    use archive_columns::*;
    use history_columns::{DETAIL, FILE, LINE, SHEET};
    [
        ("particao", DataType::Int32, Some(PARTITION), None),
        ("deslocamento", DataType::Int64, Some(OFFSET), None),
        ("deslocamento_fim", DataType::Int64, Some(OFFSET_END), None),
        ("arquivo", DataType::Utf8, None, Some(FILE)),
        ("planilha", DataType::Utf8, None, Some(SHEET)),
        ("linha", DataType::Int64, None, Some(LINE)),
        ("veredito", DataType::Utf8, Some(VERDICT), Some(VERDICT)),
        ("motivo", DataType::Utf8, Some(REASON), Some(REASON)),
        ("detalhe", DataType::Utf8, None, Some(DETAIL)),
        ("chegada", timestamp_type(), Some(ARRIVAL), Some(ARRIVAL)),
        (CONTENT, DataType::Binary, Some(PAYLOAD), Some(PAYLOAD)),
    ]
}

/// The newest rows of a topic that `wanted` names, a condition on verdict, reason and arrival:
/// where they came from, what became of them, why, and how they begin. `zone` is that of times
/// without an offset.
pub async fn newest(
    topic: &Topic,
    zone: Tz,
    store: &Location,
    wanted: Expr,
    limit: usize,
) -> std::result::Result<Vec<RecordBatch>, BatchError> {
    let archive = Archive::read(topic, store).await?;
    let history = History::read(topic, &Layout::of(store).history(topic)).await?;
    if archive.is_none() && history.is_none() {
        return Err(BatchError::NoArchive { topic: topic.name.clone(), folder: store.to_string() });
    }
    let mut tables = Vec::new();
    if let Some(archive) = archive {
        tables.push((archive.provider().await?, false));
    }
    if let Some(history) = history {
        tables.push((history.provider().await?, true));
    }
    let run = async {
        let session = read_session(2);
        let mut all: Option<DataFrame> = None;
        for (table, is_of_files) in tables {
            let columns = shown(topic, &table, is_of_files)?;
            let rows = session.read_table(table)?.filter(wanted.clone())?.select(columns)?;
            all = Some(match all {
                Some(all) => all.union(rows)?,
                None => rows,
            });
        }
        let Some(all) = all else { return Ok(Vec::new()) };
        let order = vec![
            ident("chegada").sort(false, false),
            ident("particao").sort(true, true),
            ident("deslocamento").sort(false, false),
            ident("arquivo").sort(true, true),
            ident("linha").sort(true, true),
        ];
        all.sort(order)?.limit(0, Some(limit))?.collect().await
    };
    let rows: Vec<RecordBatch> =
        run.await.map_err(BatchError::engine(&topic.name, "searched for rows that did not count"))?;
    rows.iter().map(|rows| explained(topic, zone, rows)).collect()
}

/// With the detail and the beginning of each row.
fn explained(topic: &Topic, zone: Tz, rows: &RecordBatch) -> std::result::Result<RecordBatch, BatchError> {
    let [details, contents] = detail::explain(topic, zone, rows)?;
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        match field.name().as_str() {
            CONTENT | EVENT_TIME => continue,
            "detalhe" => columns.push(Arc::clone(&details)),
            _ => columns.push(Arc::clone(column)),
        }
        fields.push(field.as_ref().clone().with_nullable(true));
    }
    fields.push(Field::new("conteudo", DataType::Utf8, true));
    columns.push(contents);
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
    rows.map_err(|error| BatchError::engine(&topic.name, "explained")(error.into()))
}

/// A condition on the ledger's rows.
pub type Condition = Expr;

/// Of those, the rows of files whose cells are not those of the header.
pub fn of_broken_rows(wanted: Condition) -> Condition {
    wanted.and(ident(archive_columns::REASON).eq(lit(ROW_REASON)))
}

/// How many refused rows of files a topic's history has.
pub async fn refused_of_files(topic: &Topic, store: &Location) -> std::result::Result<usize, BatchError> {
    let Some(history) = History::read(topic, &Layout::of(store).history(topic)).await? else { return Ok(0) };
    let rows = history.provider().await?;
    let run = async {
        let refused = ident(archive_columns::VERDICT).eq(lit(Verdict::Refused.name()));
        read_session(1).read_table(rows)?.filter(refused)?.count().await
    };
    run.await.map_err(BatchError::engine(&topic.name, "searched for refused rows of files"))
}

/// A history of an older version may lack columns.
fn shown(topic: &Topic, table: &Arc<dyn TableProvider>, is_of_files: bool) -> Result<Vec<Expr>> {
    let schema = table.schema();
    let columns = columns().into_iter().map(|(name, data_type, archived, imported)| {
        let column = if is_of_files { imported } else { archived };
        let column = match column.filter(|column| schema.field_with_name(column).is_ok()) {
            // Texts that are views become bytes by way of plain ones.
            Some(column) if is_of_files && name == CONTENT => cast(cast(ident(column), DataType::Utf8), data_type),
            Some(column) => cast(ident(column), data_type),
            None => lit(ScalarValue::try_from(&data_type)?),
        };
        Ok(if name == CONTENT { part_of(column) } else { column }.alias(name))
    });
    let event_time = cast(ident(&topic.columns[topic.event_time].name), timestamp_type()).alias(EVENT_TIME);
    columns.chain([Ok(event_time)]).collect()
}

/// The refused and late rows of a topic that arrived since: partition, offset, verdict, reason,
/// arrival and event time.
pub async fn refused_and_late(
    topic: &Topic,
    store: &Location,
    wanted: Expr,
    limit: usize,
) -> std::result::Result<Vec<RecordBatch>, BatchError> {
    use archive_columns::*;
    let Some(archive) = Archive::read(topic, store).await? else { return Ok(Vec::new()) };
    let rows = archive.provider().await?;
    let event_time = topic.columns[topic.event_time].name.as_str();
    let shown = [PARTITION, OFFSET, VERDICT, REASON, ARRIVAL, event_time].map(ident).to_vec();
    let run = async {
        read_session(1)
            .read_table(rows)?
            .filter(wanted)?
            .sort(vec![ident(ARRIVAL).sort(true, true), ident(OFFSET).sort(true, true)])?
            .limit(0, Some(limit))?
            .select(shown)?
            .collect()
            .await
    };
    run.await.map_err(BatchError::engine(&topic.name, "searched for rows that did not count"))
}
