//! Signing in with a browser: the authorization code flow with PKCE, at the server.
//!
//! What has to be remembered until the provider sends the browser back is in a cookie, signed; no
//! process keeps it. The cookie holds PKCE's verifier, which is of use only together with the code
//! that the same browser brings.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use vitral_query::Principal;
use vitral_schemas::time::Clock;

use super::claims::Claims;
use super::http;
use super::provider::Provider;
use crate::config::{AccessError, SignInConfig};
use crate::denied::Denied;
use crate::secrets::{are_equal, random_text, sha256};
use crate::signing::SigningKey;

const PURPOSE: &str = "sign-in";
/// So long somebody may take to sign in.
const LIFETIME_MS: i64 = 10 * 60 * 1000;
const BACK_TO_BYTES_MAX: usize = 1024;
/// Of what the provider says, so much is passed on.
const REASON_CHARS_MAX: usize = 200;

/// How people sign in.
#[derive(Debug)]
pub struct SignIn {
    config: SignInConfig,
    provider: Arc<Provider>,
    key: SigningKey,
    clock: Arc<dyn Clock>,
}

/// The way to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Where the browser is sent.
    pub url: String,
    /// The value of a cookie that it brings back: `HttpOnly`, and `SameSite=Lax`, as it comes from
    /// another site.
    pub state: String,
    /// For how long that is of use, in seconds.
    pub lifetime_seconds: i64,
}

/// Somebody has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Who.
    pub principal: Principal,
    /// The local path that they came for.
    pub back_to: String,
}

/// Why nobody has signed in.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum SignInError {
    #[error("{0:?} is not a path of this server: write one that begins with a single /")]
    BackTo(String),
    #[error("this sign-in was not begun by this browser, or more than ten minutes ago: sign in again")]
    State,
    #[error("the OIDC provider has refused the sign-in ({0}): sign in again, or ask who runs it")]
    Refused(String),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// What the cookie holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    state: String,
    nonce: String,
    verifier: String,
    back_to: String,
    expires_ms: i64,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
    access_token: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

impl SignIn {
    pub(crate) fn new(config: &SignInConfig, provider: Arc<Provider>, key: SigningKey, clock: Arc<dyn Clock>) -> Self {
        Self { config: config.clone(), provider, key, clock }
    }

    /// The way to the provider, and back to a local path afterwards.
    ///
    /// # Errors
    /// The path is not local, or the provider cannot be asked where people sign in.
    pub async fn begin(&self, back_to: &str) -> Result<Begun, SignInError> {
        if !is_local_path(back_to) {
            return Err(SignInError::BackTo(back_to.chars().take(REASON_CHARS_MAX).collect()));
        }
        let known = self.provider.described().await?;
        let mut url = known.endpoints.authorization.clone().ok_or_else(|| lacks("authorization_endpoint"))?;
        let pending = Pending {
            state: random_text::<32>()?,
            nonce: random_text::<32>()?,
            verifier: random_text::<32>()?,
            back_to: back_to.to_owned(),
            expires_ms: self.clock.now_ms() + LIFETIME_MS,
        };
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.config.redirect_url)
            .append_pair("scope", &self.config.scope)
            .append_pair("state", &pending.state)
            .append_pair("nonce", &pending.nonce)
            .append_pair("code_challenge", &BASE64_URL_SAFE_NO_PAD.encode(sha256(pending.verifier.as_bytes())))
            .append_pair("code_challenge_method", "S256");
        let state = self.key.seal(PURPOSE, &pending)?;
        Ok(Begun { url: url.into(), state, lifetime_seconds: LIFETIME_MS / 1000 })
    }

    /// Who has signed in, from the cookie of [`Begun::state`] and the query with which the provider
    /// has sent the browser back.
    ///
    /// # Errors
    /// The provider has refused it, cannot be asked, or it was begun elsewhere.
    pub async fn finish(&self, state_cookie: &str, query: &str) -> Result<Finished, SignInError> {
        let pending: Pending = self.key.open(PURPOSE, state_cookie).ok_or(SignInError::State)?;
        let parameter = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let state = parameter("state").unwrap_or_default();
        let is_over = pending.expires_ms <= self.clock.now_ms();
        if is_over || !are_equal(state.as_bytes(), pending.state.as_bytes()) {
            return Err(SignInError::State);
        }
        // Another provider's answer (RFC 9207).
        if parameter("iss").is_some_and(|issuer| issuer != self.provider.issuer()) {
            return Err(SignInError::State);
        }
        if let Some(error) = parameter("error") {
            return Err(refused(&error, parameter("error_description")));
        }
        let code = parameter("code").ok_or(SignInError::State)?;
        let tokens = self.exchange(&code, &pending.verifier).await?;
        let principal = self.principal(&tokens, &pending.nonce).await?;
        Ok(Finished { principal, back_to: pending.back_to })
    }

    async fn exchange(&self, code: &str, verifier: &str) -> Result<Tokens, SignInError> {
        let known = self.provider.described().await?;
        let endpoint = known.endpoints.token.as_ref().ok_or_else(|| lacks("token_endpoint"))?;
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.config.redirect_url.as_str()),
            ("client_id", self.config.client_id.as_str()),
            ("code_verifier", verifier),
        ];
        let mut request = self.provider.http.post(endpoint.clone());
        match &self.config.client_secret {
            Some(secret) if known.endpoints.takes_secret_in_body => {
                fields.push(("client_secret", secret.expose_secret()));
            }
            Some(secret) => request = request.header(AUTHORIZATION, self.basic(secret)?),
            None => {}
        }
        // Made at once: what encodes it cannot be sent to another thread.
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        let answer: Result<(StatusCode, Tokens), String> = http::json(request, endpoint).await;
        let away = |error: String| Denied::Unavailable(format!("the OIDC provider cannot be asked: {error}"));
        let (status, tokens) = answer.map_err(away)?;
        match (&tokens.error, status.is_success()) {
            (None, true) => Ok(tokens),
            (Some(error), _) => Err(refused(error, tokens.error_description.clone())),
            (None, false) => Err(away(format!("{endpoint} answers {status}")).into()),
        }
    }

    /// The client's id and secret, each encoded as in a form (RFC 6749, 2.3.1).
    fn basic(&self, secret: &SecretString) -> Result<HeaderValue, AccessError> {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encoded(&self.config.client_id), encoded(secret.expose_secret()));
        let value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair)));
        let mut value = value.map_err(|error| AccessError::Config(format!("access.oidc.client_secret: {error}")))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn principal(&self, tokens: &Tokens, nonce: &str) -> Result<Principal, SignInError> {
        let id_token = tokens.id_token.as_deref().ok_or_else(|| {
            SignInError::Refused(
                "its answer has no id_token: access.oidc.sign_in_scope has to ask for openid".to_owned(),
            )
        })?;
        let claims = self.provider.claims(id_token, &self.config.client_id).await?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if !text("nonce").is_some_and(|shown| are_equal(shown.as_bytes(), nonce.as_bytes())) {
            tracing::debug!("an id_token has another nonce");
            return Err(Denied::Wrong.into());
        }
        // A token for several has to say who asked for it.
        if text("azp").is_some_and(|party| party != self.config.client_id) {
            tracing::debug!("an id_token was made for another client");
            return Err(Denied::Wrong.into());
        }
        let granted = self.granted(claims, tokens.access_token.as_deref()).await?;
        self.provider.grants.principal(&granted).map_err(|reason| {
            tracing::debug!(reason, "an id_token grants nothing");
            Denied::Wrong.into()
        })
    }

    /// The claims with the scopes: many providers put them into the access token alone. That is
    /// believed as any bearer token is, and only if it is the same person's.
    async fn granted(&self, claims: Claims, access_token: Option<&str>) -> Result<Claims, Denied> {
        let Some(token) = access_token.filter(|_| !self.provider.grants.has_scopes(&claims)) else { return Ok(claims) };
        match self.provider.bearer_claims(token).await {
            Ok(of_api) if of_api.get("sub") == claims.get("sub") => Ok(of_api),
            Err(Denied::Unavailable(reason)) => Err(Denied::Unavailable(reason)),
            // It is for somebody else, or not a token that can be read.
            _ => Ok(claims),
        }
    }
}

/// Whether a browser that is sent there stays on this server: `//host` and `/\host` are other
/// places, and tabs and line ends are dropped by browsers.
fn is_local_path(path: &str) -> bool {
    let is_plain = path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= BACK_TO_BYTES_MAX
        && !path.contains(|char: char| char == '\\' || char.is_control());
    let Ok(here) = Url::parse("http://here.invalid/") else { return false };
    is_plain && here.join(path).is_ok_and(|url| url.origin() == here.origin())
}

fn refused(error: &str, description: Option<String>) -> SignInError {
    let reason = description.map_or_else(|| error.to_owned(), |description| format!("{error}: {description}"));
    SignInError::Refused(reason.chars().filter(|char| !char.is_control()).take(REASON_CHARS_MAX).collect())
}

fn lacks(what: &str) -> Denied {
    Denied::Unavailable(format!("the OIDC provider's description has no {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for path in ["/", "/painel?de=2025-01-01#x", "/a//b", "/%2F%2Fevil.example"] {
            assert!(is_local_path(path), "{path}");
        }
        for path in [
            "",
            "painel",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: x=1",
            &format!("/{}", "a".repeat(2_000)),
        ] {
            assert!(!is_local_path(path), "{path}");
        }
    }
}
