//! `GET /openapi.json`: what this server answers, in OpenAPI 3.1, made once from the catalog.
//!
//! Each metric and endpoint has a path of its own, with its comment, parameters, columns and
//! problems; the templates that answer for all metrics are there too.

mod columns;
mod errors;
mod headers;
mod operation;
mod others;
mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::schema::{ComponentsBuilder, Schema};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::{Tag, TagBuilder};
use utoipa::openapi::{Info, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, RefOr, Server};
use vitral_query::ServedColumns;

use self::errors::Problems;
use crate::gate::SESSION_COOKIE;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shared::Shared;

/// A document that is being made.
#[derive(Default)]
struct Description {
    paths: Paths,
    schemas: BTreeMap<String, RefOr<Schema>>,
    problems: Problems,
}

pub(crate) async fn document(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Parameters::none(query.as_deref())?;
    let bytes = shared.description.get_or_try_init(|| make(Arc::clone(&shared))).await?.clone();
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        // It is not a secret, and the same until the server starts again.
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, bytes).into_response())
}

/// Everything is planned for it, which takes a while.
async fn make(shared: Arc<Shared>) -> Result<Bytes, Problem> {
    let made = tokio::task::spawn_blocking(move || -> Result<Bytes, Problem> {
        let text = describe(&shared)?.to_pretty_json().map_err(|error| {
            tracing::error!(%error, "the description cannot be written");
            Problem::internal()
        })?;
        Ok(Bytes::from(text + "\n"))
    });
    made.await.map_err(|error| {
        tracing::error!(%error, "the description cannot be made");
        Problem::internal()
    })?
}

fn describe(shared: &Shared) -> Result<OpenApi, Problem> {
    let served = ServedColumns::of(&shared.catalog, &shared.settings)?;
    let mut description = Description::default();
    rows::add(&mut description, shared, &served)?;
    others::add(&mut description, &shared.catalog);
    let Description { paths, mut schemas, problems } = description;
    schemas.insert(errors::PROBLEM.to_owned(), errors::schema().into());
    schemas.insert(rows::COMPLETENESS.to_owned(), others::completeness().into());
    schemas.insert(rows::FAILURE.to_owned(), others::failure().into());
    let components = ComponentsBuilder::new().schemas_from_iter(schemas).responses_from_iter(problems.into_responses());
    let components = schemes(headers::add(components)).build();
    Ok(OpenApiBuilder::new()
        .info(info(&shared.settings.title))
        .servers(Some([Server::new("/")]))
        .paths(paths)
        .components(Some(components))
        .security(Some(requirements(shared.gate.access.is_on())))
        .tags(Some(tags()))
        .build())
}

fn info(title: &str) -> Info {
    let about = "Live and stored numbers, each with how complete it is. Amounts of money are numbers with exactly two \
        decimals, times are in UTC. Lists are JSON, CSV, NDJSON or Arrow, by Accept; a Link header leads to the next \
        page. Errors are RFC 9457 problem details with a stable `code`.";
    let title = if title.is_empty() { "Vitral".to_owned() } else { format!("Vitral: {title}") };
    InfoBuilder::new()
        .title(title)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(about))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build()
}

fn schemes(components: ComponentsBuilder) -> ComponentsBuilder {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key that `vitral keys create` makes, or a token of the OIDC provider in use."));
    let basic = HttpBuilder::new().scheme(HttpAuthScheme::Basic).description(Some("A key's id and its secret."));
    let cookie = ApiKeyValue::with_description(SESSION_COOKIE, "What a browser has after it has signed in at /entrar.");
    components
        .security_scheme("chave", SecurityScheme::Http(bearer.build()))
        .security_scheme("id_e_segredo", SecurityScheme::Http(basic.build()))
        .security_scheme("sessao", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)))
}

/// Any of them; without access control none is needed.
fn requirements(is_on: bool) -> Vec<SecurityRequirement> {
    let nothing: [&str; 0] = [];
    let mut any: Vec<SecurityRequirement> =
        ["chave", "id_e_segredo", "sessao"].into_iter().map(|name| SecurityRequirement::new(name, nothing)).collect();
    if !is_on {
        any.push(SecurityRequirement::default());
    }
    any
}

fn tags() -> Vec<Tag> {
    let all = [
        ("consultas", "What the catalog's statements answer."),
        ("metricas", "Rows of metrics and of tables that are kept up to date."),
        ("ao_vivo", "The same as they change, as server-sent events."),
        ("listas", "What there is, and what did not count."),
        ("alertas", "Alerts and their silences."),
        ("envio", "Messages that are sent to topics."),
        ("rastro", "What became of a message."),
        ("entrada", "How a browser signs in."),
        ("estado", "The process itself, and this description."),
    ];
    all.into_iter().map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build()).collect()
}
