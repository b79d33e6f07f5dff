//! Headers of answers, described once, and the parameters that many operations take.

use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ComponentsBuilder, KnownFormat, ObjectBuilder, Type};
use utoipa::openapi::{HeaderBuilder, Ref, Required, ResponseBuilder};
use vitral_query::{FROM, LIMIT, LIMIT_MAX, ParameterRule, UNTIL};

use super::columns::format;
use crate::parameters::CURSOR;

/// Of every answer.
pub(super) const COMMON: [&str; 4] = ["X-Correlation-Id", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"];
/// Of answers that are asked for again.
pub(super) const KEPT: [&str; 3] = ["ETag", "Cache-Control", "Vary"];
/// Of lists that may have another page.
pub(super) const PAGED: [&str; 2] = ["Link", "Vitral-Truncated"];
/// How complete an answer is.
pub(super) const COMPLETENESS: [&str; 11] = [
    "Vitral-Watermark",
    "Vitral-Read",
    "Vitral-Counted",
    "Vitral-Duplicate",
    "Vitral-Late",
    "Vitral-Refused",
    "Vitral-Skipped",
    "Vitral-Idle-Partitions",
    "Vitral-Ao-Vivo",
    "Vitral-Armazem",
    "Vitral-Armazem-Atraso-Ms",
];

pub(super) fn reference(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

pub(super) fn put(response: ResponseBuilder, names: &[&[&str]]) -> ResponseBuilder {
    names.iter().copied().flatten().fold(response, |response, name| response.header_ref(*name, reference(name)))
}

/// All that are named somewhere.
pub(super) fn add(components: ComponentsBuilder) -> ComponentsBuilder {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let count = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let time = || text().format(format(KnownFormat::DateTime));
    let one_of = |values: &[&str]| text().enum_values(Some(values.iter().copied()));
    let all = [
        ("X-Correlation-Id", text(), "Under which the server's log has the request; a request may bring its own."),
        ("RateLimit-Limit", count(), "Where there is access control: requests in a window."),
        ("RateLimit-Remaining", count(), "Requests that are left."),
        ("RateLimit-Reset", count(), "Seconds until all of them may be used again."),
        ("Retry-After", count(), "Seconds after which it is of use to ask again."),
        ("WWW-Authenticate", text(), "How to authenticate."),
        ("ETag", text(), "The version of the answer's bytes, for If-None-Match."),
        ("Cache-Control", text(), "Of one person, and to be asked for again each time."),
        ("Vary", text(), "What else the answer depends on."),
        ("Age", count(), "Seconds since the answer was computed, if it is given again."),
        ("Link", text(), "The next page, with rel=\"next\"; absent on the last one."),
        ("Vitral-Truncated", one_of(&["true"]), "There are more rows than the answer has."),
        ("Vitral-Watermark", time(), "Up to when all events are in; absent while that is not known."),
        ("Vitral-Read", count(), "Messages that were read."),
        ("Vitral-Counted", count(), "Messages that count."),
        ("Vitral-Duplicate", count(), "Messages that had come before."),
        ("Vitral-Late", count(), "Messages that came too late to count."),
        ("Vitral-Refused", count(), "Messages that could not be understood."),
        ("Vitral-Skipped", count(), "Messages that were never delivered."),
        ("Vitral-Idle-Partitions", text(), "Partitions that do not hold the watermark back, separated by commas."),
        ("Vitral-Ao-Vivo", one_of(&["atual", "ausente", "outra_versao"]), "Whether what is not stored yet is in it."),
        (
            "Vitral-Armazem",
            one_of(&["replica", "primario"]),
            "Who has answered for the warehouse, if it has a replica.",
        ),
        ("Vitral-Armazem-Atraso-Ms", count(), "How far behind the replica is."),
        ("Vitral-Time-Zone", text(), "The domain's time zone."),
        ("Vitral-Currency", text(), "The domain's currency."),
    ];
    all.into_iter().fold(components, |components, (name, schema, about)| {
        components.header(name, HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build())
    })
}

fn query(name: &str, about: impl Into<String>, schema: ObjectBuilder) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(schema))
        .build()
}

/// `limite` and `cursor`.
pub(super) fn paging(limit_default: usize) -> [Parameter; 2] {
    [limit(limit_default), cursor()]
}

pub(super) fn limit(default: usize) -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(format(KnownFormat::Int32))
        .minimum(Some(1))
        .maximum(Some(LIMIT_MAX))
        .default(Some(json!(default)));
    query(LIMIT, "How many rows an answer has at most.", schema)
}

pub(super) fn cursor() -> Parameter {
    let about = "Where to go on: taken, with all other parameters, from the Link header of the page before.";
    query(CURSOR, about, ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)))
}

/// `de` and `ate`, of whatever the rows are ordered by in time.
pub(super) fn from() -> Parameter {
    time(FROM, "The first moment that is asked for.", "2025-05-14T22:00:00Z")
}

pub(super) fn until() -> Parameter {
    time(UNTIL, "The end of what is asked for, later than de; it is not in it.", "2025-05-14T23:00:00Z")
}

fn time(name: &str, about: &str, example: &str) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String).format(format(KnownFormat::DateTime));
    query(name, about, schema.examples([json!(example)]))
}

/// Rows with this value in a column of the name, or what a statement makes of it.
pub(super) fn filter(name: &str, rule: Option<&ParameterRule>) -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let about = format!("Only rows with this {name}.");
    match rule {
        None => query(name, about, text),
        Some(ParameterRule::OneOf(values)) => query(name, about, text.enum_values(Some(values.iter().cloned()))),
        Some(ParameterRule::Currency) => {
            query(name, format!("Only rows with this {name}, in any case."), text.pattern(Some("^([A-Za-z]{3})?$")))
        }
        Some(ParameterRule::Castable(data_type, _)) if data_type.is_integer() => {
            let whole = ObjectBuilder::new().schema_type(Type::Integer);
            let (least, most) = bounds(data_type.primitive_width().unwrap_or(8));
            query(name, about, whole.minimum(Some(least)).maximum(Some(most)))
        }
        Some(rule @ ParameterRule::Castable(..)) => query(name, format!("{about} It is {}.", rule.allowed()), text),
    }
}

fn bounds(bytes: usize) -> (i64, i64) {
    match bytes {
        1 => (i64::from(i8::MIN), i64::from(i8::MAX)),
        2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

/// The version that a client has.
pub(super) fn if_none_match() -> Parameter {
    header("If-None-Match", "The ETag of the answer that the client has: 304 if it is still the same.", None)
}

pub(super) fn header(name: &str, about: &str, pattern: Option<&str>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(pattern)))
        .build()
}

pub(super) fn in_path(name: &str, about: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(about))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1))))
        .build()
}
