//! The catalog's endpoints: each answers its query's rows, as a JSON array or as CSV.

mod kept;
mod pages;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use tokio::sync::OnceCell;
use vitral_catalog::{Catalog, Endpoint, Name, Needs};
use vitral_query::{
    Asked, Entry, Format, Kept, KeptAnswer, Key, Labels, NOW, ParameterRule, Permit, Principal, QueryError, ReadPoint,
    Reader, State as Tables, SumsPlan, SumsQuestion, placeholder_values,
};

use self::pages::{AfterError, Cursor, Order};
use crate::accept::{content_type, format_of};
use crate::answer::{self, Answer, AnswerBody, TRUNCATED};
use crate::completeness;
use crate::error::ApiError;
use crate::etag;
use crate::parameters::{CURSOR, Parameters};
use crate::problem::Problem;
use crate::shared::Shared;

/// An endpoint with what its query reads.
pub(crate) struct Prepared {
    endpoint: Endpoint,
    needs: Needs,
    /// The same with what its tables are read together with.
    read: Needs,
    rules: Vec<(String, ParameterRule)>,
    /// One row more than `limite` may be asked for, and further pages.
    is_paged: bool,
    /// How long an answer may be given while its tables are the same; none if they do not give the
    /// same rows.
    kept_for: Option<Duration>,
    /// Its plan, if it reads sums alone: made with the first request.
    sums: OnceCell<Option<PlannedSums>>,
}

/// A statement over sums, planned once.
struct PlannedSums {
    plan: SumsPlan,
    statement: LogicalPlan,
}

/// How old an answer may be where its endpoint does not say.
const KEPT_FOR: Duration = Duration::from_secs(15 * 60);

/// Resolves what every endpoint reads.
pub(crate) fn prepare(catalog: &Catalog, reader: &Reader) -> Result<Vec<Prepared>, ApiError> {
    let prepared = catalog.endpoints.iter().map(|endpoint| {
        let needs = reader.needs(&endpoint.query, &endpoint.position)?;
        let rules = reader.parameter_rules(catalog, endpoint, &needs);
        let has = |name: &str| endpoint.parameters.contains(name);
        let is_paged = is_paged(endpoint);
        let is_steady = !has(NOW) && reader.is_steady(&endpoint.query, &needs);
        let kept_for = Some(endpoint.cache.unwrap_or(KEPT_FOR)).filter(|ttl| is_steady && !ttl.is_zero());
        let read = read_with(catalog, &needs);
        let sums = OnceCell::new();
        Ok(Prepared { endpoint: endpoint.clone(), needs, read, rules, is_paged, kept_for, sums })
    });
    prepared.collect()
}

/// Sums over a range of time have what the topic has and the table does not yet.
fn read_with(catalog: &Catalog, needs: &Needs) -> Needs {
    let mut read = needs.clone();
    let summed = catalog.keyed.iter().filter(|view| view.rollup.is_some() && needs.table(&view.name));
    read.names.extend(summed.map(|view| Name::Table(view.topic.clone())));
    read
}

/// Whether one row more than `limite` may be asked for, and further pages.
pub(crate) fn is_paged(endpoint: &Endpoint) -> bool {
    pages::is_limited(&endpoint.query) && !endpoint.parameters.contains(CURSOR)
}

pub(crate) fn routes(prepared: Vec<Prepared>) -> Router<Arc<Shared>> {
    prepared.into_iter().fold(Router::new(), |router, prepared| {
        let path = prepared.endpoint.path.clone();
        let prepared = Arc::new(prepared);
        let handler = move |State(shared): State<Arc<Shared>>,
                            Extension(principal): Extension<Principal>,
                            RawQuery(query): RawQuery,
                            headers: HeaderMap| {
            let prepared = Arc::clone(&prepared);
            async move { prepared.answer(&shared, principal, query.as_deref(), &headers).await }
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
    labels: Labels,
    /// What it asks of sums that are in memory.
    sums: Option<SumsQuestion>,
}

impl Question<'_> {
    /// Of what its answer is made.
    fn state(&self, point: &ReadPoint, read: &Needs) -> Tables {
        self.sums.as_ref().map_or_else(|| Tables::of(point, read), SumsQuestion::state)
    }
}

impl Prepared {
    async fn answer(
        &self,
        shared: &Shared,
        principal: Principal,
        query: Option<&str>,
        request: &HeaderMap,
    ) -> Result<Response, Problem> {
        let admitted = shared.reader.admit(&principal, &self.endpoint, &self.needs);
        admitted.map_err(|_| Problem::closed(&self.endpoint.path, &self.endpoint.scope))?;
        let begun = Instant::now();
        let mut point = shared.read_point_for(principal, &self.needs).await?;
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
        let labels = shared.reader.labels(&point.principal).await;
        let mut question = Question { parameters: &parameters, format, limit, values, cursor, labels, sums: None };
        question.sums = self.of_sums(shared, &mut point, &question).await?;
        if let Some(ttl) = self.kept_for.filter(|_| shared.cache.is_on()) {
            return self.kept_or_computed(shared, point, question, (begun, ttl)).await;
        }
        let (answer, headers) = self.compute(shared, &point, question).await?;
        let completeness = completeness::headers(&point, &self.needs);
        Ok(respond(format, completeness, headers, answer.body.into_body()))
    }

    /// Waits for the one that computes the same; computes it if that is nobody.
    async fn kept_or_computed(
        &self,
        shared: &Shared,
        mut point: ReadPoint,
        mut question: Question<'_>,
        (mut begun, ttl): (Instant, Duration),
    ) -> Result<Response, Problem> {
        let (cache, format) = (&shared.cache, question.format);
        let names = question.labels.version();
        let key = Key::new(&point.principal, &self.endpoint.path, question.parameters.iter(), format, names.as_deref());
        let asked = Asked { key: &key, needs: &self.read, ttl };
        if let Some(kept) = cache.in_memory(asked, &question.state(&point, &self.read)).await {
            return Ok(self.again(&kept, &point));
        }
        let flight = cache.flight(&key);
        let mut turn = shared.reader.in_time(flight.turn()).await?;
        // More may have been committed while it waited; and a question that came too late for the
        // sums of its moment has those of a newer one.
        let is_without_sums = question.sums.is_none() && self.sums.get().is_some_and(Option::is_some);
        if turn.has_waited() || is_without_sums {
            begun = Instant::now();
            point = shared.read_point_for(point.principal, &self.needs).await?;
            question.sums = self.of_sums(shared, &mut point, &question).await?;
        }
        let tables = question.state(&point, &self.read);
        if let Some(kept) = cache.in_turn(asked, (&point, &tables), &mut turn).await {
            return Ok(self.again(&kept, &point));
        }
        let completeness = completeness::headers(&point, &self.needs);
        let computing = Instant::now();
        let computed = self.compute(shared, &point, question).await;
        let (answer, outcome) = match computed {
            Ok((Answer { body: AnswerBody::Whole(body), .. }, headers)) => {
                let headers = etag::with_version(headers, &body);
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
        let entry = Entry::new(tables, answer, begun).computed_in(computing.elapsed());
        cache.keep(asked, &point, &mut turn, entry).await;
        outcome
    }

    /// What was computed before: it is of now, and may be known to be more complete than it was, or
    /// it says how old it is.
    fn again(&self, kept: &Kept, point: &ReadPoint) -> Response {
        let answer = &kept.entry.answer;
        let completeness = match kept.age {
            None => completeness::headers(point, &self.needs),
            Some(_) => kept::headers(&answer.completeness),
        };
        kept::response(answer, completeness, kept.age)
    }

    /// What it asks of sums in memory; none if its answer needs more than them.
    async fn of_sums(
        &self,
        shared: &Shared,
        point: &mut ReadPoint,
        question: &Question<'_>,
    ) -> Result<Option<SumsQuestion>, Problem> {
        let is_of_sums = self.read.names.len() > self.needs.names.len();
        // What comes behind a cursor is asked for with further conditions; those who see some rows
        // only have other sums.
        if !is_of_sums || question.cursor.is_some() || !point.principal.filters().is_empty() {
            return Ok(None);
        }
        let reader = &shared.reader;
        let planned = async {
            let planned = reader.plan_endpoint(point, &self.endpoint, &self.needs).await?;
            let plan = reader.sums_plan(&planned, &self.needs).await?;
            Ok::<_, QueryError>(plan.map(|plan| PlannedSums { plan, statement: planned.plan }))
        };
        let Some(planned) = self.sums.get_or_try_init(|| planned).await? else { return Ok(None) };
        Ok(reader.sums_question(point, &planned.plan, &self.needs, &question.values).await?)
    }

    /// The rows, and what the head says of them.
    async fn compute(
        &self,
        shared: &Shared,
        point: &ReadPoint,
        question: Question<'_>,
    ) -> Result<(Answer, HeaderMap), Problem> {
        let Question { parameters, format, limit, values, cursor, labels, sums } = question;
        let reader = &shared.reader;
        let asked = if self.is_paged { limit + 1 } else { limit };
        let limit = self.is_paged.then_some(limit);
        let rows = async |permit: Permit| -> Result<_, Problem> {
            if let Some((question, Some(planned))) = sums.as_ref().zip(self.sums.get().map(Option::as_ref)) {
                let batches = labels.added_to_all(reader.sums_rows(&planned.plan, question, asked).await?);
                let answer = answer::of_rows(batches, format, limit, shared.answer_bytes, permit).await?;
                return Ok((answer, if self.is_paged { Order::of(&planned.statement) } else { None }));
            }
            let planned = reader.plan_endpoint(point, &self.endpoint, &self.needs).await?;
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
                let batches = labels.added_to_all(frame.execute_stream().await?);
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
