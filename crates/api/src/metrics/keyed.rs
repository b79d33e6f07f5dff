//! Tables with one row for each key: page by page in the order of their keys, and live, each row
//! when it changes.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datafusion::catalog::TableProvider;
use datafusion::scalar::ScalarValue;
use vitral_panes::view::{Completeness, KeyedTableView, MetricFailure, View};
use vitral_query::{
    ChangedAfter, Format, KeyedFilter, LIMIT, LIMIT_MAX, Principal, QueryError, REASON_UNTOLD, sees_completeness,
};

use super::followed::Followed;
use super::sse::{self, Messages};
use super::streams::Place;
use super::{LIMIT_DEFAULT, json, path_of, rows_alone};
use crate::accept::{content_type, format_of};
use crate::answer::{self, TRUNCATED};
use crate::completeness::{self, Figures};
use crate::parameters::{CURSOR, Parameters};
use crate::problem::Problem;
use crate::shared::Shared;

const OWN_PARAMETERS: [&str; 2] = [LIMIT, CURSOR];

pub(super) async fn page(
    shared: &Shared,
    principal: &Principal,
    (view, name): (&View, &str),
    query: Option<&str>,
    request: &HeaderMap,
) -> Result<Response, Problem> {
    let shown = shared.keyed(principal, view, name)?;
    let format = format_of(request)?;
    let filterable = text_columns(shown);
    let allowed: Vec<&str> = OWN_PARAMETERS.into_iter().chain(filterable.iter().map(String::as_str)).collect();
    let rules = shared.filter_rules(&shown.topic, &filterable);
    let parameters = Parameters::read(query, &allowed)?.held_against(&rules)?;
    let limit = parameters.limit(LIMIT_DEFAULT)?;
    let fingerprint = parameters.fingerprint(name);
    let after = parameters.text(CURSOR).map(|text| read_cursor(text, &fingerprint, shown)).transpose()?;
    let filters = filterable.iter().filter_map(|column| Some((column.as_str(), parameters.text(column)?)));
    // One row more than asked for tells whether there is a next page.
    let wanted = KeyedFilter { filters: filters.collect(), after, changed_after: None, count: Some(limit + 1) };
    let (found, permit) = shared
        .reader
        .admitted(async |permit| -> Result<_, QueryError> {
            Ok((
                shared
                    .reader
                    .keyed_rows(principal, name, shown, &wanted)
                    .await
                    .map_err(|error| failed(principal, name, shown, error))?,
                permit,
            ))
        })
        .await?;
    let rows = found.slice(0, found.num_rows().min(limit));
    let of_topic = completeness_of(view, shown);
    let named = shared.reader.labels(principal).await.added_to(&rows).map_err(QueryError::from)?;
    let (body, headers) = match format {
        Format::Json => (document(principal, (name, shown), &of_topic, &named, shared.answer_bytes)?, HeaderMap::new()),
        format => (
            rows_alone(format, &named, shared.answer_bytes)?,
            completeness::of_topics(principal, &[(&shown.topic, &of_topic)]),
        ),
    };
    let body = answer::of_bytes(body, permit);
    let mut response = (headers, [(CONTENT_TYPE, content_type(format))], body).into_response();
    if found.num_rows() > limit {
        let next = write_cursor(&rows, shown.keys.len(), &fingerprint)?;
        let headers = response.headers_mut();
        headers.insert(TRUNCATED, HeaderValue::from_static("true"));
        headers.insert(LINK, parameters.next_link(&path_of(name), &next)?);
    }
    Ok(response)
}

/// Why rows cannot be read: of a table that is set aside, as its states do not merge.
fn failed(principal: &Principal, name: &str, shown: &KeyedTableView, error: QueryError) -> QueryError {
    let Some(MetricFailure { reason, .. }) = &shown.failure else { return error };
    if error.is_memory() || !matches!(error, QueryError::Engine(_)) {
        return error;
    }
    let reason = if sees_completeness(principal) { reason.as_str() } else { REASON_UNTOLD };
    QueryError::SetAside { table: name.to_owned(), reason: reason.to_owned() }
}

fn completeness_of(view: &View, shown: &KeyedTableView) -> Completeness {
    view.topics.get(&shown.topic).map(|topic| topic.completeness.clone()).unwrap_or_default()
}

fn document(
    principal: &Principal,
    (name, shown): (&str, &KeyedTableView),
    of_topic: &Completeness,
    rows: &RecordBatch,
    bytes_max: usize,
) -> Result<Vec<u8>, QueryError> {
    let state = (Figures::of_topic(of_topic, shown.since_ms), shown.failure.clone());
    json(principal, name, (rows, None), state, bytes_max)
}

/// The columns that a request may filter by.
fn text_columns(shown: &KeyedTableView) -> Vec<String> {
    let schema = shown.rows.schema();
    let texts = schema
        .fields()
        .iter()
        .filter(|field| matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View));
    let names = texts.map(|field| field.name().clone());
    names.filter(|name| !OWN_PARAMETERS.contains(&name.as_str())).collect()
}

/// Where a page ended: the key of its last row. Rows that come or go meanwhile make no other row
/// come twice or not at all.
fn write_cursor(rows: &RecordBatch, keys: usize, fingerprint: &str) -> Result<String, QueryError> {
    let last = rows.num_rows().saturating_sub(1);
    let mut values = Vec::with_capacity(keys);
    for column in rows.columns().iter().take(keys) {
        let text = if column.is_null(last) { None } else { Some(array_value_to_string(column, last)?) };
        values.push(text);
    }
    let text =
        serde_json::to_string(&(fingerprint, values)).map_err(|error| ArrowError::ExternalError(error.into()))?;
    Ok(URL_SAFE_NO_PAD.encode(text))
}

fn read_cursor(text: &str, fingerprint: &str, shown: &KeyedTableView) -> Result<Vec<ScalarValue>, Problem> {
    let none_of_ours = || Problem::invalid_cursor("the cursor was not made by this server");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| none_of_ours())?;
    let (asked, values): (String, Vec<Option<String>>) = serde_json::from_slice(&bytes).map_err(|_| none_of_ours())?;
    if asked != fingerprint {
        return Err(Problem::invalid_cursor("cursor belongs to a request with other parameters"));
    }
    let schema = shown.rows.schema();
    let types = shown.keys.iter().map(|key| schema.field_with_name(key).map(|field| field.data_type().clone()));
    let types = types.collect::<Result<Vec<_>, _>>().map_err(|_| none_of_ours())?;
    if types.len() != values.len() {
        return Err(none_of_ours());
    }
    let values = values.into_iter().zip(types).map(|(value, data_type)| match value {
        None => ScalarValue::try_from(&data_type),
        Some(text) => ScalarValue::try_from_string(text, &data_type),
    });
    values.collect::<Result<_, _>>().map_err(|_| none_of_ours())
}

/// The table's first rows at once, and from then on those that have changed, at most [`LIMIT_MAX`]
/// of them in a message. Removed keys are sent of tables that have no more rows than that.
pub(super) fn live(shared: &Arc<Shared>, principal: Principal, name: String, place: Place) -> Response {
    let rows = ChangedKeys {
        shared: Arc::clone(shared),
        principal,
        name: name.clone(),
        seen: None,
        has_more: false,
        sent: Sent::Nothing,
        first: None,
    };
    sse::respond(shared, name, place, rows)
}

struct ChangedKeys {
    shared: Arc<Shared>,
    principal: Principal,
    name: String,
    /// What was read last, and why nothing more came.
    seen: Option<(Arc<dyn TableProvider>, Option<MetricFailure>)>,
    /// Whether more of it has changed than the last message could hold.
    has_more: bool,
    sent: Sent,
    /// The first rows of a part, as they were sent when rows had been taken back.
    first: Option<RecordBatch>,
}

/// What the reader has.
enum Sent {
    Nothing,
    /// The whole table, with all changes up to here.
    All(Followed, ChangedAfter),
    /// A part of a larger one: since it was sent, every change up to here.
    UpTo(ChangedAfter),
}

impl Messages for ChangedKeys {
    async fn next(&mut self, view: &View) -> Result<Option<Vec<u8>>, QueryError> {
        let Some(shown) = view.keyed.get(&self.name) else { return Ok(None) };
        let is_known = match &self.seen {
            Some((rows, failure)) if Arc::ptr_eq(rows, &shown.rows) && *failure == shown.failure && !self.has_more => {
                return Ok(None);
            }
            Some((_, failure)) => *failure == shown.failure,
            None => false,
        };
        let (rows, removed) = self.changes(shown, is_known).await?;
        self.seen = Some((Arc::clone(&shown.rows), shown.failure.clone()));
        if is_known && rows.num_rows() == 0 && removed.as_ref().is_none_or(|removed| removed.num_rows() == 0) {
            return Ok(None);
        }
        let of_topic = completeness_of(view, shown);
        let figures = Figures::of_topic(&of_topic, shown.since_ms);
        let state = (figures, shown.failure.clone());
        let rows = self.shared.reader.labels(&self.principal).await.added_to(&rows)?;
        json(&self.principal, &self.name, (&rows, removed.as_ref()), state, self.shared.answer_bytes).map(Some)
    }
}

impl ChangedKeys {
    /// The rows that the reader does not have as they are, and the keys that were removed, if that
    /// can be known.
    async fn changes(
        &mut self,
        shown: &KeyedTableView,
        is_known: bool,
    ) -> Result<(RecordBatch, Option<RecordBatch>), QueryError> {
        if let Sent::UpTo(after) = &self.sent {
            let after = after.clone();
            return Ok((self.newer(shown, after, is_known).await?, None));
        }
        let rows = self.read(shown, None, LIMIT_MAX + 1).await?;
        if rows.num_rows() > LIMIT_MAX {
            if let Sent::All(_, after) = &self.sent {
                let after = after.clone();
                return Ok((self.newer(shown, after, is_known).await?, None));
            }
            let reader = &self.shared.reader;
            self.sent = Sent::UpTo(reader.bounded(reader.newest_change(&self.principal, &self.name, shown)).await?);
            return Ok((rows.slice(0, LIMIT_MAX), None));
        }
        let after = ChangedAfter::all_of(&rows);
        let mut followed = match std::mem::replace(&mut self.sent, Sent::Nothing) {
            Sent::All(followed, _) => followed,
            _ => Followed::new(&rows.schema(), shown.keys.len())?,
        };
        let changes = followed.update(&rows)?;
        self.sent = Sent::All(followed, after);
        Ok((changes.rows, Some(changes.removed)))
    }

    /// The first of those that have changed since; the others are those of the next calls.
    async fn newer(
        &mut self,
        shown: &KeyedTableView,
        after: ChangedAfter,
        is_known: bool,
    ) -> Result<RecordBatch, QueryError> {
        let is_rest = std::mem::take(&mut self.has_more);
        let mut rows = self.read(shown, Some(after.clone()), LIMIT_MAX).await?;
        self.has_more = rows.num_rows() == LIMIT_MAX;
        let last = ChangedAfter::last_of(&rows, shown.keys.len())?;
        self.sent = Sent::UpTo(last.unwrap_or(after));
        if rows.num_rows() == 0 && is_known && !is_rest {
            // Rows were taken back: what is there now. Of one who sees some rows only, others may
            // have changed instead.
            let first = self.read(shown, None, LIMIT_MAX).await?;
            if self.first.as_ref() != Some(&first) {
                rows = first.clone();
            }
            self.first = Some(first);
        }
        Ok(rows)
    }

    async fn read(
        &self,
        shown: &KeyedTableView,
        changed_after: Option<ChangedAfter>,
        most: usize,
    ) -> Result<RecordBatch, QueryError> {
        let wanted = KeyedFilter { changed_after, count: Some(most), ..KeyedFilter::default() };
        let reader = &self.shared.reader;
        reader.bounded(reader.keyed_rows(&self.principal, &self.name, shown, &wanted)).await
    }
}
