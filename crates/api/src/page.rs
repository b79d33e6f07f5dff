//! The live page, embedded in the binary: `/` and `/assets/*`.
//!
//! Every domain has the same frame. What is its own lies in the folder of its name; a domain
//! without one has the explorer of all metrics.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, DirEntry, File, include_dir};
use sha2::{Digest, Sha256};

static LIVE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../dashboards/live");
/// The folder for a domain that has none.
const DEFAULT_FOLDER: &str = "default";
/// In a domain's folder: its own part of the frame.
const PANELS: &str = "panels.html";

/// Everything is the page's own, and nobody frames it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

pub(crate) const INDEX: &str = "index.html";

/// The page's files by their paths.
pub(crate) struct Page(BTreeMap<&'static str, Asset>);

struct Asset {
    bytes: Bytes,
    content_type: &'static str,
    etag: HeaderValue,
}

impl Page {
    /// The page of a domain.
    pub(crate) fn of(domain: &str, title: &str) -> Self {
        let mut assets = BTreeMap::new();
        collect(&LIVE, &mut assets);
        let own = |folder: &str| LIVE.get_file(format!("{folder}/{PANELS}"))?.contents_utf8();
        let (folder, panels) =
            own(domain).map_or_else(|| (DEFAULT_FOLDER, own(DEFAULT_FOLDER).unwrap_or_default()), |own| (domain, own));
        if let Some(frame) = LIVE.get_file(INDEX).and_then(File::contents_utf8) {
            let filled = frame.replace("{{title}}", &escaped(title)).replace("{{domain}}", folder);
            assets.extend(asset(INDEX, Bytes::from(filled.replace("{{panels}}", panels))));
        }
        Self(assets)
    }

    /// Browsers keep the files and ask each time whether they are still the same: a new binary
    /// shows at once.
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
        Some((headers, content_type, asset.bytes.clone()).into_response())
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
                assets.extend(asset(path, Bytes::from_static(file.contents())));
            }
        }
    }
}

fn asset(path: &'static str, bytes: Bytes) -> Option<(&'static str, Asset)> {
    let etag = HeaderValue::from_str(&etag(&bytes)).ok()?;
    Some((path, Asset { bytes, content_type: content_type(path), etag }))
}

/// As text of HTML or of an attribute in double quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn html(page: &Page) -> String {
        String::from_utf8(page.0[INDEX].bytes.to_vec()).expect("UTF-8")
    }

    /// A folder with panels is a domain's.
    fn domains() -> impl Iterator<Item = &'static str> {
        LIVE.dirs().filter(|dir| dir.get_file(dir.path().join(PANELS)).is_some()).filter_map(|dir| dir.path().to_str())
    }

    #[test]
    fn every_domain_s_page_is_whole() {
        assert!(domains().count() > 1);
        for domain in domains() {
            let page = Page::of(domain, "A title");
            let html = html(&page);
            assert!(!html.contains("{{"), "{domain}: {html}");
            let named = html.split('"').filter_map(|part| part.strip_prefix("/assets/"));
            let named: Vec<_> = named.map(|path| page.0.contains_key(path).then_some(path)).collect();
            assert!(named.len() > 4 && named.iter().all(Option::is_some), "{domain}: {named:?}");
            assert!(html.contains(&format!("/assets/{domain}/page.js")) && html.contains("id=\"welcome\""), "{domain}");
        }
    }

    #[test]
    fn a_domain_without_a_folder_has_the_explorer() {
        for domain in ["", "shared", "vendor/uplot", "another"] {
            let html = html(&Page::of(domain, "<Another & \"more\">"));
            assert!(html.contains("/assets/default/page.js") && html.contains("id=\"explorer\""), "{domain}");
            assert!(html.contains("&lt;Another &amp; &quot;more&quot;&gt;"), "{domain}");
        }
    }

    /// What a script imports is there: a missing module would show only in a browser.
    #[test]
    fn scripts_import_only_what_exists() {
        let page = Page::of("", "");
        let mut imports = 0;
        for (path, asset) in page.0.iter().filter(|(path, _)| path.ends_with(".js") && !path.starts_with("vendor")) {
            let text = std::str::from_utf8(&asset.bytes).expect("UTF-8");
            let (folder, _) = path.rsplit_once('/').expect("a folder");
            for name in text.split(" from '").skip(1).filter_map(|rest| rest.split('\'').next()) {
                let resolved = match name.strip_prefix("../") {
                    Some(other) => other.to_owned(),
                    None => format!("{folder}/{}", name.strip_prefix("./").expect("a relative path")),
                };
                assert!(page.0.contains_key(resolved.as_str()), "{path} imports {name}");
                imports += 1;
            }
        }
        assert!(imports > 50, "{imports}");
    }
}
