//! Rows as the bytes of an answer, in the format that was asked for, piece by piece.

mod csv;
mod json;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderValue};

pub(crate) use self::json::{JsonRows, utc_text};

use self::csv::CsvRows;
use crate::problem::Problem;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    Json,
    Csv,
}

impl Format {
    /// The one that the client likes best; JSON among equals.
    pub(crate) fn of(request: &HeaderMap) -> Result<Self, Problem> {
        let accept: Vec<_> = request.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let accept = accept.join(",");
        if accept.trim().is_empty() {
            return Ok(Self::Json);
        }
        let (json, csv) = (quality(&accept, "application", "json"), quality(&accept, "text", "csv"));
        match (json, csv) {
            (json, csv) if json <= 0.0 && csv <= 0.0 => Err(Problem::not_acceptable(&accept)),
            (json, csv) if csv > json => Ok(Self::Csv),
            _ => Ok(Self::Json),
        }
    }

    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        })
    }
}

/// What the most exact of the ranges that cover a type gives it.
fn quality(accept: &str, wanted: &str, wanted_below: &str) -> f32 {
    let mut best = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let Some((kind, below)) = parts.next().and_then(|kind| kind.split_once('/')) else { continue };
        let exactness = match (kind, below) {
            (kind, below) if kind.eq_ignore_ascii_case(wanted) && below.eq_ignore_ascii_case(wanted_below) => 3,
            (kind, "*") if kind.eq_ignore_ascii_case(wanted) => 2,
            ("*", "*") => 1,
            _ => continue,
        };
        let given = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let given = given.map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
        if exactness > best.0 {
            best = (exactness, given);
        }
    }
    best.1
}

/// Writes batches row by row.
pub(crate) enum Rows {
    Json(JsonRows),
    Csv(CsvRows),
}

impl Rows {
    pub(crate) fn new(format: Format, schema: &Schema) -> Self {
        match format {
            Format::Json => Self::Json(JsonRows::new()),
            Format::Csv => Self::Csv(CsvRows::new(schema)),
        }
    }

    /// Writes rows from `from` on until `bytes` are waiting or the batch is at its end; where to go on.
    pub(crate) fn push(&mut self, batch: &RecordBatch, from: usize, bytes: usize) -> Result<usize, ArrowError> {
        match self {
            Self::Json(rows) => rows.push_some(batch, from, bytes),
            Self::Csv(rows) => rows.push_some(batch, from, bytes),
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        match self {
            Self::Json(rows) => rows.waiting(),
            Self::Csv(rows) => rows.waiting(),
        }
    }

    /// What waits to be sent.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Json(rows) => rows.take(),
            Self::Csv(rows) => rows.take(),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Json(rows) => rows.finish(),
            Self::Csv(rows) => rows.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &'static str) -> Option<Format> {
        let headers = [(ACCEPT, HeaderValue::from_static(accept))].into_iter().collect();
        Format::of(&headers).ok()
    }

    #[test]
    fn the_format_that_is_liked_best() {
        for accept in [
            "",
            "*/*",
            "application/json",
            "text/csv;q=0.5, application/json",
            "text/csv, application/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ] {
            assert_eq!(of(accept), Some(Format::Json), "{accept}");
        }
        for accept in [
            "text/csv",
            "TEXT/CSV; header=present",
            "text/*",
            "application/json;q=0.1, text/csv;q=0.2",
            "text/csv, */*;q=0.1",
        ] {
            assert_eq!(of(accept), Some(Format::Csv), "{accept}");
        }
        for accept in ["application/xml", "text/csv;q=0", "image/*", "*/*;q=0", "nonsense"] {
            assert_eq!(of(accept), None, "{accept}");
        }
    }
}
