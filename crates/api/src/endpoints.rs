//! The catalog's endpoints: each answers its query's rows, as a JSON array or as CSV.

mod cache;
mod pages;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use datafusion::scalar::ScalarValue;
use vitral_catalog::{Catalog, Diagnostic, Diagnostics, Endpoint};
use vitral_schemas::time::MICROS_PER_MS;

use self::cache::{Cache, Entry, Kept, Key};
use self::pages::{AfterError, Cursor, Order};
use crate::answer::{self, Answer, AnswerBody};
use crate::completeness;
use crate::error::ApiError;
use crate::parameters::{CURSOR, FROM, LIMIT, LIMIT_MAX, Parameters, UNTIL};
use crate::problem::Problem;
use crate::query::{Moment, Permit, QueryError, Reader, frame, utc};
use crate::rows::Format;
use crate::shared::Shared;
use crate::sources::Needs;

/// The time of the request: a placeholder that no request gives.
const NOW: &str = "agora";
/// First parts of paths that the API answers itself.
const OWN_PATHS: [&str; 7] = ["metricas", "assets", "healthz", "readyz", "metrics", "docs", "eventos"];
/// There are more rows than the answer has.
const TRUNCATED: HeaderName = HeaderName::from_static("vitral-truncated");

/// An endpoint with what its query reads.
pub(crate) struct Prepared {
    endpoint: Endpoint,
    needs: Needs,
    /// One row more than `limite` may be asked for, and further pages.
    is_paged: bool,
    /// The same tables give the same rows.
    is_steady: bool,
    cache: Cache,
}

/// Resolves every endpoint's query, so that a wrong name stops the start and not the first request.
pub(crate) fn prepare(catalog: &Catalog, reader: &Reader) -> Result<Vec<Prepared>, ApiError> {
    let mut prepared = Vec::new();
    let mut errors = Vec::new();
    for endpoint in &catalog.endpoints {
        match check(endpoint).and_then(|()| reader.needs(endpoint)) {
            Ok(needs) => {
                let has = |name: &str| endpoint.parameters.iter().any(|parameter| parameter == name);
                let is_paged = pages::is_limited(&endpoint.query) && !has(CURSOR);
                let is_steady = !has(NOW) && reader.is_steady(&endpoint.query, &needs);
                let cache = Cache::default();
                prepared.push(Prepared { endpoint: endpoint.clone(), needs, is_paged, is_steady, cache });
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(prepared) } else { Err(ApiError::Catalog(Diagnostics(errors))) }
}

fn check(endpoint: &Endpoint) -> Result<(), Diagnostic> {
    let first = endpoint.path.split('/').nth(1).unwrap_or_default();
    if OWN_PATHS.contains(&first) {
        return Err(endpoint.position.error(
            format!("path '{}' is the API's own", endpoint.path),
            format!("begin the path with another word than {}", OWN_PATHS.join(", ")),
        ));
    }
    if !(1..=LIMIT_MAX).contains(&endpoint.limit_default) {
        return Err(endpoint.position.error(
            format!("limite = {} is out of range", endpoint.limit_default),
            format!("give a default from 1 to {LIMIT_MAX}"),
        ));
    }
    Ok(())
}

pub(crate) fn routes(prepared: Vec<Prepared>) -> Router<Arc<Shared>> {
    prepared.into_iter().fold(Router::new(), |router, prepared| {
        let path = prepared.endpoint.path.clone();
        let prepared = Arc::new(prepared);
        let handler = move |State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery, headers: HeaderMap| {
            let prepared = Arc::clone(&prepared);
            async move { prepared.answer(&shared, query.as_deref(), &headers).await }
        };
        router.route(&path, get(handler))
    })
}

/// What was asked for.
struct Question<'a> {
    parameters: &'a Parameters,
    format: Format,
    limit: usize,
    values: HashMap<String, ScalarValue>,
    cursor: Option<Cursor>,
}

impl Prepared {
    async fn answer(&self, shared: &Shared, query: Option<&str>, request: &HeaderMap) -> Result<Response, Problem> {
        let view = shared.view()?;
        let format = Format::of(request)?;
        let own = self.endpoint.parameters.iter().map(String::as_str).filter(|name| *name != NOW);
        let allowed: Vec<_> = own.chain(self.is_paged.then_some(CURSOR)).collect();
        let parameters = Parameters::read(query, &allowed)?;
        let reconciliations = Arc::clone(&shared.reconciliations.borrow());
        let histories = Arc::clone(&shared.histories.borrow());
        let now_ms = shared.clock.now_ms();
        let moment = Moment { view: &view, histories: &histories, reconciliations: &reconciliations, now_ms };
        let cursor = self.is_paged.then(|| parameters.text(CURSOR)).flatten();
        let cursor = cursor.map(|text| Cursor::read(text, &parameters.question(&self.endpoint.path))).transpose()?;
        let limit = parameters.limit(self.endpoint.limit_default)?;
        let values = self.values(&parameters, limit, now_ms)?;
        let question = Question { parameters: &parameters, format, limit, values, cursor };
        if !self.is_steady {
            let (answer, headers) = self.compute(shared, &moment, question).await?;
            let completeness = completeness::headers(&view, &self.needs);
            return Ok(respond(format, completeness, headers, answer.body.into_body()));
        }
        self.kept_or_computed(shared, &moment, question).await
    }

    /// Waits for whoever computes the same; computes it if that is nobody.
    async fn kept_or_computed(
        &self,
        shared: &Shared,
        moment: &Moment<'_>,
        question: Question<'_>,
    ) -> Result<Response, Problem> {
        let format = question.format;
        let parameters = question.parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let key = Key { path: self.endpoint.path.clone(), parameters: parameters.collect(), format };
        let slot = self.cache.slot(key);
        let mut entry = shared.reader.in_time(slot.lock()).await?;
        let state = cache::State::of(moment, &self.needs);
        let completeness = completeness::headers(moment.view, &self.needs);
        if let Some(answer) = entry.as_ref().and_then(|entry| entry.answer(&state, completeness.clone())) {
            let Kept { body, completeness, headers } = answer?;
            return Ok(respond(format, completeness, headers, body.into()));
        }
        let started = Instant::now();
        let computed = self.compute(shared, moment, question).await;
        let took = started.elapsed();
        match computed {
            Ok((Answer { body: AnswerBody::Whole(body), .. }, headers)) => {
                let kept = Kept { body: body.clone(), completeness: completeness.clone(), headers: headers.clone() };
                *entry = Entry::new(state, Ok(kept), took);
                Ok(respond(format, completeness, headers, body.into()))
            }
            Ok((Answer { body: AnswerBody::Pieces(body), .. }, headers)) => {
                *entry = None;
                Ok(respond(format, completeness, headers, body))
            }
            Err(problem) => {
                *entry = Entry::new(state, Err(problem.clone()), took);
                Err(problem)
            }
        }
    }

    /// The rows, and what the head says of them.
    async fn compute(
        &self,
        shared: &Shared,
        moment: &Moment<'_>,
        question: Question<'_>,
    ) -> Result<(Answer, HeaderMap), Problem> {
        let Question { parameters, format, limit, values, cursor } = question;
        let reader = &shared.reader;
        let limit = self.is_paged.then_some(limit);
        let rows = async |permit: Permit| -> Result<_, QueryError> {
            let (context, plan) = reader.plan(moment, &self.endpoint.query, &self.needs).await?;
            let order = if self.is_paged { Order::of(&plan) } else { None };
            let plan = match (&cursor, order) {
                (None, _) => plan,
                (Some(_), None) => return Err(QueryError::Cursor),
                (Some(cursor), Some(order)) => order.after(cursor).map_err(|error| match error {
                    AfterError::Cursor => QueryError::Cursor,
                    AfterError::Engine(error) => error.into(),
                })?,
            };
            let order = if self.is_paged { Order::of(&plan) } else { None };
            let batches = frame(&context, plan.with_param_values(values)?).execute_stream().await?;
            let answer = answer::of_rows(batches, format, limit, shared.answer_bytes, permit).await?;
            Ok((answer, order))
        };
        let (answer, order) = reader.admitted(rows).await?;
        let mut headers = HeaderMap::new();
        if let Some((last, next)) = &answer.cut {
            headers.insert(TRUNCATED, HeaderValue::from_static("true"));
            let cursor = order.and_then(|order| order.cursor(last, next));
            if let Some(cursor) = cursor {
                let cursor = cursor.write(&parameters.question(&self.endpoint.path));
                headers.insert(LINK, parameters.next_link(&self.endpoint.path, &cursor)?);
            }
        }
        Ok((answer, headers))
    }

    /// A value for every placeholder; a parameter that was not given is a null of its type.
    fn values(
        &self,
        parameters: &Parameters,
        limit: usize,
        now_ms: i64,
    ) -> Result<HashMap<String, ScalarValue>, Problem> {
        let period = parameters.period()?;
        // One row more tells whether there are more.
        let rows = if self.is_paged { limit + 1 } else { limit };
        let value = |name: &str| match name {
            NOW => utc(now_ms.checked_mul(MICROS_PER_MS)),
            FROM => utc(period.from),
            UNTIL => utc(period.until),
            LIMIT => ScalarValue::Int64(i64::try_from(rows).ok()),
            name => ScalarValue::Utf8(parameters.text(name).map(str::to_owned)),
        };
        Ok(self.endpoint.parameters.iter().map(|name| (name.clone(), value(name))).collect())
    }
}

fn respond(format: Format, completeness: HeaderMap, headers: HeaderMap, body: Body) -> Response {
    let mut response = (completeness, [(CONTENT_TYPE, format.content_type())], body).into_response();
    response.headers_mut().extend(headers);
    response
}
