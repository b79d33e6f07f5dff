//! All routes, and what every request passes through.

mod access;
mod cors;
mod hosts;
mod layers;

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tokio::sync::OnceCell;
use tower_http::catch_panic::CatchPanicLayer;
use vitral_query::{Principal, ReadPoints, Reader, References, Scopes, sees_completeness};

use self::hosts::Hosts;
use crate::config::{ApiConfig, ApiInputs};
use crate::error::ApiError;
use crate::gate::{Gate, need};
use crate::imports::Imports;
use crate::live_states;
use crate::live_states::newest::LiveStates;
use crate::metrics::LiveStreams;
use crate::page::{INDEX, Page};
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shared::Shared;
use crate::{
    compression, docs_page, endpoints, etag, health, metrics, notices, openapi, sign_in, silences, trace, write,
};

/// Resolves the catalog and builds the router. Live streams end when `inputs.shutdown` is cancelled
/// or the view closes.
pub fn router(config: ApiConfig, inputs: ApiInputs) -> Result<Router, ApiError> {
    let references = References::new(config.reference_dir.clone());
    let reader = Reader::served(Arc::clone(&inputs.catalog), &config.settings, references, config.limits)?;
    let prepared = endpoints::prepare(&inputs.catalog, &reader)?;
    let (entrances, traces) = (write::prepare(&inputs.catalog)?, trace::routes(&inputs.catalog));
    let page = Arc::new(Page::of(config.settings.domain(), &config.settings.title));
    let live_states = LiveStates::new(&inputs.catalog, &config.settings, config.bounds)?;
    let gate = Gate::of(&config, inputs.shutdown.clone())?;
    let shared = Arc::new(Shared {
        catalog: inputs.catalog,
        settings: config.settings,
        points: ReadPoints {
            view: inputs.view,
            histories: inputs.histories,
            reconciliations: inputs.reconciliations,
            alerts: config.alerts,
            clock: inputs.clock,
        },
        notices: config.notices,
        imports: Imports::of(config.store.clone()),
        warehouse: config.warehouse,
        description: OnceCell::new(),
        store: config.store,
        publisher: config.publisher,
        gate,
        reader,
        registry: inputs.registry,
        telemetry: inputs.telemetry,
        live_streams: LiveStreams::new(config.live_streams_max),
        live_states,
        answer_bytes: config.answer_bytes,
        cache: config.cache,
        bounds: config.bounds,
        shutdown: inputs.shutdown,
    });
    let body_up_to = |bytes_max| layers::BodyBound { bytes_max, time: config.body };
    // The last layer is the first that a request passes.
    let router = endpoints::routes(prepared)
        .route("/metricas", get(metrics::list))
        .route("/metricas/{nome}", get(metrics::page))
        .route("/metricas/{nome}/ao_vivo", get(metrics::live))
        .route("/avisos", get(notices::list))
        .merge(traces)
        .route("/alertas/{alerta}/silencios", post(silences::add))
        .route("/openapi.json", get(openapi::document))
        .layer(axum::middleware::from_fn(etag::conditional))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(telemetry))
        .merge(docs_page::routes())
        .merge(page_routes(Arc::clone(&page)))
        .merge(sign_in::routes(page))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Routes that take longer bodies are merged below, with a bound of their own.
        .layer(axum::middleware::from_fn_with_state(body_up_to(layers::BODY_BYTES_MAX), layers::bound_body))
        .merge(
            write::routes(entrances)
                .method_not_allowed_fallback(method_not_allowed)
                .layer(axum::middleware::from_fn_with_state(body_up_to(write::BODY_BYTES_MAX), layers::bound_body)),
        )
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), access::admit));
    Ok(fronted(router, &config.cors_origins, Arc::new(config.hosts.iter().map(String::as_str).collect()), shared))
}

/// With what a request passes before it is asked who sends it, the last layer first.
fn fronted(router: Router<Arc<Shared>>, cors_origins: &[String], hosts: Arc<Hosts>, shared: Arc<Shared>) -> Router {
    let router = match cors::layer(cors_origins) {
        Some(cors) => router.layer(cors).layer(axum::middleware::from_fn(cors::expose)),
        None => router,
    };
    router
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&hosts), hosts::check))
        .merge(internal_routes(&shared, hosts))
        .layer(CatchPanicLayer::custom(layers::caught))
        .layer(compression::layer())
        .layer(axum::middleware::map_response(etag::of_encoding))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), layers::observe))
        .with_state(shared)
}

/// What other processes of the installation ask for. They may call this one by any name, unless
/// nobody has to show who they are.
fn internal_routes(shared: &Arc<Shared>, hosts: Arc<Hosts>) -> Router<Arc<Shared>> {
    let routes = Router::new()
        .route(vitral_query::remote::PATH, get(live_states::view))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(shared), access::admit));
    match shared.gate.access.is_on() {
        true => routes,
        false => routes.layer(axum::middleware::from_fn_with_state(hosts, hosts::check)),
    }
}

fn page_routes(page: Arc<Page>) -> Router<Arc<Shared>> {
    let index = {
        let page = Arc::clone(&page);
        move |uri: Uri, headers: HeaderMap| async move { asset(&page, INDEX, &uri, &headers) }
    };
    let file = move |uri: Uri, path: Result<Path<String>, PathRejection>, headers: HeaderMap| async move {
        let Path(path) = path.map_err(|_| Problem::not_found(uri.path()))?;
        asset(&page, &path, &uri, &headers)
    };
    Router::new().route("/", get(index)).route("/assets/{*path}", get(file))
}

fn asset(page: &Page, path: &str, uri: &Uri, headers: &HeaderMap) -> Result<Response, Problem> {
    page.answer(path, headers).ok_or_else(|| Problem::not_found(uri.path()))
}

async fn telemetry(
    State(shared): State<Arc<Shared>>,
    Extension(principal): Extension<Principal>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    need(&principal, Scopes::METRICS)?;
    // Its counts are of all rows.
    if !sees_completeness(&principal) {
        return Err(Problem::closed("/metrics", Scopes::METRICS));
    }
    Parameters::none(query.as_deref())?;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &shared.registry).map_err(|error| {
        tracing::error!(%error, "telemetry cannot be encoded");
        Problem::internal()
    })?;
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}

async fn not_found(State(shared): State<Arc<Shared>>, uri: Uri) -> Problem {
    Problem::unknown_path(uri.path(), shared.catalog.endpoints.iter().map(|endpoint| endpoint.path.as_str()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::method_not_allowed(method.as_str(), uri.path())
}
