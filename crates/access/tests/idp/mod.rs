//! A small OIDC provider on this machine.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use vitral_access::{Access, AccessConfig, AccessMode, OidcConfig, SignInConfig};
use vitral_schemas::time::{Clock, ManualClock, SystemClock};
use vitral_store::Location;

pub const AUDIENCE: &str = "vitral";
pub const CLIENT: &str = "vitral web";
pub const CLIENT_SECRET: &str = "a secret: with signs & spaces";
pub const REDIRECT: &str = "http://127.0.0.1:8080/entrar/volta";

/// What signs.
pub struct SigningPair {
    pub id: String,
    pub private: EncodingKey,
    pub public: Jwk,
}

pub struct Idp {
    pub issuer: String,
    /// The keys that it shows now.
    pub shown: Mutex<Vec<Jwk>>,
    pub key_fetches: AtomicUsize,
    /// What it answers to each code that it has given.
    pub codes: Mutex<BTreeMap<String, Code>>,
    pub is_down: std::sync::atomic::AtomicBool,
}

pub struct Code {
    pub challenge: String,
    pub answer: Value,
}

impl SigningPair {
    pub fn new(id: &str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("its encoding");
        let lines: Vec<String> = BASE64_STANDARD
            .encode(der.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into())
            .collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        let private = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key");
        let mut public = Jwk::from_encoding_key(&private, Algorithm::RS256).expect("its public part");
        public.common.key_id = Some(id.to_owned());
        Self { id: id.to_owned(), private, public }
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::RS256) };
        encode(&header, claims, &self.private).expect("signed")
    }
}

impl Idp {
    pub async fn start(keys: Vec<Jwk>) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let idp = Arc::new(Self {
            issuer: format!("http://{}/realms/loja", listener.local_addr().expect("an address")),
            shown: Mutex::new(keys),
            key_fetches: AtomicUsize::new(0),
            codes: Mutex::default(),
            is_down: false.into(),
        });
        let router = Router::new()
            .route("/realms/loja/.well-known/openid-configuration", get(describe))
            .route("/realms/loja/keys", get(keys_of))
            .route("/realms/loja/token", post(exchange))
            .with_state(Arc::clone(&idp));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        idp
    }

    /// Claims of a token that is valid.
    pub fn claims(&self) -> Value {
        let now = SystemClock.now_ms() / 1000;
        json!({
            "iss": self.issuer, "aud": AUDIENCE, "sub": "maria", "exp": now + 300, "nbf": now - 5,
            "scope": "openid vendas:read",
        })
    }

    pub fn fetches(&self) -> usize {
        self.key_fetches.load(Ordering::SeqCst)
    }

    pub fn config(&self) -> AccessConfig {
        let oidc = OidcConfig {
            issuer: self.issuer.clone(),
            audience: AUDIENCE.to_owned(),
            algorithms: vec!["RS256".to_owned()],
            scopes_claim: "scope".to_owned(),
            filters_claim: None,
            ca: None,
            sign_in: Some(SignInConfig {
                client_id: CLIENT.to_owned(),
                client_secret: Some(CLIENT_SECRET.into()),
                redirect_url: REDIRECT.to_owned(),
                scope: "openid vendas".to_owned(),
            }),
        };
        AccessConfig { mode: AccessMode::Keys, oidc: Some(oidc), ..AccessConfig::default() }
    }
}

/// Access over a store, with a clock that is set by hand and begins now.
pub async fn open(config: AccessConfig, dir: &Path) -> (Access, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(SystemClock.now_ms()));
    let store = Location::folder(dir).expect("a store");
    let access = Access::open(config, &store, Arc::clone(&clock) as Arc<dyn Clock>, None).await.expect("opened");
    (access, clock)
}

async fn describe(State(idp): State<Arc<Idp>>) -> Result<Json<Value>, axum::http::StatusCode> {
    if idp.is_down.load(Ordering::SeqCst) {
        return Err(axum::http::StatusCode::BAD_GATEWAY);
    }
    Ok(Json(json!({
        "issuer": idp.issuer,
        "jwks_uri": format!("{}/keys", idp.issuer),
        "authorization_endpoint": format!("{}/authorize", idp.issuer),
        "token_endpoint": format!("{}/token", idp.issuer),
    })))
}

async fn keys_of(State(idp): State<Arc<Idp>>) -> Json<Value> {
    idp.key_fetches.fetch_add(1, Ordering::SeqCst);
    Json(json!({ "keys": *idp.shown.lock().expect("its keys") }))
}

/// As RFC 6749 and RFC 7636 ask: the client's secret, a code once, and its verifier.
async fn exchange(
    State(idp): State<Arc<Idp>>,
    headers: HeaderMap,
    Form(form): Form<BTreeMap<String, String>>,
) -> (axum::http::StatusCode, Json<Value>) {
    let refused = |error: &str| (axum::http::StatusCode::BAD_REQUEST, Json(json!({ "error": error })));
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", encoded(CLIENT), encoded(CLIENT_SECRET))));
    if headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(&basic) {
        return refused("invalid_client");
    }
    let Some(code) = form.get("code").and_then(|code| idp.codes.lock().expect("its codes").remove(code)) else {
        return refused("invalid_grant");
    };
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, form["code_verifier"].as_bytes());
    let is_right = BASE64_URL_SAFE_NO_PAD.encode(hash) == code.challenge
        && form["redirect_uri"] == REDIRECT
        && form["grant_type"] == "authorization_code";
    if is_right { (axum::http::StatusCode::OK, Json(code.answer)) } else { refused("invalid_grant") }
}
