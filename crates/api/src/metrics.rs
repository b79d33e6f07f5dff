//! `/metricas`: the list of metrics, a metric's rows page by page, and its newest window as a live
//! stream.

mod changed_rows;
mod cursor;
mod followed;
mod keyed;
mod list;
mod live;
mod page;
mod sse;
mod streams;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use serde::Serialize;
use serde_json::value::RawValue;
use vitral_panes::view::{MetricFailure, MetricView};
use vitral_query::{Format, JsonRows, QueryError, Rows, utc_text};
use vitral_schemas::time::MICROS_PER_MS;

use crate::completeness::Figures;

pub(crate) use self::list::list;
pub(crate) use self::live::live;
pub(crate) use self::page::page;
pub(crate) use self::streams::LiveStreams;

/// Rows of a page.
const LIMIT_DEFAULT: usize = 100;

/// The answer for one metric, the same from a page and from a stream.
#[derive(Serialize)]
struct Document<'a> {
    nome: &'a str,
    linhas: Box<RawValue>,
    /// Of a table without a window that is sent live: the keys whose rows were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    removidas: Option<Box<RawValue>>,
    completude: Figures<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    falha: Option<Failure>,
}

/// Why windows of a metric are missing.
#[derive(Serialize)]
struct Failure {
    motivo: String,
    desde: Option<String>,
}

impl Failure {
    fn of(failure: MetricFailure) -> Self {
        let desde = failure.since_ms.checked_mul(MICROS_PER_MS).and_then(utc_text);
        Self { motivo: failure.reason, desde }
    }
}

fn document(name: &str, shown: &MetricView, rows: &RecordBatch, bytes_max: usize) -> Result<Vec<u8>, QueryError> {
    json(name, rows, None, Figures::of(shown), shown.failure(), bytes_max)
}

fn json(
    name: &str,
    rows: &RecordBatch,
    removed: Option<&RecordBatch>,
    completude: Figures<'_>,
    failure: Option<MetricFailure>,
    bytes_max: usize,
) -> Result<Vec<u8>, QueryError> {
    let linhas = raw(rows, bytes_max)?;
    let removidas =
        removed.filter(|removed| removed.num_rows() > 0).map(|removed| raw(removed, bytes_max)).transpose()?;
    let document = Document { nome: name, linhas, removidas, completude, falha: failure.map(Failure::of) };
    Ok(serde_json::to_vec(&document).map_err(|error| ArrowError::ExternalError(error.into()))?)
}

fn raw(rows: &RecordBatch, bytes_max: usize) -> Result<Box<RawValue>, QueryError> {
    let mut written = JsonRows::new();
    if !written.push_within(rows, bytes_max)? {
        return Err(QueryError::TooLarge(bytes_max));
    }
    let text = String::from_utf8(written.finish()).map_err(|error| ArrowError::ExternalError(error.into()))?;
    Ok(RawValue::from_string(text).map_err(|error| ArrowError::ExternalError(error.into()))?)
}

fn csv(batch: &RecordBatch, bytes_max: usize) -> Result<Vec<u8>, QueryError> {
    let mut rows = Rows::new(Format::Csv, &batch.schema());
    let is_whole = rows.push(batch, 0, bytes_max)? == batch.num_rows();
    if is_whole { Ok(rows.finish()) } else { Err(QueryError::TooLarge(bytes_max)) }
}

/// A metric's path: its name may hold anything that a quoted identifier may.
fn path_of(name: &str) -> String {
    let mut path = String::from("/metricas/");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}
