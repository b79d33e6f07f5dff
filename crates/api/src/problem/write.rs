//! Requests whose messages are not sent, and what is said of each of their items.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::Problem;

/// A problem with something to say of each item.
#[derive(Debug)]
pub(crate) struct ItemsProblem {
    /// Results stay small where nothing is wrong.
    problem: Box<Problem>,
    items: Option<(&'static str, Value)>,
}

impl ItemsProblem {
    pub(crate) fn new(problem: Problem, member: &'static str, items: Value) -> Self {
        Self { problem: Box::new(problem), items: Some((member, items)) }
    }
}

impl From<Problem> for ItemsProblem {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), items: None }
    }
}

impl IntoResponse for ItemsProblem {
    fn into_response(self) -> Response {
        let Some((member, items)) = self.items else { return self.problem.into_response() };
        // Texts and numbers can always be written.
        let mut body = serde_json::to_value(self.problem.body()).unwrap_or_default();
        body[member] = items;
        let (head, _) = self.problem.into_response().into_parts();
        Response::from_parts(head, Body::from(body.to_string()))
    }
}

impl Problem {
    pub(crate) fn not_items(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_body",
            detail,
            "send one JSON object, or an array of 1 to 1000 of them",
        )
    }

    pub(crate) fn packed_body() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Content-Encoding is given, and bodies are not unpacked here",
            "send the JSON as it is, without Content-Encoding; what is longer than 1 MiB, in several requests",
        )
    }

    pub(crate) fn too_many_items(count: usize, most: usize) -> Self {
        Self::not_items(format!("the body has {count} items or more, and there may be {most}"))
    }

    pub(crate) fn invalid_items(count: usize) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_items",
            format!("{} not valid, so nothing was sent", items_are(count)),
            "correct what erros names, and send all of it again",
        )
    }

    pub(crate) fn items_of_others(count: usize) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("{} outside of what this key may write, so nothing was sent", items_are(count)),
            "send items with the values of the key's row filter alone, or use the key that they belong to",
        )
    }

    pub(crate) fn without_filter_column(topic: &str, column: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("this key may write rows of its own {column} alone, and {topic} has no such column"),
            "ask an administrator for a key without this row filter",
        )
    }

    pub(crate) fn unreadable_input(name: &str, why: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_body",
            format!("the body looks like {name}, whose values cannot be computed: {why}"),
            "correct the value that detail names, and send all of it again",
        )
    }

    pub(crate) fn invalid_idempotency_key() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_idempotency_key",
            "Idempotency-Key is not 1 to 128 visible ASCII characters",
            "send a UUID that is new for each request, and the same when the request is repeated",
        )
    }

    pub(crate) fn idempotency_key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "this Idempotency-Key came with another body within the last 10 minutes",
            "use a new key for each request, and the same one only to repeat it unchanged",
        )
    }

    pub(crate) fn no_broker(topic: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_broker",
            format!("this server has no broker to send messages of {topic} to"),
            "send to a server whose configuration names the broker",
        )
        .retry_after(60)
    }

    pub(crate) fn not_traced(detail: String, sees_refused: bool) -> Self {
        let remedy = match sees_refused {
            true => {
                "correct the id; GET /livro lists messages that did not count, those without a readable id too; what was sent a moment \
                 ago is there within seconds"
            }
            false => "correct the id; what was sent a moment ago is there within seconds",
        };
        Self::new(StatusCode::NOT_FOUND, "not_found", detail, remedy)
    }

    pub(crate) fn broker_away(topic: &str, accepted: usize, sent: usize) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "broker_unavailable",
            format!("the broker has acknowledged {accepted} of {sent} messages of {topic}"),
            "send the same again, under the same Idempotency-Key or with ids of events, so that nothing counts twice; \
             itens says which are there (aceito), may be there (incerto) and are not (nao_enviado)",
        )
        .retry_after(5)
    }
}

fn items_are(count: usize) -> String {
    if count == 1 { "1 item is".to_owned() } else { format!("{count} items are") }
}
