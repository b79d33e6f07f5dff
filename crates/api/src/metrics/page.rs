//! `GET /metricas/{nome}`: a metric's rows, newest window first, page by page.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use axum::Extension;
use axum::extract::{Path, RawQuery, State, rejection::PathRejection};
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use vitral_panes::view::MetricView;
use vitral_query::metric_rows::RowFilter;
use vitral_query::{FROM, Format, LIMIT, PROVISIONAL_COLUMN, Principal, QueryError, UNTIL};

use super::cursor::Cursor;
use super::{LIMIT_DEFAULT, document, keyed, path_of, rows_alone};
use crate::accept::{content_type, format_of};
use crate::answer::{self, TRUNCATED};
use crate::completeness;
use crate::parameters::{CURSOR, Parameters};
use crate::problem::Problem;
use crate::shared::Shared;

const OWN_PARAMETERS: [&str; 4] = [FROM, UNTIL, LIMIT, CURSOR];

pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    Extension(principal): Extension<Principal>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let Path(name) = name.map_err(|_| Problem::not_found(uri.path()))?;
    let view = shared.view()?;
    if shared.catalog.keyed_view(&name).is_some() {
        return keyed::page(&shared, &principal, (&view, &name), query.as_deref(), &request).await;
    }
    let (metric, shown) = shared.metric(&principal, &view, &name)?;
    let earlier = match shown.open.is_made() {
        true => None,
        false => shared.reader.bounded(shared.reader.earlier_metric(&name, shown)).await?,
    };
    let shown = earlier.as_deref().unwrap_or(shown);

    let format = format_of(&request)?;
    let filterable = text_columns(shown);
    let allowed: Vec<_> = OWN_PARAMETERS.into_iter().chain(filterable.iter().copied()).collect();
    let rules = shared.filter_rules(&metric.topic, &filterable);
    let parameters = Parameters::read(query.as_deref(), &allowed)?.held_against(&rules)?;
    let mut range = parameters.range()?;
    let limit = parameters.limit(LIMIT_DEFAULT)?;
    let fingerprint = parameters.fingerprint(&name);
    let cursor = parameters.text(CURSOR).map(|text| Cursor::read(text, &fingerprint)).transpose()?;
    let resumed = cursor.map(|cursor| resume(cursor, shown));
    if let Some(cursor) = resumed {
        let end = cursor.window.saturating_add(1);
        range.until = Some(range.until.map_or(end, |until| until.min(end)));
    }

    // One row more than asked for tells whether there is a next page.
    let filters = filterable.into_iter().filter_map(|column| Some((column, parameters.text(column)?)));
    let skip = resumed.map_or(0, |cursor| cursor.rows);
    let wanted = RowFilter { range, filters: filters.collect(), skip, count: Some(limit + 1) };
    let (found, permit) = shared
        .reader
        .admitted(async |permit| -> Result<_, QueryError> {
            Ok((shared.reader.metric_rows(&principal, metric, shown, &wanted).await?, permit))
        })
        .await?;
    let rows = found.slice(0, found.num_rows().min(limit));

    let named = shared.reader.labels(&principal).await.added_to(&rows).map_err(QueryError::from)?;
    let (body, headers) = match format {
        Format::Json => (document(&principal, (&name, shown), &named, shared.answer_bytes)?, HeaderMap::new()),
        format => (rows_alone(format, &named, shared.answer_bytes)?, completeness::of_metric(&principal, shown)),
    };
    let body = answer::of_bytes(body, permit);
    let mut response = (headers, [(CONTENT_TYPE, content_type(format))], body).into_response();
    if found.num_rows() > limit
        && let Some(next) = end_of(&rows, resumed)
    {
        let headers = response.headers_mut();
        headers.insert(TRUNCATED, HeaderValue::from_static("true"));
        headers.insert(LINK, parameters.next_link(&path_of(&name), &next.write(&fingerprint))?);
    }
    Ok(response)
}

/// A window that has been closed since is begun again: see [`super::cursor`].
fn resume(cursor: Cursor, view: &MetricView) -> Cursor {
    let closed = !view.open.begins_at(cursor.window);
    if cursor.provisional && closed { Cursor { rows: 0, provisional: false, ..cursor } } else { cursor }
}

/// Where the page that holds these rows ends.
fn end_of(rows: &RecordBatch, resumed: Option<Cursor>) -> Option<Cursor> {
    let starts = rows.column(0).as_primitive_opt::<TimestampMicrosecondType>()?.values();
    let window = *starts.last()?;
    let here = starts.iter().rev().take_while(|start| **start == window).count();
    let before = resumed.filter(|cursor| cursor.window == window).map_or(0, |cursor| cursor.rows);
    let provisional = rows.column_by_name(PROVISIONAL_COLUMN)?.as_boolean_opt()?;
    let provisional = provisional.value(provisional.len().checked_sub(1)?);
    Some(Cursor { window, rows: before + here, provisional })
}

/// The columns that a request may filter by; none of the other parameters' names.
fn text_columns(view: &MetricView) -> Vec<&str> {
    let texts = view
        .schema
        .fields()
        .iter()
        .filter(|field| matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View));
    texts.map(|field| field.name().as_str()).filter(|name| !OWN_PARAMETERS.contains(name)).collect()
}
