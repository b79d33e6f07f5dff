//! Which format a client wants its answer in.

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderValue};
use vitral_query::Format;

use crate::problem::Problem;

/// The one that the client likes best; among equals the first of [`Format::ALL`].
pub(crate) fn format_of(request: &HeaderMap) -> Result<Format, Problem> {
    let accept: Vec<_> = request.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accept = accept.join(",");
    if accept.trim().is_empty() {
        return Ok(Format::Json);
    }
    let mut best = None;
    for format in Format::ALL {
        let quality = media_type(format).split_once('/').map_or(0.0, |(kind, below)| quality(&accept, kind, below));
        if quality > best.map_or(0.0, |(_, best)| best) {
            best = Some((format, quality));
        }
    }
    best.map(|(format, _)| format).ok_or_else(|| Problem::not_acceptable(&accept))
}

/// Its name among media types.
pub(crate) fn media_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Csv => "text/csv",
        Format::NdJson => "application/x-ndjson",
        Format::Arrow => "application/vnd.apache.arrow.stream",
    }
}

pub(crate) fn content_type(format: Format) -> HeaderValue {
    HeaderValue::from_static(match format {
        Format::Csv => "text/csv; charset=utf-8; header=present",
        other => media_type(other),
    })
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
        // What is not a number says nothing.
        let given = given.map_or(1.0, |quality| quality.parse().unwrap_or(0.0_f32).clamp(0.0, 1.0));
        if exactness > best.0 {
            best = (exactness, given);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &'static str) -> Option<Format> {
        let headers = [(ACCEPT, HeaderValue::from_static(accept))].into_iter().collect();
        format_of(&headers).ok()
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
        for (accept, format) in [
            ("application/x-ndjson", Format::NdJson),
            ("application/vnd.apache.arrow.stream, application/json;q=0.9", Format::Arrow),
            ("text/csv;q=0.3, application/x-ndjson;q=0.4", Format::NdJson),
            ("application/json;q=0, application/*", Format::NdJson),
        ] {
            assert_eq!(of(accept), Some(format), "{accept}");
        }
        for accept in ["application/xml", "text/csv;q=0", "image/*", "*/*;q=0", "text/csv;q=NaN", "nonsense"] {
            assert_eq!(of(accept), None, "{accept}");
        }
    }
}
