//! All routes, and what every request passes through.

mod hosts;
mod layers;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use vitral_query::{Reader, References};

use self::hosts::Hosts;
use crate::config::{ApiConfig, ApiInputs};
use crate::error::ApiError;
use crate::metrics::LiveStreams;
use crate::page::{INDEX, Page};
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shared::Shared;
use crate::{endpoints, health, metrics, notices, silences};

/// Resolves the catalog and builds the router. Live streams end when `inputs.shutdown` is cancelled
/// or the view closes.
pub fn router(config: ApiConfig, inputs: ApiInputs) -> Result<Router, ApiError> {
    let references = References::new(config.reference_dir.clone());
    let reader = Reader::served(Arc::clone(&inputs.catalog), &config.settings, references, config.limits)?;
    let prepared = endpoints::prepare(&inputs.catalog, &reader)?;
    let page = Page::of(config.settings.domain(), &config.settings.title);
    let hosts: Arc<Hosts> = Arc::new(config.hosts.iter().map(String::as_str).collect());
    let shared = Arc::new(Shared {
        catalog: inputs.catalog,
        settings: config.settings,
        view: inputs.view,
        reconciliations: inputs.reconciliations,
        histories: inputs.histories,
        notices: config.notices,
        alerts: config.alerts,
        silences: config.silences,
        clock: inputs.clock,
        reader,
        registry: inputs.registry,
        telemetry: inputs.telemetry,
        live_streams: LiveStreams::new(config.live_streams_max),
        answer_bytes: config.answer_bytes,
        bounds: config.bounds,
        shutdown: inputs.shutdown,
    });
    // The last layer is the first that a request passes.
    let router = endpoints::routes(prepared)
        .route("/metricas", get(metrics::list))
        .route("/metricas/{nome}", get(metrics::page))
        .route("/metricas/{nome}/ao_vivo", get(metrics::live))
        .route("/avisos", get(notices::list))
        .route("/alertas/{alerta}/silencios", post(silences::add))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(telemetry))
        .merge(page_routes(page))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn(layers::refuse_large_bodies))
        .layer(axum::middleware::from_fn_with_state(hosts, hosts::check))
        .layer(CatchPanicLayer::custom(layers::caught))
        .layer(CompressionLayer::new())
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), layers::observe))
        .with_state(shared);
    Ok(router)
}

fn page_routes(page: Page) -> Router<Arc<Shared>> {
    let page = Arc::new(page);
    let index = {
        let page = Arc::clone(&page);
        move |uri: Uri, headers: HeaderMap| async move { asset(&page, INDEX, &uri, &headers) }
    };
    let file = move |uri: Uri, Path(path): Path<String>, headers: HeaderMap| async move {
        asset(&page, &path, &uri, &headers)
    };
    Router::new().route("/", get(index)).route("/assets/{*path}", get(file))
}

fn asset(page: &Page, path: &str, uri: &Uri, headers: &HeaderMap) -> Result<Response, Problem> {
    page.answer(path, headers).ok_or_else(|| Problem::not_found(uri.path()))
}

async fn telemetry(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
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
