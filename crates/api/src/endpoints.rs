//! The catalog's endpoints: each answers a JSON array of its query's rows.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use vitral_schemas::catalog::{Catalog, Diagnostic, Diagnostics, Endpoint};
use vitral_schemas::time::MICROS_PER_MS;

use crate::completeness;
use crate::error::ApiError;
use crate::json::JsonRows;
use crate::parameters::{FROM, LIMIT, LIMIT_MAX, Parameters, UNTIL};
use crate::problem::Problem;
use crate::query::{Moment, QueryError, Reader, frame, utc};
use crate::shared::Shared;
use crate::sources::Needs;

/// The time of the request: a placeholder that no request gives.
const NOW: &str = "agora";
/// First parts of paths that the API answers itself.
const OWN_PATHS: [&str; 7] = ["metricas", "assets", "healthz", "readyz", "metrics", "docs", "eventos"];

/// An endpoint with what its query reads.
pub(crate) struct Prepared {
    endpoint: Endpoint,
    needs: Needs,
}

/// Resolves every endpoint's query, so that a wrong name stops the start and not the first request.
pub(crate) fn prepare(catalog: &Catalog, reader: &Reader) -> Result<Vec<Prepared>, ApiError> {
    let mut prepared = Vec::new();
    let mut errors = Vec::new();
    for endpoint in &catalog.endpoints {
        match check(endpoint).and_then(|()| reader.needs(endpoint)) {
            Ok(needs) => prepared.push(Prepared { endpoint: endpoint.clone(), needs }),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(prepared) } else { Err(ApiError::Catalog(Diagnostics(errors))) }
}

fn check(endpoint: &Endpoint) -> Result<(), Diagnostic> {
    let first = endpoint.path.split('/').nth(1).unwrap_or_default();
    if OWN_PATHS.contains(&first) {
        return Err(endpoint.position.error(
            format!("path '{}' is the API's own", endpoint.path),
            format!("begin the path with another word than {}", OWN_PATHS.join(", ")),
        ));
    }
    if !(1..=LIMIT_MAX).contains(&endpoint.limit_default) {
        return Err(endpoint.position.error(
            format!("limite = {} is out of range", endpoint.limit_default),
            format!("give a default from 1 to {LIMIT_MAX}"),
        ));
    }
    Ok(())
}

pub(crate) fn routes(prepared: Vec<Prepared>) -> Router<Arc<Shared>> {
    prepared.into_iter().fold(Router::new(), |router, prepared| {
        let path = prepared.endpoint.path.clone();
        let prepared = Arc::new(prepared);
        let handler = move |State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery| {
            let prepared = Arc::clone(&prepared);
            async move { answer(&shared, &prepared, query.as_deref()).await }
        };
        router.route(&path, get(handler))
    })
}

async fn answer(shared: &Shared, prepared: &Prepared, query: Option<&str>) -> Result<Response, Problem> {
    let Prepared { endpoint, needs } = prepared;
    let view = shared.view()?;
    let allowed: Vec<_> = endpoint.parameters.iter().map(String::as_str).filter(|name| *name != NOW).collect();
    let parameters = Parameters::read(query, &allowed)?;
    let reconciliations = Arc::clone(&shared.reconciliations.borrow());
    let histories = Arc::clone(&shared.histories.borrow());
    let moment =
        Moment { view: &view, histories: &histories, reconciliations: &reconciliations, now_ms: shared.clock.now_ms() };
    let values = values(endpoint, &parameters, moment.now_ms)?;
    let rows = shared.reader.bounded(rows(&shared.reader, &moment, prepared, values)).await?;
    let headers = completeness::headers(&view, needs);
    Ok((headers, [(CONTENT_TYPE, "application/json")], rows).into_response())
}

/// A value for every placeholder; a parameter that was not given is a null of its type.
fn values(endpoint: &Endpoint, parameters: &Parameters, now_ms: i64) -> Result<HashMap<String, ScalarValue>, Problem> {
    let period = parameters.period()?;
    let limit = parameters.limit(endpoint.limit_default)?;
    let value = |name: &str| match name {
        NOW => utc(now_ms.checked_mul(MICROS_PER_MS)),
        FROM => utc(period.from),
        UNTIL => utc(period.until),
        LIMIT => ScalarValue::Int64(i64::try_from(limit).ok()),
        name => ScalarValue::Utf8(parameters.text(name).map(str::to_owned)),
    };
    Ok(endpoint.parameters.iter().map(|name| (name.clone(), value(name))).collect())
}

async fn rows(
    reader: &Reader,
    moment: &Moment<'_>,
    prepared: &Prepared,
    values: HashMap<String, ScalarValue>,
) -> Result<Vec<u8>, QueryError> {
    let (context, plan) = reader.plan(moment, &prepared.endpoint.query, &prepared.needs).await?;
    let mut batches = frame(&context, plan.with_param_values(values)?).execute_stream().await?;
    let mut rows = JsonRows::new();
    while let Some(batch) = batches.next().await {
        rows.push(&batch?)?;
    }
    Ok(rows.finish())
}
