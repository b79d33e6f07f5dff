//! `GET /docs`: the description of the API as a page, by Swagger UI. Its files are part of the
//! binary, and it asks no other host for anything.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};
use utoipa_swagger_ui::{Config, serve};

use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shared::Shared;

const DESCRIPTION: &str = "/openapi.json";
const INDEX: &str = "index.html";
/// What the page needs of Swagger UI's files.
const FILES: [&str; 7] = [
    "favicon-16x16.png",
    "favicon-32x32.png",
    "index.css",
    "swagger-initializer.js",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
];
/// Its pictures are in its style sheet. No script is written into the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Another version has another path.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// Swagger UI's files as they are served.
struct Files {
    /// Differs when one of them differs.
    version: String,
    index: Bytes,
    others: BTreeMap<&'static str, (Bytes, HeaderValue)>,
}

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/docs", get(page)).route("/docs/{versao}/{arquivo}", get(file))
}

async fn page(RawQuery(query): RawQuery) -> Result<Response, Problem> {
    Parameters::none(query.as_deref())?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, files()?.index.clone()).into_response())
}

async fn file(path: Result<Path<(String, String)>, PathRejection>, uri: Uri) -> Result<Response, Problem> {
    let Path((version, name)) = path.map_err(|_| Problem::not_found(uri.path()))?;
    let files = files()?;
    let found = files.others.get(name.as_str()).filter(|_| version == files.version);
    let (bytes, kind) = found.ok_or_else(|| Problem::not_found(uri.path()))?;
    let headers = [(CONTENT_TYPE, kind.clone()), (CACHE_CONTROL, HeaderValue::from_static(FOR_GOOD))];
    Ok((headers, bytes.clone()).into_response())
}

fn files() -> Result<&'static Files, Problem> {
    static FILES: OnceLock<Option<Files>> = OnceLock::new();
    FILES.get_or_init(Files::read).as_ref().ok_or_else(|| {
        tracing::error!("the files of the page /docs are not whole");
        Problem::internal()
    })
}

impl Files {
    fn read() -> Option<Self> {
        // Nothing is sent to a service that validates descriptions, and nothing is read from the
        // page's address.
        let config = Config::new([DESCRIPTION]).use_base_layout().validator_url("none").display_operation_id(true);
        let config = Arc::new(config);
        let mut hash = Sha256::new();
        let mut others = BTreeMap::new();
        for name in FILES {
            let file = serve(name, Arc::clone(&config)).ok()??;
            hash.update(&file.bytes);
            others.insert(name, (file.bytes.into_owned().into(), HeaderValue::from_str(&file.content_type).ok()?));
        }
        let version: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let index = serve(INDEX, config).ok()??;
        let index = String::from_utf8(index.bytes.into_owned()).ok()?;
        let there = format!("=\"/docs/{version}/");
        let index = index.replace("=\"./", &there).replace("=\"index.css", &format!("{there}index.css"));
        Some(Self { version, index: index.into(), others })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_only_files_that_are_there() {
        let files = Files::read().expect("whole");
        let html = std::str::from_utf8(&files.index).expect("UTF-8");
        let folder = format!("/docs/{}/", files.version);
        let named: Vec<_> = html.split('"').filter_map(|part| part.strip_prefix(folder.as_str())).collect();
        assert_eq!(named.len(), FILES.len(), "{html}");
        assert!(named.iter().all(|name| files.others.contains_key(name)), "{named:?}");
        assert!(!html.contains("<style") && !html.contains("//unpkg") && !html.contains("http"), "{html}");
        let (start, _) = &files.others["swagger-initializer.js"];
        let start = std::str::from_utf8(start).expect("UTF-8");
        assert!(start.contains(DESCRIPTION) && !start.contains("petstore"), "{start}");
    }
}
