//! Errors as `application/problem+json`: what is wrong, a code that stays, and what to do about it.

mod access;
mod write;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use datafusion::error::DataFusionError;
use serde::Serialize;
use vitral_query::{KeptAnswer, QueryError};

pub(crate) use self::access::{ProblemCode, whole_seconds};
pub(crate) use self::write::ItemsProblem;

const PROBLEM_JSON: &str = "application/problem+json";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    remedy: String,
    retry_after_seconds: Option<u32>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    remedio: &'a str,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), remedy: remedy.into(), retry_after_seconds: None }
    }

    fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    pub(crate) fn unknown_parameter(name: &str, allowed: &[&str]) -> Self {
        let remedy = if allowed.is_empty() {
            format!("remove {name}: this address takes no parameters")
        } else {
            format!("remove {name}; this address takes {}", allowed.join(", "))
        };
        Self::new(StatusCode::BAD_REQUEST, "unknown_parameter", format!("{name} is not a parameter here"), remedy)
    }

    pub(crate) fn repeated_parameter(name: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "repeated_parameter",
            format!("{name} is given more than once"),
            format!("give {name} once"),
        )
    }

    pub(crate) fn invalid_parameter(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail, remedy)
    }

    /// A cursor that the query does not know.
    pub(crate) fn foreign_cursor() -> Self {
        Self::invalid_cursor("the cursor was not made by this server")
    }

    pub(crate) fn invalid_cursor(detail: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_cursor",
            detail,
            "take cursor, with all other parameters, from the Link header of the previous page; \
             leave it out to start with the first page",
        )
    }

    pub(crate) fn unknown_metric(name: &str, known: &[&str]) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown_metric",
            format!("there is no metric {name}"),
            format!("use one of GET /metricas: {}", known.join(", ")),
        )
    }

    pub(crate) fn not_found(path: &str) -> Self {
        let remedy = "GET /metricas lists the metrics; the page at / links to the rest";
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("nothing answers at {path}"), remedy)
    }

    /// The same, with the catalog's endpoints.
    pub(crate) fn unknown_path<'a>(path: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let mut known: Vec<_> = known.collect();
        known.sort_unstable();
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("nothing answers at {path}"),
            format!("use one of {}, or of the metrics that GET /metricas lists", known.join(", ")),
        )
    }

    pub(crate) fn method_not_allowed(method: &str, path: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("{path} does not support {method}"),
            "use one of the methods of the Allow header",
        )
    }

    pub(crate) fn bad_host(detail: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_host",
            detail,
            "send one Host header with the name or address of this server",
        )
    }

    pub(crate) fn unknown_host(host: &str) -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown_host",
            format!("{host} is not a name of this server"),
            "ask by address or as localhost, or add the name to api.hosts in the server's configuration",
        )
    }

    pub(crate) fn not_acceptable(accept: &str) -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "not_acceptable",
            format!("Accept is '{accept}'"),
            "accept application/json, text/csv, application/x-ndjson or application/vnd.apache.arrow.stream",
        )
    }

    pub(crate) fn forbidden(name: &str) -> Self {
        Self::closed(name, &format!("{name}:read"))
    }

    /// What takes a scope that the principal lacks, or has no column to filter its rows by.
    pub(crate) fn closed(what: &str, scope: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("this key may not read {what}"),
            format!(
                "ask an administrator for a key with the scope {scope}; if it has a row filter, {what} must have the filter's columns"
            ),
        )
    }

    pub(crate) fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "too many requests are already waiting for their queries",
            "ask again in a few seconds, and for shorter periods with de and ate",
        )
        .retry_after(2)
    }

    pub(crate) fn answer_too_large(bytes_max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "answer_too_large",
            format!("the answer would be larger than {bytes_max} bytes"),
            "ask for fewer rows with limite, or for a shorter period; the server's setting is api.answer_bytes",
        )
    }

    pub(crate) fn body_too_large(bytes_max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the request's body is too large",
            format!("send at most {bytes_max} bytes"),
        )
    }

    /// What changes something, asked for from elsewhere.
    pub(crate) fn only_local() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "only_local",
            "this can only be requested from the server's own machine",
            "ask there, at a loopback address and without a proxy, or use `vitral alerts silence`",
        )
    }

    pub(crate) fn not_json(detail: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_body",
            detail,
            "send {\"ate\": \"2025-05-14T12:00:00Z\"} as application/json, with chave and motivo if wanted",
        )
    }

    pub(crate) fn unknown_alert(name: &str, known: &[&str]) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown_alert",
            format!("there is no alert {name}"),
            format!("use one of {}", known.join(", ")),
        )
    }

    pub(crate) fn starting() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "starting",
            "the numbers are still being recovered",
            "ask again when GET /readyz answers 200",
        )
        .retry_after(1)
    }

    pub(crate) fn unavailable(name: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            format!("{name} is in the catalog, but nothing feeds it yet"),
            "ask again in a moment; if this persists, the stream is running a different catalog",
        )
        .retry_after(5)
    }

    pub(crate) fn topic_waiting(topic: &str, reason: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "topic_waiting",
            format!("topic {topic} cannot be read yet: {reason}"),
            "create the topic, or check that its broker answers; everything else is served, and this will be as soon as it can be read",
        )
        .retry_after(5)
    }

    pub(crate) fn imports_unreadable(topic: &str, reason: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "imports_unreadable",
            format!("what was imported into {topic} cannot be read: {reason}"),
            format!("look at history/{topic} in the store; everything else is served, and this will be as soon as it can be read"),
        )
        .retry_after(5)
    }

    /// A table that is kept up to date lacks rows that it could not take in.
    pub(crate) fn table_set_aside(table: &str, reason: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "table_set_aside",
            format!("table {table} is set aside, so nothing is computed from it: {reason}"),
            format!("do what detail says; GET /metricas/{table} has its rows as they were before"),
        )
    }

    /// What is wrong with the connection is in the log, never in the answer.
    pub(crate) fn warehouse_away(connection: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "warehouse_away",
            format!("the warehouse cannot be read over connection {connection}"),
            "start its database; everything else is served, and this will be as soon as it answers",
        )
        .retry_after(5)
    }

    pub(crate) fn table_not_made(detail: &str) -> Self {
        let remedy = "run the job; everything else is served, and this will be as soon as the table is there";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "table_not_made", detail, remedy).retry_after(60)
    }

    pub(crate) fn too_many_streams(streams_max: usize) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_streams",
            format!("all live streams are taken: there are {streams_max}, and one client may use half of them"),
            "close another stream, or ask for the metric itself every few seconds",
        )
        .retry_after(10)
    }

    pub(crate) fn query_timeout() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "query_timeout",
            "the query took too long and was stopped",
            "ask for a shorter period with de and ate, or ask again when the server is less busy",
        )
        .retry_after(5)
    }

    pub(crate) fn query_memory() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "query_memory",
            "the query needed more memory than all queries may use together",
            "ask for a shorter period with de and ate, ask again when the server is less busy, or raise query.memory_bytes in the configuration",
        )
        .retry_after(5)
    }

    /// The cause is in the log, never in the answer.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the request failed inside the server",
            "the server's log has the cause, under the X-Correlation-Id of this answer",
        )
    }
}

impl Problem {
    fn body(&self) -> Body<'_> {
        Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            remedio: &self.remedy,
        }
    }

    /// To be given again.
    pub(crate) fn kept(&self) -> KeptAnswer {
        let mut head = vec![(CONTENT_TYPE.as_str().to_owned(), PROBLEM_JSON.to_owned())];
        let retry = self.retry_after_seconds.map(|seconds| (RETRY_AFTER.as_str().to_owned(), seconds.to_string()));
        head.extend(retry);
        // Texts and numbers can always be written.
        let body = serde_json::to_vec(&self.body()).unwrap_or_default();
        KeptAnswer { status: self.status.as_u16(), body: body.into(), completeness: Vec::new(), head }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // Not Basic, for which browsers would ask in a window of their own.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"vitral\""));
        }
        response.extensions_mut().insert(ProblemCode(self.code));
        response
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::Unavailable(name) => return Self::unavailable(name),
            QueryError::TopicWaiting { topic, reason } => return Self::topic_waiting(topic, reason),
            QueryError::Starting | QueryError::ImportsUnread(_) => return Self::starting(),
            QueryError::Forbidden(name) => return Self::forbidden(name),
            QueryError::ImportsUnreadable { topic, reason } => return Self::imports_unreadable(topic, reason),
            QueryError::NotMade { .. } => return Self::table_not_made(&error.to_string()),
            QueryError::WarehouseAway { connection, reason } => {
                tracing::warn!(connection, reason, "the warehouse cannot be read");
                return Self::warehouse_away(connection);
            }
            QueryError::SetAside { table, reason } => return Self::table_set_aside(table, reason),
            QueryError::Timeout => return Self::query_timeout(),
            QueryError::Busy => return Self::busy(),
            QueryError::TooLarge(bytes_max) => return Self::answer_too_large(*bytes_max),
            QueryError::Engine(engine) if error.is_memory() => {
                tracing::warn!(error = %engine.strip_backtrace(), "query refused for lack of memory");
                return Self::query_memory();
            }
            _ => {}
        }
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        tracing::error!(error = %error, source, "request failed");
        Self::internal()
    }
}

impl From<DataFusionError> for Problem {
    fn from(error: DataFusionError) -> Self {
        QueryError::from(error).into()
    }
}
