//! What became of a message: every row that has an id, its verdict, the numbers that it counts in,
//! and when each of these was proved.
//!
//! Which columns hold ids is the catalog's to say (`trace`). A metric's own expressions tell
//! which of its groups a row belongs to, evaluated over that row alone; the windows are those of
//! the metric's rows, so that what is said here is what is served.

mod found;
mod numbers;
mod proofs;

use arrow::array::RecordBatch;
use serde::Serialize;
use serde_json::value::RawValue;
use vitral_schemas::topic::Topic;

use self::found::Found;
use self::proofs::Proofs;
use crate::error::QueryError;
use crate::principal::Principal;
use crate::read_point::ReadPoint;
use crate::reader::Reader;
use crate::rows::JsonRows;

/// The scope that allows it, whatever topic the rows are of.
pub const TRACE_SCOPE: &str = "rastro:read";
/// Rows of one answer: an order has its lines, and no more than people can read.
const ROWS_MAX: usize = 100;
/// How much of a refused message is shown.
const PREVIEW_CHARS: usize = 4_096;

/// Everything that is known of one id.
#[derive(Debug, Serialize)]
pub struct Trace {
    /// What was looked for.
    pub id: String,
    /// Where.
    #[serde(rename = "procurado")]
    pub searched: Vec<Searched>,
    /// What was found, messages before rows of files.
    #[serde(rename = "linhas")]
    pub rows: Vec<TracedRow>,
    /// Whether there are more.
    #[serde(rename = "truncada")]
    pub is_cut: bool,
}

/// The columns of a topic in which an id was looked for.
#[derive(Debug, Clone, Serialize)]
pub struct Searched {
    /// The topic's table.
    #[serde(rename = "topico")]
    pub topic: String,
    /// Those of them that hold ids.
    #[serde(rename = "colunas")]
    pub columns: Vec<String>,
}

/// A row with the id.
#[derive(Debug, Serialize)]
pub struct TracedRow {
    /// The topic's table.
    #[serde(rename = "topico")]
    pub topic: String,
    /// Its partition; none of rows of files, and of what is not committed yet.
    #[serde(rename = "particao")]
    pub partition: Option<i32>,
    /// Its offset there.
    #[serde(rename = "deslocamento")]
    pub offset: Option<i64>,
    /// When it came.
    #[serde(rename = "chegada")]
    pub arrival: Option<String>,
    /// When it happened; none of what was refused.
    #[serde(rename = "instante")]
    pub instant: Option<String>,
    /// What became of it.
    #[serde(rename = "veredito")]
    pub verdict: String,
    /// Why it was refused.
    #[serde(rename = "motivo")]
    pub reason: Option<String>,
    /// Whether it is in the archive; what is not will be with the next commit.
    #[serde(rename = "gravada")]
    pub is_committed: bool,
    /// The import that it came with, if it is a row of a file.
    #[serde(rename = "importacao")]
    pub import: Option<String>,
    /// The file's name.
    #[serde(rename = "arquivo")]
    pub file: Option<String>,
    /// Its line there.
    #[serde(rename = "linha")]
    pub line: Option<i64>,
    /// Its columns that have a value.
    #[serde(rename = "campos")]
    pub fields: Option<Box<RawValue>>,
    /// The beginning of a refused message.
    #[serde(rename = "conteudo")]
    pub payload: Option<String>,
    /// The numbers that it counts in.
    #[serde(rename = "numeros")]
    pub numbers: Vec<Number>,
}

/// A row of a metric, or of a table that is kept up to date, in which a message counts.
#[derive(Debug, Clone, Serialize)]
pub struct Number {
    /// The metric or table.
    #[serde(rename = "metrica")]
    pub metric: String,
    /// The window's first moment; none of a table without windows.
    #[serde(rename = "janela_inicio")]
    pub window_start: Option<String>,
    /// Its end, which is not in it any more.
    #[serde(rename = "janela_fim")]
    pub window_end: Option<String>,
    /// The columns that are grouped by.
    #[serde(rename = "chave")]
    pub key: Option<Box<RawValue>>,
    /// The others as they are now; none if there is no such row (yet).
    #[serde(rename = "valores")]
    pub values: Option<Box<RawValue>>,
    /// Whether the window is still open; none of a table without windows.
    #[serde(rename = "provisoria")]
    pub is_provisional: Option<bool>,
    /// The last time that it was recomputed from the archive and compared.
    #[serde(rename = "prova")]
    pub proof: Option<Proof>,
    /// Where the API serves it.
    pub url: String,
}

/// What a reconciliation has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// When.
    #[serde(rename = "instante")]
    pub instant: String,
    /// `igual`, `diferente` or `falha`.
    #[serde(rename = "veredito")]
    pub verdict: String,
    /// Who asked for it.
    #[serde(rename = "origem")]
    pub origin: String,
}

impl Reader {
    /// What became of what has this id, as far as the read point's principal may know.
    ///
    /// # Errors
    /// The principal may read none of the topics, or rows cannot be read.
    pub async fn trace(&self, point: &ReadPoint, id: &str) -> Result<Trace, QueryError> {
        let catalog = self.catalog();
        let (mut searched, mut rows) = (Vec::new(), Vec::new());
        let (mut is_known, mut is_cut) = (false, false);
        for (topic, traced) in catalog.traced() {
            is_known = true;
            if !may_trace(&point.principal, topic) {
                continue;
            }
            let columns: Vec<&str> = traced.columns.iter().map(|column| topic.columns[*column].name.as_str()).collect();
            let found = match Found::of(self.state(), point, topic, &columns, id).await {
                Err(QueryError::Forbidden(_)) => continue,
                found => found?,
            };
            let proofs = Proofs::of(self.state(), point).await?;
            let columns = columns.iter().map(|column| (*column).to_owned()).collect();
            searched.push(Searched { topic: topic.name.clone(), columns });
            let left = ROWS_MAX.saturating_sub(rows.len());
            is_cut |= found.count() > left;
            rows.extend(found.traced(self.state(), point, (catalog, topic), &proofs).await?.into_iter().take(left));
        }
        if searched.is_empty() && is_known {
            return Err(QueryError::Forbidden("rastro".to_owned()));
        }
        Ok(Trace { id: id.to_owned(), searched, rows, is_cut })
    }
}

fn may_trace(principal: &Principal, topic: &Topic) -> bool {
    principal.scopes().has(TRACE_SCOPE) || principal.scopes().may_read(&topic.name)
}

/// One row of some columns as a JSON object; none of none.
fn object(row: &RecordBatch) -> Result<Option<Box<RawValue>>, QueryError> {
    if row.num_columns() == 0 || row.num_rows() == 0 {
        return Ok(None);
    }
    let mut rows = JsonRows::new();
    rows.push_within(&row.slice(0, 1), usize::MAX)?;
    let text = String::from_utf8(rows.finish()).unwrap_or_default();
    let object = text.trim_start_matches('[').trim_end_matches(']').to_owned();
    // It was written as JSON a moment ago.
    Ok(RawValue::from_string(object).ok())
}

#[cfg(test)]
mod tests;
