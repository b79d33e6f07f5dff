//! Tokens from an OIDC provider, for the client's own credentials.
//!
//! Neither the secret nor a token is ever part of an error or a log.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use crate::certificate;
use crate::problem::{Problem, ProblemKind};
use crate::token::Token;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// The lifetime of a token whose response names none.
const LIFETIME_UNSAID: Duration = Duration::from_secs(300);

pub(crate) struct Oidc {
    endpoint: Url,
    client_id: String,
    authorization: HeaderValue,
    body: String,
    extensions: Vec<(String, String)>,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<f64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

#[derive(Deserialize, Default)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
}

impl Oidc {
    pub(crate) fn new(options: &BTreeMap<String, String>) -> Result<Self, String> {
        let named = |name: &str| options.get(&format!("sasl.oauthbearer.{name}"));
        let needed = |name: &str| {
            let value = named(name).or_else(|| named(&format!("client.credentials.{name}")));
            value.ok_or_else(|| format!("sasl.oauthbearer.{name} is missing: sasl.oauthbearer.method = oidc needs it"))
        };
        if let Some(grant) = named("grant.type").filter(|grant| *grant != "client_credentials") {
            return Err(format!("sasl.oauthbearer.grant.type is {grant:?}: only client_credentials is built in"));
        }
        let url = needed("token.endpoint.url")?;
        let wrong = |what: &str| format!("sasl.oauthbearer.token.endpoint.url {what}");
        let endpoint = Url::parse(url).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
        let is_local = match endpoint.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match endpoint.scheme() {
            "https" => {}
            "http" if is_local => {}
            _ => return Err(wrong("must begin with https://, as the secret is sent there")),
        }
        if !endpoint.username().is_empty() || endpoint.password().is_some() {
            return Err(wrong("holds a user: set sasl.oauthbearer.client.id and client.secret"));
        }
        let (client_id, secret) = (needed("client.id")?, needed("client.secret")?);
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let credentials = BASE64_STANDARD.encode(format!("{}:{}", encoded(client_id), encoded(secret)));
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {credentials}")).map_err(|error| error.to_string())?;
        authorization.set_sensitive(true);
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "client_credentials");
        if let Some(scope) = named("scope") {
            body.append_pair("scope", scope);
        }
        let ca = |name: &str| options.get(&format!("https.ca.{name}"));
        let tls = certificate::roots_of((ca("location"), ca("pem")))
            .and_then(certificate::client_config)
            .ok_or("https.ca.location holds no certificates in PEM")?;
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // The secret is sent only to the endpoint that was named.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("vitral")
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            endpoint,
            client_id: client_id.clone(),
            authorization,
            body: body.finish(),
            extensions: named("extensions").map_or(Ok(Vec::new()), |text| extensions(text))?,
            http,
        })
    }

    /// Blocks until the endpoint answers; not to be called on a thread of the runtime.
    pub(crate) fn token(&self) -> Result<Token, Problem> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| self.away(error.to_string()))?;
        runtime.block_on(self.fetch())
    }

    async fn fetch(&self) -> Result<Token, Problem> {
        let request = self
            .http
            .post(self.endpoint.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.body.clone());
        let mut answer = request.send().await.map_err(|error| self.away(causes(&error)))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| self.away(causes(&error)))? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(self.away(format!("its answer is larger than {ANSWER_BYTES_MAX} bytes")));
            }
        }
        if status.is_success() { self.read(&body) } else { Err(self.refusal(status, &body)) }
    }

    fn read(&self, body: &[u8]) -> Result<Token, Problem> {
        let Answer { access_token, expires_in } = serde_json::from_slice(body)
            .map_err(|_| self.problem(ProblemKind::Token, "its answer holds no access_token".to_owned()))?;
        let claims = claims(&access_token);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = expires_in.or_else(|| claims.exp.map(|exp| exp - now.as_secs_f64()));
        let lifetime = seconds.map_or(Ok(LIFETIME_UNSAID), |seconds| {
            let lifetime = Duration::try_from_secs_f64(seconds).ok().filter(|lifetime| !lifetime.is_zero());
            lifetime.ok_or_else(|| {
                let reason = "its token has already expired: check whether this machine's clock is right";
                self.problem(ProblemKind::Token, reason.to_owned())
            })
        })?;
        Ok(Token {
            token: access_token,
            principal: claims.sub.unwrap_or_else(|| self.client_id.clone()),
            lifetime,
            extensions: self.extensions.clone(),
        })
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> Problem {
        let said = serde_json::from_slice::<Refusal>(body).ok().map(|refusal| {
            let description = refusal.error_description.map(|text| format!(": {text}")).unwrap_or_default();
            let said: String = format!(", {}{description}", refusal.error).chars().take(300).collect();
            said
        });
        let detail = format!("it answers {}{}", status.as_u16(), said.unwrap_or_default());
        match status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
            true => self.problem(ProblemKind::Token, detail),
            false => self.away(detail),
        }
    }

    fn away(&self, reason: String) -> Problem {
        self.problem(ProblemKind::TokenEndpointAway, reason)
    }

    fn problem(&self, kind: ProblemKind, reason: String) -> Problem {
        Problem::new(kind, format!("token endpoint {}: {reason}", self.endpoint))
    }
}

/// The claims of a token; none for one that only its broker can read.
fn claims(token: &str) -> Claims {
    let payload =
        token.split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
    payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default()
}

/// `name=value,name=value`
fn extensions(text: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let split = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => Err(format!("sasl.oauthbearer.extensions holds {pair:?}: write name=value, separated by commas")),
    };
    pairs.map(split).collect()
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: [(&str, &str); 3] =
        [("token.endpoint.url", "https://login.example.com/token"), ("client.id", "shop"), ("client.secret", "hush")];

    fn oidc(changes: &[(&str, &str)]) -> Result<Oidc, String> {
        let options = COMPLETE.iter().chain(changes);
        Oidc::new(&options.map(|(name, value)| (format!("sasl.oauthbearer.{name}"), (*value).to_owned())).collect())
    }

    fn refused(changes: &[(&str, &str)]) -> String {
        oidc(changes).err().expect("a refusal")
    }

    #[test]
    fn secrets_are_sent_encrypted_or_nowhere() {
        assert!(oidc(&[]).is_ok());
        assert!(oidc(&[("token.endpoint.url", "http://127.0.0.1:9/token")]).is_ok());
        assert!(oidc(&[("token.endpoint.url", "http://localhost:9/token")]).is_ok());
        for url in
            ["http://login.example.com/token", "ftp://localhost/token", "login", "https://user:hush@example.com/"]
        {
            let error = refused(&[("token.endpoint.url", url)]);
            assert!(error.contains("token.endpoint.url") && !error.contains("hush"), "{error}");
        }
        assert!(refused(&[("grant.type", "jwt-bearer")]).contains("client_credentials"));
        assert!(refused(&[("extensions", "logicalCluster")]).contains("name=value"));
    }

    #[test]
    fn an_answer_gives_a_token_with_its_life() {
        let oidc = oidc(&[("extensions", "logicalCluster=lkc-1, identityPoolId=pool-2")]).expect("valid");
        let claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"sub":"robot","exp":4102444800}"#);
        let answer = |text: String| oidc.read(text.as_bytes());
        let token = answer(format!(r#"{{"access_token":"h.{claims}.s","expires_in":60}}"#)).expect("a token");
        assert_eq!((token.principal.as_str(), token.lifetime), ("robot", Duration::from_secs(60)));
        assert_eq!(token.extensions[1], ("identityPoolId".to_owned(), "pool-2".to_owned()));
        let token = answer(format!(r#"{{"access_token":"h.{claims}.s"}}"#)).expect("a token");
        assert!(token.lifetime > Duration::from_secs(86_400));
        let token = answer(r#"{"access_token":"opaque"}"#.to_owned()).expect("a token");
        assert_eq!((token.principal.as_str(), token.lifetime), ("shop", LIFETIME_UNSAID));
        assert!(answer(r#"{"access_token":"x","expires_in":-1}"#.to_owned()).is_err());
        assert!(answer("<html>".to_owned()).is_err());
    }

    #[test]
    fn a_refusal_is_told_from_an_outage() {
        let oidc = oidc(&[]).expect("valid");
        let body = br#"{"error":"invalid_client","error_description":"no such client"}"#;
        let refusal = oidc.refusal(StatusCode::UNAUTHORIZED, body);
        assert!(refusal.is_refusal() && refusal.to_string().contains("invalid_client: no such client"), "{refusal}");
        assert!(!oidc.refusal(StatusCode::BAD_GATEWAY, b"<html>").is_refusal());
        assert!(!oidc.refusal(StatusCode::TOO_MANY_REQUESTS, b"").is_refusal());
        assert!(!refusal.to_string().contains("hush"));
    }
}
