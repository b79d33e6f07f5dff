//! The dashboard, embedded in the binary: `/` and `/assets/*`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, DirEntry, include_dir};
use sha2::{Digest, Sha256};

static PAGE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/page");

/// Everything is the page's own, and nobody frames it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

pub(crate) const INDEX: &str = "index.html";

/// The page's files by their paths.
pub(crate) struct Page(BTreeMap<&'static str, Asset>);

struct Asset {
    bytes: &'static [u8],
    content_type: &'static str,
    etag: HeaderValue,
}

impl Page {
    pub(crate) fn embedded() -> Self {
        let mut assets = BTreeMap::new();
        collect(&PAGE, &mut assets);
        Self(assets)
    }

    /// Browsers keep the files and ask each time whether they are still the same: a new binary shows at once.
    pub(crate) fn answer(&self, path: &str, request: &HeaderMap) -> Option<Response> {
        let asset = self.0.get(path)?;
        let headers = [
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (ETAG, asset.etag.clone()),
        ];
        if request.get_all(IF_NONE_MATCH).iter().any(|known| names(known, &asset.etag)) {
            return Some((StatusCode::NOT_MODIFIED, headers).into_response());
        }
        let content_type = [(CONTENT_TYPE, asset.content_type)];
        Some((headers, content_type, Bytes::from_static(asset.bytes)).into_response())
    }
}

fn names(known: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(known), Ok(etag)) = (known.to_str(), etag.to_str()) else { return false };
    known.split(',').any(|one| one.trim() == etag)
}

fn collect(dir: &Dir<'static>, assets: &mut BTreeMap<&'static str, Asset>) {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => collect(dir, assets),
            DirEntry::File(file) => {
                let Some(path) = file.path().to_str() else { continue };
                let Ok(etag) = HeaderValue::from_str(&etag(file.contents())) else { continue };
                assets.insert(path, Asset { bytes: file.contents(), content_type: content_type(path), etag });
            }
        }
    }
}

/// Weak, for compression changes the bytes on the way.
fn etag(bytes: &[u8]) -> String {
    let hash: String = Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("W/\"{hash}\"")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        _ => "text/plain; charset=utf-8",
    }
}
