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
use vitral_query::{Format, JsonRows, Principal, QueryError, REASON_UNTOLD, Rows, sees_completeness, utc_text};
use vitral_schemas::time::MICROS_PER_MS;

use crate::completeness::Figures;

pub(crate) use self::list::list;
pub(crate) use self::live::{SESSIONS_DEFAULT, live};
pub(crate) use self::page::page;
pub(crate) use self::streams::LiveStreams;

/// Rows of a page.
pub(crate) const LIMIT_DEFAULT: usize = 100;

/// The answer for one metric, the same from a page and from a stream.
#[derive(Serialize)]
struct Document<'a> {
    nome: &'a str,
    linhas: Box<RawValue>,
    /// Of a table without a window that is sent live: the keys whose rows were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    removidas: Option<Box<RawValue>>,
    /// Nothing for one who sees some rows only.
    #[serde(skip_serializing_if = "Option::is_none")]
    completude: Option<Figures<'a>>,
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
    /// A reason may quote any row: who sees only some hears that there is one.
    fn of(principal: &Principal, failure: MetricFailure) -> Self {
        let desde = failure.since_ms.checked_mul(MICROS_PER_MS).and_then(utc_text);
        let motivo = if sees_completeness(principal) { failure.reason } else { REASON_UNTOLD.to_owned() };
        Self { motivo, desde }
    }
}

fn document(
    principal: &Principal,
    (name, shown): (&str, &MetricView),
    rows: &RecordBatch,
    bytes_max: usize,
) -> Result<Vec<u8>, QueryError> {
    json(principal, name, (rows, None), (Figures::of(shown), shown.failure()), bytes_max)
}

fn json(
    principal: &Principal,
    name: &str,
    (rows, removed): (&RecordBatch, Option<&RecordBatch>),
    (figures, failure): (Figures<'_>, Option<MetricFailure>),
    bytes_max: usize,
) -> Result<Vec<u8>, QueryError> {
    let linhas = raw(rows, bytes_max)?;
    let removidas =
        removed.filter(|removed| removed.num_rows() > 0).map(|removed| raw(removed, bytes_max)).transpose()?;
    let completude = sees_completeness(principal).then_some(figures);
    let falha = failure.map(|failure| Failure::of(principal, failure));
    let document = Document { nome: name, linhas, removidas, completude, falha };
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

/// In a format that has rows alone.
fn rows_alone(format: Format, batch: &RecordBatch, bytes_max: usize) -> Result<Vec<u8>, QueryError> {
    let mut rows = Rows::new(format, &batch.schema());
    let is_whole = rows.push(batch, 0, bytes_max)? == batch.num_rows();
    if is_whole { Ok(rows.finish()) } else { Err(QueryError::TooLarge(bytes_max)) }
}

/// A metric's path: its name may hold anything that a quoted identifier may.
pub(crate) fn path_of(name: &str) -> String {
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
