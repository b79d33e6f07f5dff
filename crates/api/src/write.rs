//! Messages of others, sent to topics: `POST` to the path that a topic declares.
//!
//! What is accepted here is accepted by the stream: items are decoded and held to the topic's rules
//! by the same code. A message may still turn out to be late or a duplicate, which only the stream
//! knows.

mod checked;
mod faults;
mod foreign;
mod further;
mod items;
mod repeats;
mod taken_apart;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde_json::json;
use vitral_catalog::{Catalog, Diagnostics, Entrance, Input};
use vitral_connect::{Outgoing, Placed, Publisher, Unsent, with_causes};
use vitral_engine::rules::RowRules;
use vitral_engine::{EngineConfig, engine_session};
use vitral_query::{Principal, QueryError};
use vitral_schemas::topic::Topic;

use self::repeats::{RepeatKey, Repeats};
use crate::error::ApiError;
use crate::gate::CorrelationId;
use crate::parameters::Parameters;
use crate::problem::{ItemsProblem, Problem};
use crate::shared::Shared;

/// Items of one request.
pub(crate) const ITEMS_MAX: usize = 1_000;
/// What the items of one request may have together.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// Under which the log of the request is found, and its messages.
const CORRELATION_HEADER: &str = "vitral.correlation_id";

/// A topic that messages are sent to.
pub(crate) struct Prepared {
    topic: Topic,
    entrance: Entrance,
    rules: RowRules,
    inputs: Vec<Input>,
}

/// Where an accepted item lies.
#[derive(Serialize)]
struct Accepted<'a> {
    indice: usize,
    topico: &'a str,
    particao: i32,
    deslocamento: i64,
}

/// The topics that take messages, each with its rules.
pub(crate) fn prepare(catalog: &Catalog) -> Result<Vec<Prepared>, ApiError> {
    let session = engine_session(EngineConfig::default()).map_err(QueryError::from)?;
    let prepared = catalog.entrances().map(|(topic, entrance)| {
        let rules = RowRules::new(topic, &session).map_err(|wrong| ApiError::Catalog(Diagnostics(vec![*wrong])))?;
        let inputs: Vec<Input> = catalog.inputs.iter().filter(|input| input.table == topic.name).cloned().collect();
        inputs.iter().try_for_each(foreign::check)?;
        Ok(Prepared { topic: topic.clone(), entrance: entrance.clone(), rules, inputs })
    });
    prepared.collect()
}

pub(crate) fn routes(prepared: Vec<Prepared>) -> Router<Arc<Shared>> {
    let repeats = Repeats::default();
    prepared.into_iter().fold(Router::new(), |router, prepared| {
        let path = prepared.entrance.path.clone();
        let (prepared, repeats) = (Arc::new(prepared), repeats.clone());
        let handler = move |State(shared): State<Arc<Shared>>,
                            Extension(principal): Extension<Principal>,
                            Extension(CorrelationId(correlation_id)): Extension<CorrelationId>,
                            RawQuery(query): RawQuery,
                            headers: HeaderMap,
                            body: Bytes| {
            let (prepared, repeats) = (Arc::clone(&prepared), repeats.clone());
            async move {
                Parameters::none(query.as_deref())?;
                let request = Request { shared: &shared, principal, correlation_id, headers: &headers, body: &body };
                prepared.answer(request, &repeats).await
            }
        };
        router.route(&path, post(handler))
    })
}

/// What was sent, and by whom.
struct Request<'a> {
    shared: &'a Shared,
    principal: Principal,
    correlation_id: String,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Prepared {
    async fn answer(&self, request: Request<'_>, repeats: &Repeats) -> Result<Response, ItemsProblem> {
        if !request.principal.scopes().has(&self.entrance.scope) {
            return Err(Problem::needs_scope(&self.entrance.scope).into());
        }
        let kind = request.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Problem::not_of_json_type().into());
        }
        if is_packed(request.headers) {
            return Err(Problem::packed_body().into());
        }
        let publisher = request.shared.publisher.as_ref().ok_or_else(|| Problem::no_broker(&self.topic.name))?;
        let key = RepeatKey::of(request.headers)?;
        let now_ms = request.shared.points.clock.now_ms();
        let payloads = items::payloads(request.body, &self.topic, &self.inputs, now_ms).await?;
        let checked = self.checked(payloads, key.as_ref(), (&request, now_ms))?;
        if let Some(key) = &key {
            repeats.remember(key, &self.entrance.path, request.body).await?;
        }
        self.publish(publisher.as_ref(), checked, request.correlation_id).await
    }

    async fn publish(
        &self,
        publisher: &dyn Publisher,
        messages: Vec<Outgoing>,
        correlation_id: String,
    ) -> Result<Response, ItemsProblem> {
        let with_id =
            |message: Outgoing| Outgoing { headers: vec![(CORRELATION_HEADER, correlation_id.clone())], ..message };
        let messages = messages.into_iter().map(with_id).collect();
        let outcomes = publisher.publish(&self.topic.kafka_topic, messages).await;
        let placed: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        if placed.len() < outcomes.len() {
            return Err(self.unsent(&outcomes));
        }
        let accepted = placed.iter().enumerate().map(|(index, placed)| Accepted {
            indice: index,
            topico: &self.topic.name,
            particao: placed.partition.0,
            deslocamento: placed.offset.0,
        });
        let accepted: Vec<_> = accepted.collect();
        let body = json!({ "aceitos": accepted.len(), "itens": accepted });
        Ok((StatusCode::ACCEPTED, Json(body)).into_response())
    }

    /// Some of the messages may be in the topic, and which those are is said.
    fn unsent(&self, outcomes: &[Result<Placed, Unsent>]) -> ItemsProblem {
        if let Some(unsent) = outcomes.iter().find_map(|outcome| outcome.as_ref().err()) {
            let (topic, error) = (&self.topic.kafka_topic, with_causes(&unsent.error));
            tracing::warn!(topic, error, "messages were not acknowledged by the broker");
        }
        let items = outcomes.iter().enumerate().map(|(index, outcome)| match outcome {
            Ok(Placed { partition, offset }) => {
                json!({ "indice": index, "estado": "aceito", "particao": partition.0, "deslocamento": offset.0 })
            }
            Err(unsent) => {
                let state = if unsent.may_have_arrived { "incerto" } else { "nao_enviado" };
                json!({ "indice": index, "estado": state })
            }
        });
        let accepted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let problem = Problem::broker_away(&self.topic.name, accepted, outcomes.len());
        ItemsProblem::new(problem, "itens", items.collect())
    }
}

/// Unpacking is not for a body of 1 MiB at most: what comes out of it has no bound of its own.
fn is_packed(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
