//! The catalog's endpoints: each answers its query's rows, as a JSON array or as CSV.

mod kept;
mod pages;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use datafusion::scalar::ScalarValue;
use vitral_catalog::{Catalog, Endpoint, Needs};
use vitral_query::{
    Cache, Entry, Format, Freshness, KeptAnswer, Key, MemoryCache, NOW, ParameterRule, Permit, ReadPoint, Reader,
    SingleFlight, State as Tables, placeholder_values,
};

use self::pages::{AfterError, Cursor, Order};
use crate::accept::{content_type, format_of};
use crate::answer::{self, Answer, AnswerBody, TRUNCATED};
use crate::completeness;
use crate::error::ApiError;
use crate::parameters::{CURSOR, Parameters};
use crate::problem::Problem;
use crate::shared::Shared;

/// An endpoint with what its query reads.
pub(crate) struct Prepared {
    endpoint: Endpoint,
    needs: Needs,
    rules: Vec<(String, ParameterRule)>,
    /// One row more than `limite` may be asked for, and further pages.
    is_paged: bool,
    /// The same tables give the same rows.
    is_steady: bool,
    cache: Arc<dyn Cache>,
    flights: SingleFlight,
}

/// Resolves what every endpoint reads.
pub(crate) fn prepare(catalog: &Catalog, reader: &Reader) -> Result<Vec<Prepared>, ApiError> {
    let prepared = catalog.endpoints.iter().map(|endpoint| {
        let needs = reader.needs(&endpoint.query, &endpoint.position)?;
        let rules = reader.parameter_rules(catalog, endpoint, &needs);
        let has = |name: &str| endpoint.parameters.contains(name);
        let is_paged = pages::is_limited(&endpoint.query) && !has(CURSOR);
        let is_steady = !has(NOW) && reader.is_steady(&endpoint.query, &needs);
        let cache = Arc::new(MemoryCache::default());
        let flights = SingleFlight::default();
        Ok(Prepared { endpoint: endpoint.clone(), needs, rules, is_paged, is_steady, cache, flights })
    });
    prepared.collect()
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
        let point = shared.read_point()?;
        let format = format_of(request)?;
        let own = self.endpoint.parameters.iter().map(String::as_str).filter(|name| *name != NOW);
        let allowed: Vec<_> = own.chain(self.is_paged.then_some(CURSOR)).collect();
        let parameters = Parameters::read(query, &allowed)?.held_against(&self.rules)?;
        let cursor = self.is_paged.then(|| parameters.text(CURSOR)).flatten();
        let cursor = cursor.map(|text| Cursor::read(text, &parameters.fingerprint(&self.endpoint.path))).transpose()?;
        let limit = parameters.limit(self.endpoint.limit_default)?;
        // One row more tells whether there are more.
        let rows = if self.is_paged { limit + 1 } else { limit };
        let text = |name: &str| parameters.text(name);
        let values = placeholder_values(&self.endpoint, point.now_ms, parameters.range()?, rows, text);
        let question = Question { parameters: &parameters, format, limit, values, cursor };
        if !self.is_steady {
            let (answer, headers) = self.compute(shared, &point, question).await?;
            let completeness = completeness::headers(&point.view, &self.needs);
            return Ok(respond(format, completeness, headers, answer.body.into_body()));
        }
        self.kept_or_computed(shared, &point, question).await
    }

    /// Waits for the one that computes the same; computes it if that is nobody.
    async fn kept_or_computed(
        &self,
        shared: &Shared,
        point: &ReadPoint,
        question: Question<'_>,
    ) -> Result<Response, Problem> {
        let format = question.format;
        let parameters = question.parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (principal, path) = (point.principal.clone(), self.endpoint.path.clone());
        let key = Key { principal, path, parameters: parameters.collect(), format };
        let tables = Tables::of(point, &self.needs);
        if let Some(kept) = self.kept(&key, &tables, point).await {
            return Ok(kept);
        }
        let flight = self.flights.of(&key);
        let _computing = shared.reader.in_time(flight.lock()).await?;
        if let Some(kept) = self.kept(&key, &tables, point).await {
            return Ok(kept);
        }
        let completeness = completeness::headers(&point.view, &self.needs);
        let started = Instant::now();
        let computed = self.compute(shared, point, question).await;
        let took = started.elapsed();
        let (answer, outcome) = match computed {
            Ok((Answer { body: AnswerBody::Whole(body), .. }, headers)) => {
                let answer = KeptAnswer {
                    status: 200,
                    body: body.clone(),
                    completeness: kept::texts(&completeness),
                    head: kept::texts(&with_type(format, headers.clone())),
                };
                (answer, Ok(respond(format, completeness, headers, body.into())))
            }
            Ok((Answer { body: AnswerBody::Pieces(body), .. }, headers)) => {
                return Ok(respond(format, completeness, headers, body));
            }
            Err(problem) => (problem.kept(), Err(problem)),
        };
        if let Some(entry) = Entry::new(tables, answer, took) {
            self.cache.put(key, entry).await;
        }
        outcome
    }

    /// What was computed before, if it is still right or was too costly to be computed again so
    /// soon.
    async fn kept(&self, key: &Key, tables: &Tables, point: &ReadPoint) -> Option<Response> {
        let entry = self.cache.get(key).await?;
        match entry.freshness(tables) {
            // Rows that are the same may be known to be more complete.
            Freshness::Current => {
                Some(kept::response(&entry.answer, completeness::headers(&point.view, &self.needs), None))
            }
            Freshness::Aged(age) => {
                Some(kept::response(&entry.answer, kept::headers(&entry.answer.completeness), Some(age)))
            }
            Freshness::Stale => None,
        }
    }

    /// The rows, and what the head says of them.
    async fn compute(
        &self,
        shared: &Shared,
        point: &ReadPoint,
        question: Question<'_>,
    ) -> Result<(Answer, HeaderMap), Problem> {
        let Question { parameters, format, limit, values, cursor } = question;
        let reader = &shared.reader;
        let limit = self.is_paged.then_some(limit);
        let rows = async |permit: Permit| -> Result<_, Problem> {
            let planned = reader.plan(point, &self.endpoint.query, &self.needs).await?;
            let order = if self.is_paged { Order::of(&planned.plan) } else { None };
            let plan = match (&cursor, order) {
                (None, _) => planned.plan.clone(),
                (Some(_), None) => return Err(Problem::foreign_cursor()),
                (Some(cursor), Some(order)) => order.after(cursor).map_err(|error| match error {
                    AfterError::Cursor => Problem::foreign_cursor(),
                    AfterError::Engine(error) => error.into(),
                })?,
            };
            let order = if self.is_paged { Order::of(&plan) } else { None };
            let frame = planned.frame(plan.with_param_values(values)?);
            let answer = async {
                let batches = frame.execute_stream().await?;
                answer::of_rows(batches, format, limit, shared.answer_bytes, permit).await
            };
            let answer = answer.await.map_err(|error| parameters.problem_of(error))?;
            Ok((answer, order))
        };
        let (answer, order) = reader.admitted(rows).await?;
        let mut headers = HeaderMap::new();
        if let Some((last, next)) = &answer.cut {
            headers.insert(TRUNCATED, HeaderValue::from_static("true"));
            let cursor = order.and_then(|order| order.cursor(last, next));
            if let Some(cursor) = cursor {
                let cursor = cursor.write(&parameters.fingerprint(&self.endpoint.path));
                headers.insert(LINK, parameters.next_link(&self.endpoint.path, &cursor)?);
            }
        }
        Ok((answer, headers))
    }
}

fn with_type(format: Format, mut headers: HeaderMap) -> HeaderMap {
    headers.insert(CONTENT_TYPE, content_type(format));
    headers
}

fn respond(format: Format, completeness: HeaderMap, headers: HeaderMap, body: Body) -> Response {
    let mut response = (completeness, body).into_response();
    response.headers_mut().extend(with_type(format, headers));
    response
}
