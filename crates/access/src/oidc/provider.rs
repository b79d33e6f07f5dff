//! The provider as it describes itself, and its keys: fetched when they are needed, each hour, and
//! when a token names a key that is not known, but never more often than every half minute.

use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;
use vitral_query::Principal;
use vitral_schemas::time::Clock;

use super::claims::{Claims, GrantClaims};
use super::http;
use super::key_set::KeySet;
use crate::config::{AccessError, OidcConfig, private_url};
use crate::denied::Denied;

/// Longer tokens are not read.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// How far the provider's clock may be from ours.
const LEEWAY_SECONDS: u64 = 30;
const FRESH_MS: i64 = 3_600_000;
const FETCH_EVERY_MS: i64 = 30_000;
/// For so long keys are believed that cannot be fetched again: the provider may have taken one
/// back.
const BELIEVED_MS: i64 = 24 * 3_600_000;

#[derive(Debug)]
pub(crate) struct Provider {
    issuer: String,
    audience: String,
    algorithms: Vec<Algorithm>,
    pub(super) grants: GrantClaims,
    pub(super) http: reqwest::Client,
    clock: Arc<dyn Clock>,
    known: RwLock<Option<Arc<Known>>>,
    /// When it was last asked; held while it is.
    asked_ms: Mutex<Option<i64>>,
}

/// What the provider said last.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) endpoints: Endpoints,
    keys: KeySet,
    fetched_ms: i64,
}

/// Where it is asked for what.
#[derive(Debug)]
pub(super) struct Endpoints {
    keys: Url,
    pub(super) authorization: Option<Url>,
    pub(super) token: Option<Url>,
    /// Whether the secret goes into the body, as the header is not taken.
    pub(super) takes_secret_in_body: bool,
}

/// Its own description.
#[derive(Debug, Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    /// How this server may show who it is; without, by `client_secret_basic`.
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

impl Provider {
    pub(crate) fn new(config: &OidcConfig, clock: Arc<dyn Clock>) -> Result<Self, AccessError> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(AccessError::Config(problems.join("; ")));
        }
        Ok(Self {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            algorithms: config.pinned().map_err(AccessError::Config)?,
            grants: GrantClaims { scopes: config.scopes_claim.clone(), filters: config.filters_claim.clone() },
            http: http::client(config.ca.as_deref())?,
            clock,
            known: RwLock::default(),
            asked_ms: Mutex::default(),
        })
    }

    /// Whose bearer token it is.
    pub(crate) async fn principal(self: &Arc<Self>, token: &str) -> Result<Principal, Denied> {
        let claims = self.claims(token, &self.audience).await?;
        self.grants.principal(&claims).map_err(|reason| refused(&reason))
    }

    /// The claims of a token for our API.
    pub(super) async fn bearer_claims(self: &Arc<Self>, token: &str) -> Result<Claims, Denied> {
        self.claims(token, &self.audience).await
    }

    /// The claims of a token that the provider has made for this audience, and that holds now.
    pub(super) async fn claims(self: &Arc<Self>, token: &str, audience: &str) -> Result<Claims, Denied> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused("it is too long"));
        }
        // Without a signature (`none`) it is not even read.
        let header = decode_header(token).map_err(|error| refused(&error.to_string()))?;
        if !self.algorithms.contains(&header.alg) {
            return Err(refused(&format!("{:?} is not among access.oidc.algorithms", header.alg)));
        }
        let known = self.known_with(header.kid.as_deref()).await?;
        let key = known.keys.find(header.kid.as_deref(), header.alg);
        let key = key.ok_or_else(|| refused("no key of the provider fits its header"))?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_audience(&[audience]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        match decode::<Claims>(token, key, &validation) {
            Ok(token) => Ok(token.claims),
            Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => Err(Denied::Expired),
            Err(error) => Err(refused(&error.to_string())),
        }
    }

    /// What the provider says of itself.
    pub(super) async fn described(self: &Arc<Self>) -> Result<Arc<Known>, Denied> {
        self.known_with(None).await
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What is known, with the key of this id if the provider has it.
    async fn known_with(self: &Arc<Self>, key: Option<&str>) -> Result<Arc<Known>, Denied> {
        let known = self.known();
        if let Some(known) = known.as_ref().filter(|known| known.keys.has(key) && self.age_ms(known) < BELIEVED_MS) {
            if self.age_ms(known) >= FRESH_MS {
                self.ask_in_background();
            }
            return Ok(Arc::clone(known));
        }
        let mut asked_ms = self.asked_ms.lock().await;
        // Another request may have asked in the meantime.
        let is_new = |newest: &Arc<Known>| known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, newest));
        let outcome = match self.known() {
            Some(newest) if is_new(&newest) && newest.keys.has(key) => return Ok(newest),
            _ => self.ask(&mut asked_ms).await,
        };
        match (outcome, self.known().filter(|known| self.age_ms(known) < BELIEVED_MS)) {
            (Ok(()), Some(known)) => Ok(known),
            (Ok(()), None) => Err(Denied::Unavailable("the OIDC provider did not answer a moment ago".to_owned())),
            (Err(error), _) => Err(Denied::Unavailable(format!("the OIDC provider cannot be asked: {error}"))),
        }
    }

    /// Asks for description and keys, unless that was done just now.
    async fn ask(&self, asked_ms: &mut Option<i64>) -> Result<(), String> {
        let now_ms = self.clock.steady_ms();
        if asked_ms.is_some_and(|asked_ms| now_ms - asked_ms < FETCH_EVERY_MS) {
            return Ok(());
        }
        *asked_ms = Some(now_ms);
        let known = self.fetch(now_ms).await.inspect_err(|error| {
            tracing::warn!(error, "the OIDC provider cannot be asked");
        })?;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
        Ok(())
    }

    fn ask_in_background(self: &Arc<Self>) {
        let provider = Arc::clone(self);
        tokio::spawn(async move {
            // Somebody else is asking; what they hear is for all.
            let Ok(mut asked_ms) = provider.asked_ms.try_lock() else { return };
            // It is logged; what is known holds for a day.
            let _ = provider.ask(&mut asked_ms).await;
        });
    }

    async fn fetch(&self, now_ms: i64) -> Result<Known, String> {
        let text = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let url = Url::parse(&text).map_err(|error| format!("{text}: {error}"))?;
        let described: Description = http::get(&self.http, &url).await?;
        if described.issuer != self.issuer {
            return Err(format!("{url} is of the issuer {:?}, and access.oidc.issuer is another", described.issuer));
        }
        let endpoints = described.endpoints().map_err(|reason| format!("{url}: an endpoint {reason}"))?;
        let set: JwkSet = http::get(&self.http, &endpoints.keys).await?;
        Ok(Known { keys: KeySet::of(&set), endpoints, fetched_ms: now_ms })
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn age_ms(&self, known: &Known) -> i64 {
        self.clock.steady_ms() - known.fetched_ms
    }
}

impl Description {
    fn endpoints(self) -> Result<Endpoints, String> {
        let maybe = |url: Option<String>| url.map(|url| private_url(&url)).transpose();
        let methods = self.token_endpoint_auth_methods_supported;
        let has = |name: &str| methods.iter().any(|method| method == name);
        Ok(Endpoints {
            keys: private_url(&self.jwks_uri)?,
            authorization: maybe(self.authorization_endpoint)?,
            token: maybe(self.token_endpoint)?,
            takes_secret_in_body: has("client_secret_post") && !has("client_secret_basic"),
        })
    }
}

/// Those who show a token hear no more than that; why is for the log.
fn refused(reason: &str) -> Denied {
    tracing::debug!(reason, "a token is refused");
    Denied::Wrong
}
