//! An API with access control, and keys to ask it with.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderName, Method, Request};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use vitral_access::{Access, AccessConfig, AccessMode, CreatedKey, Limit, NewKey};
use vitral_api::ApiConfig;
use vitral_query::RowFilters;
use vitral_schemas::time::SystemClock;
use vitral_store::Location;

use crate::world::{Answer, World, catalog, views, windows_view};

pub struct Keyed {
    pub world: World,
    pub access: Access,
    pub store: Location,
    _dir: TempDir,
}

impl Keyed {
    pub async fn new() -> Self {
        Self::with(None, |_| {}).await
    }

    pub async fn with(limit: Option<Limit>, configure: impl FnOnce(&mut ApiConfig)) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Location::folder(dir.path()).expect("a store");
        let config = AccessConfig { mode: AccessMode::Keys, limit, ..AccessConfig::default() };
        let access = Access::open(config, &store, Arc::new(SystemClock), None).await.expect("access");
        let view = windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &[("p1", 1)])]);
        let world = World::with(view, catalog(None), |config| {
            config.access = access.clone();
            config.store = Some(store.clone());
            configure(config);
        });
        Self { world, access, store, _dir: dir }
    }

    pub async fn key(&self, scopes: &[&str]) -> CreatedKey {
        self.key_with(scopes, RowFilters::default()).await
    }

    /// One that sees some rows only.
    pub async fn key_with(&self, scopes: &[&str], filters: RowFilters) -> CreatedKey {
        let scopes = scopes.iter().copied().collect();
        let new = NewKey { name: "painel".to_owned(), scopes, filters, expires_ms: None };
        self.access.keys().expect("keys").create(&new).await.expect("a key")
    }

    pub async fn revoke(&self, key: &CreatedKey) {
        self.access.keys().expect("keys").revoke(&key.id).await.expect("revoked");
    }

    /// From this machine.
    pub async fn ask(&self, method: Method, path: &str, lines: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        self.ask_from("127.0.0.1", method, path, lines, body).await
    }

    pub async fn ask_from(
        &self,
        address: &str,
        method: Method,
        path: &str,
        lines: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).body(body.into()).expect("a request");
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request.headers_mut().append(name, value.parse().expect("a value"));
        }
        let peer = SocketAddr::new(address.parse().expect("an address"), 50_000);
        request.extensions_mut().insert(ConnectInfo(peer));
        self.world.ask(request).await
    }

    /// With these credentials.
    pub async fn get(&self, path: &str, authorization: &str) -> Answer {
        self.ask(Method::GET, path, &[("authorization", authorization)], Body::empty()).await
    }

    /// The cookie that the key is changed for.
    pub async fn session(&self, key: &CreatedKey) -> String {
        let body = serde_json::json!({ "chave": text(key) }).to_string();
        let answer = self.ask(Method::POST, "/entrar", &[JSON], body).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
        let cookie = answer.header("set-cookie").expect("a cookie");
        cookie.split(';').next().expect("a value").to_owned()
    }
}

pub const JSON: (&str, &str) = ("content-type", "application/json");
pub const OWN_PAGE: (&str, &str) = ("origin", "http://localhost");

/// As `vitral keys create` prints it.
pub fn text(key: &CreatedKey) -> String {
    format!("{}.{}", key.id, key.secret.expose_secret())
}

pub fn bearer(key: &CreatedKey) -> String {
    format!("Bearer {}", text(key))
}
