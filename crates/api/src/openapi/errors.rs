//! What may go wrong with a request: the statuses of each operation, with the codes that say more.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

use super::headers;

/// The schema that all problems have.
pub(super) const PROBLEM: &str = "Problema";

/// Statuses, each with its codes.
pub(super) type Codes = &'static [(u16, &'static [&'static str])];

/// Of any request.
pub(super) const ANY: Codes = &[
    (400, &["bad_host", "repeated_parameter", "unknown_parameter", "invalid_body"]),
    (408, &["slow_body"]),
    (413, &["body_too_large"]),
    (421, &["unknown_host"]),
    (500, &["internal"]),
    (503, &["too_many_connections"]),
];
/// Of what only those may see who are known, where there is access control.
pub(super) const KNOWN: Codes = &[
    (401, &["missing_credentials", "invalid_credentials"]),
    (403, &["forbidden", "foreign_origin"]),
    (429, &["too_many_requests", "too_many_failures"]),
    (503, &["access_unavailable"]),
];
/// Of what is read from the stream's view.
pub(super) const VIEW: Codes = &[(503, &["starting"])];
/// Of lists.
pub(super) const PAGED: Codes = &[(400, &["invalid_parameter", "invalid_cursor"])];
/// Of rows that are computed, in several formats.
pub(super) const ROWS: Codes = &[
    (400, &["invalid_parameter"]),
    (406, &["not_acceptable"]),
    (413, &["answer_too_large"]),
    (
        503,
        &[
            "busy",
            "imports_unreadable",
            "query_memory",
            "query_timeout",
            "table_not_made",
            "table_set_aside",
            "topic_waiting",
            "unavailable",
            "warehouse_away",
        ],
    ),
];
/// Of a metric whose name is in the path.
pub(super) const NAMED: Codes = &[(404, &["unknown_metric", "not_found"])];
/// Of live streams.
pub(super) const LIVE: Codes =
    &[(400, &["invalid_parameter"]), (503, &["too_many_streams", "topic_waiting", "unavailable"])];
/// Of what is sent.
pub(super) const SENT: Codes = &[(415, &["unsupported_media_type"])];
/// Of messages that are sent to topics.
pub(super) const MESSAGES: Codes = &[
    (400, &["invalid_items", "invalid_idempotency_key"]),
    (422, &["idempotency_key_reused"]),
    (503, &["no_broker", "broker_unavailable"]),
];
/// Of how browsers sign in.
pub(super) const SIGN_IN: Codes =
    &[(400, &["invalid_sign_in"]), (401, &["sign_in_refused"]), (404, &["not_found"]), (503, &["access_unavailable"])];
/// Of silences.
pub(super) const SILENCE: Codes = &[(403, &["only_local"]), (404, &["unknown_alert", "not_found"])];
/// Of what is looked for by an id.
pub(super) const TRACE: Codes = &[(404, &["not_found"])];

/// Responses that operations share, as they are asked for.
#[derive(Default)]
pub(super) struct Problems(BTreeMap<String, RefOr<Response>>, Vec<(u16, Vec<&'static str>)>);

impl Problems {
    /// Of these groups together: each status with where its response is described.
    pub(super) fn of(&mut self, groups: &[Codes]) -> Vec<(String, Ref)> {
        let mut all: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
        for (status, codes) in groups.iter().copied().flatten() {
            all.entry(*status).or_default().extend(codes.iter());
        }
        let reference = |(status, codes): (u16, BTreeSet<&'static str>)| {
            let name = self.name_of(status, codes.into_iter().collect());
            (status.to_string(), Ref::from_response_name(name))
        };
        all.into_iter().map(reference).collect()
    }

    pub(super) fn into_responses(self) -> BTreeMap<String, RefOr<Response>> {
        self.0
    }

    fn name_of(&mut self, status: u16, codes: Vec<&'static str>) -> String {
        let same = |known: &&(u16, Vec<&'static str>)| known.0 == status;
        let known = self.1.iter().filter(same).position(|(_, known)| *known == codes);
        let number = match known {
            Some(number) => number + 1,
            None => {
                self.1.push((status, codes.clone()));
                self.1.iter().filter(same).count()
            }
        };
        let name = format!("Problema{status}_{number}");
        self.0.entry(name.clone()).or_insert_with(|| response(status, &codes).into());
        name
    }
}

fn response(status: u16, codes: &[&'static str]) -> Response {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
    let code = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().copied()));
    let schema =
        AllOfBuilder::new().item(Ref::from_schema_name(PROBLEM)).item(ObjectBuilder::new().property("code", code));
    let response = ResponseBuilder::new()
        .description(format!("{reason}: {}.", codes.join(", ")))
        .content("application/problem+json", Content::new(Some(Schema::AllOf(schema.build()))))
        .header_ref("X-Correlation-Id", headers::reference("X-Correlation-Id"));
    let response = match status {
        401 => response.header_ref("WWW-Authenticate", headers::reference("WWW-Authenticate")),
        429 | 503 => response.header_ref("Retry-After", headers::reference("Retry-After")),
        _ => response,
    };
    response.build()
}

/// Problem details of RFC 9457, with a stable code and what to do about it.
pub(super) fn schema() -> Schema {
    let text = |about: &'static str| ObjectBuilder::new().schema_type(Type::String).description(Some(about));
    let status = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(400)).maximum(Some(599));
    let object = ObjectBuilder::new()
        .description(Some("What is wrong with a request: problem details of RFC 9457."))
        .property("type", text("Always about:blank: code says what it is."))
        .property("title", text("The status in words."))
        .property("status", status)
        .property("code", text("What is wrong, in a word that never changes."))
        .property("detail", text("What is wrong, for people."))
        .property("remedio", text("What to do about it, for people."));
    let required = ["type", "title", "status", "code", "detail", "remedio"];
    required.into_iter().fold(object, ObjectBuilder::required).build().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_with_the_same_codes_share_a_response() {
        let mut problems = Problems::default();
        let texts = |found: Vec<(String, Ref)>| found.into_iter().map(|(_, at)| at.ref_location).collect::<Vec<_>>();
        let first = texts(problems.of(&[VIEW, PAGED]));
        assert_eq!(first, ["#/components/responses/Problema400_1", "#/components/responses/Problema503_1"]);
        assert_eq!(texts(problems.of(&[PAGED, VIEW])), first);
        let other = texts(problems.of(&[ROWS]));
        assert_eq!(other[0], "#/components/responses/Problema400_2");
        assert_eq!(problems.into_responses().len(), 6);
    }
}
