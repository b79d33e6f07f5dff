//! What became of an event or order: `GET` at the paths that topics declare with `trace_path`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use vitral_catalog::{Catalog, TRACED_ID};
use vitral_query::{Principal, Searched, sees_completeness};

use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shared::Shared;

/// Longer than any id that a topic may have is none.
const ID_BYTES_MAX: usize = 1_024;

pub(crate) fn routes(catalog: &Catalog) -> Router<Arc<Shared>> {
    let paths: BTreeSet<&str> = catalog.traced().filter_map(|(_, traced)| traced.path.as_deref()).collect();
    paths.into_iter().fold(Router::new(), |router, path| {
        debug_assert!(path.contains(TRACED_ID), "the catalog has checked it");
        router.route(path, get(trace))
    })
}

async fn trace(
    State(shared): State<Arc<Shared>>,
    Extension(principal): Extension<Principal>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|_| Problem::not_found(uri.path()))?;
    Parameters::none(query.as_deref())?;
    if id.len() > ID_BYTES_MAX {
        return Err(Problem::untraced(&id.chars().take(80).collect::<String>(), &[], true));
    }
    let sees_refused = sees_completeness(&principal);
    let point = shared.read_point(principal)?;
    let found = shared.reader.bounded(async { shared.reader.trace(&point, &id).await.map_err(Problem::from) }).await?;
    if found.rows.is_empty() {
        return Err(Problem::untraced(&id, &found.searched, sees_refused));
    }
    Ok(Json(found).into_response())
}

impl Problem {
    /// What was refused is not looked through for those who see some rows only.
    fn untraced(id: &str, searched: &[Searched], sees_refused: bool) -> Self {
        let place = |place: &Searched| format!("{} ({})", place.topic, place.columns.join(", "));
        let places = searched.iter().map(place).collect::<Vec<_>>().join("; ");
        let refused =
            if sees_refused { ", nor in what was refused there" } else { ", among the rows that this key sees" };
        let within = if places.is_empty() { String::new() } else { format!(" in {places}{refused}") };
        Self::not_traced(format!("there is no {id}{within}"), sees_refused)
    }
}
