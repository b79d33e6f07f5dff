//! Who may ask, how they are known, and how often they may.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vitral_access::{AccessConfig, AccessMode, Limit, OidcConfig, SignInConfig};
use vitral_connect::Secret;

use super::Config;

/// Secrets are read from the environment as they stand there: one may be all digits.
const SECRETS: [&str; 2] = ["internal_key", "oidc__client_secret"];
const ENV_PREFIX: &str = "access__";
/// Nobody guesses a secret of so many characters, if it is random.
const INTERNAL_KEY_CHARS_MIN: usize = 16;

/// Who may ask, and how often.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// `"off"`: everybody may do everything, and nothing listens beyond this machine. `"keys"`:
    /// those who have a key (`vitral keys create`) or a token of `access.oidc`.
    pub mode: Mode,
    /// What `vitral serve` and `vitral stream` show each other, the same for both; it belongs in
    /// the environment. Without it, it follows from a key that is kept in the store.
    pub internal_key: Option<Secret>,
    /// How often one principal may ask.
    pub rate: RequestRate,
    /// An OpenID Connect provider, whose tokens are taken besides keys.
    pub oidc: Oidc,
}

/// Whether it is asked who asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is not.
    #[default]
    Off,
    /// Keys and tokens are.
    Keys,
}

/// How often one principal may ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestRate {
    /// How many requests one principal may send at once, and in `per_seconds` on average; 0 for any
    /// number.
    pub requests: u32,
    /// In how many seconds as many are free again.
    pub per_seconds: u64,
}

/// An OpenID Connect provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oidc {
    /// Its URL, exactly as its tokens have it in `iss`: `https://login.example.com/realms/empresa`.
    /// Without it, only keys are taken.
    pub issuer: Option<String>,
    /// What its tokens for this server have in `aud`, such as `vitral`.
    pub audience: Option<String>,
    /// What its tokens may be signed with: `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`,
    /// `ES256`, `ES384` or `EdDSA`.
    pub algorithms: Vec<String>,
    /// The claim that holds the scopes, as one text with spaces or as a list. Scopes that are not
    /// of the forms `NAME:read`, `*:read`, `NAME:write` and `admin` are left out.
    pub scopes_claim: String,
    /// The claim that holds the row filters: an object of columns, each with a value or a list of
    /// values. Once it is named, tokens without it are refused; `{}` stands for every row.
    pub filters_claim: Option<String>,
    /// A file of certificates (PEM) to trust in place of the system's, for the provider alone.
    pub ca: Option<PathBuf>,
    /// The name of this server at the provider, with which people sign in by browser; needs
    /// `redirect_url`.
    pub client_id: Option<String>,
    /// Its secret there; it belongs in the environment. Without it, the client is a public one.
    pub client_secret: Option<Secret>,
    /// Where the provider sends people back to, as it is registered there:
    /// `https://vitral.example.com/entrar/volta`.
    pub redirect_url: Option<String>,
    /// The scopes that are asked for when somebody signs in, separated by spaces.
    pub sign_in_scope: String,
}

impl Default for RequestRate {
    fn default() -> Self {
        Self { requests: 1000, per_seconds: 10 }
    }
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            algorithms: vec!["RS256".to_owned()],
            scopes_claim: "scope".to_owned(),
            filters_claim: None,
            ca: None,
            client_id: None,
            client_secret: None,
            redirect_url: None,
            sign_in_scope: "openid".to_owned(),
        }
    }
}

impl Config {
    /// As access control takes it.
    pub fn access(&self) -> AccessConfig {
        let Access { mode, internal_key, rate, oidc } = &self.access;
        let limit = Limit { requests: rate.requests, per: Duration::from_secs(rate.per_seconds) };
        AccessConfig {
            mode: match mode {
                Mode::Off => AccessMode::Off,
                Mode::Keys => AccessMode::Keys,
            },
            limit: (rate.requests > 0).then_some(limit),
            oidc: oidc.provider(),
            internal_key: internal_key.as_ref().map(|secret| secret.expose().into()),
        }
    }

    /// Takes secrets as they stand in the environment.
    pub(super) fn take_access_secrets(&mut self, variables: &[(String, String)]) {
        for (variable, value) in variables {
            let Some(key) = variable.strip_prefix(super::ENV_PREFIX).map(str::to_lowercase) else { continue };
            if !is_secret(&key) {
                continue;
            }
            let secret = Some(Secret::new(value.clone()));
            match key.strip_prefix(ENV_PREFIX) {
                Some("internal_key") => self.access.internal_key = secret,
                _ => self.access.oidc.client_secret = secret,
            }
            self.places.add_variable(key.replace("__", "."), variable);
        }
    }
}

impl Oidc {
    fn provider(&self) -> Option<OidcConfig> {
        let sign_in = self.client_id.as_ref().map(|client_id| SignInConfig {
            client_id: client_id.clone(),
            client_secret: self.client_secret.as_ref().map(|secret| secret.expose().into()),
            redirect_url: self.redirect_url.clone().unwrap_or_default(),
            scope: self.sign_in_scope.clone(),
        });
        Some(OidcConfig {
            issuer: self.issuer.clone()?,
            audience: self.audience.clone().unwrap_or_default(),
            algorithms: self.algorithms.clone(),
            scopes_claim: self.scopes_claim.clone(),
            filters_claim: self.filters_claim.clone(),
            ca: self.ca.clone(),
            sign_in,
        })
    }
}

/// Whether this key of the environment, in lower case and without the common prefix, is not
/// figment's.
pub(super) fn is_secret(key: &str) -> bool {
    key.strip_prefix(ENV_PREFIX).is_some_and(|key| SECRETS.contains(&key))
}

/// What makes no sense, each beginning with its key.
pub(super) fn problems(access: &Access) -> Vec<String> {
    let Access { mode, internal_key, rate, oidc } = access;
    let mut problems = oidc.provider().map_or_else(Vec::new, |provider| provider.problems());
    let mut is_wrong = |key: &str, what: &str| problems.push(format!("access.{key} {what}"));
    if rate.requests > 0 && rate.per_seconds == 0 {
        is_wrong("rate.per_seconds", "is 0, and must be at least 1; for no limit, set access.rate.requests = 0");
    }
    let is_short = |secret: &Secret| secret.expose().chars().count() < INTERNAL_KEY_CHARS_MIN;
    if internal_key.as_ref().is_some_and(is_short) {
        let remedy = "write at least 16 random characters, or leave it out: then it follows from the store";
        is_wrong("internal_key", &format!("is too short: {remedy}"));
    }
    let dependent = [
        ("audience", oidc.audience.is_some()),
        ("filters_claim", oidc.filters_claim.is_some()),
        ("client_id", oidc.client_id.is_some()),
        ("client_secret", oidc.client_secret.is_some()),
        ("redirect_url", oidc.redirect_url.is_some()),
    ];
    if oidc.issuer.is_none() {
        for (key, _) in dependent.into_iter().filter(|(_, is_set)| *is_set) {
            is_wrong(&format!("oidc.{key}"), "is set without access.oidc.issuer: name the provider too");
        }
    } else if *mode == Mode::Off {
        is_wrong("oidc.issuer", "is set, and access.mode is \"off\", which asks nobody: set access.mode = \"keys\"");
    }
    if oidc.client_id.is_none() && (oidc.client_secret.is_some() || oidc.redirect_url.is_some()) {
        is_wrong("oidc.client_id", "is missing: people sign in by browser only with it");
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConfigError;
    use crate::tests::load;

    #[test]
    fn nobody_is_asked_unless_it_is_said() {
        let access = load("").expect("the defaults").access();
        assert_eq!(access.mode, AccessMode::Off);
        assert_eq!(access.limit, Some(Limit { requests: 1000, per: Duration::from_secs(10) }));
        assert!(access.oidc.is_none() && access.internal_key.is_none());
        let access = load("[access]\nmode = 'keys'\nrate = { requests = 0 }").expect("valid").access();
        assert_eq!((access.mode, access.limit), (AccessMode::Keys, None));
    }

    #[test]
    fn a_provider_is_read_and_its_secret_is_never_shown() {
        let config = load(
            "[access]\nmode = 'keys'\ninternal_key = 'segredo-0123456789'\n[access.oidc]\nissuer = 'https://login.example.com'\n\
             audience = 'vitral'\nclient_id = 'vitral'\nclient_secret = 'hush'\n\
             redirect_url = 'https://vitral.example.com/entrar/volta'",
        )
        .expect("valid");
        let oidc = config.access().oidc.expect("a provider");
        assert_eq!((oidc.audience.as_str(), oidc.algorithms), ("vitral", vec!["RS256".to_owned()]));
        assert_eq!(oidc.sign_in.expect("a client").scope, "openid");
        let shown = toml::to_string_pretty(&config.effective().expect("sound")).expect("shown");
        assert!(!shown.contains("hush") && !shown.contains("segredo") && shown.contains("(hidden)"), "{shown}");
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_key() {
        for (text, key) in [
            ("mode = 'on'", "access.mode"),
            ("rate = { per_seconds = 0 }", "access.rate.per_seconds"),
            ("internal_key = 'curto'", "access.internal_key"),
            ("internal_key = 4711", "access.internal_key"),
            ("oidc = { audience = 'vitral' }", "access.oidc.audience"),
            ("oidc = { issuer = 'https://a.example', audience = 'vitral' }", "access.oidc.issuer"),
            ("mode = 'keys'\noidc = { issuer = 'https://a.example' }", "access.oidc.audience"),
            ("mode = 'keys'\noidc = { issuer = 'a.example', audience = 'vitral' }", "access.oidc.issuer"),
            (
                "mode = 'keys'\noidc = { issuer = 'https://a.example', audience = 'v', algorithms = ['HS256'] }",
                "access.oidc.algorithms",
            ),
            (
                "mode = 'keys'\noidc = { issuer = 'https://a.example', audience = 'v', client_id = 'v' }",
                "access.oidc.redirect_url",
            ),
            (
                "mode = 'keys'\noidc = { issuer = 'https://a.example', audience = 'v', client_secret = 'hush' }",
                "access.oidc.client_id",
            ),
        ] {
            let error = format!("{:#}", anyhow::Error::from(load(&format!("[access]\n{text}")).expect_err(text)));
            assert!(error.contains(key), "{text}: {error}");
            assert!(!error.contains("4711") && !error.contains("curto") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn secrets_stand_in_the_environment_as_they_are() {
        let variables =
            [("VITRAL__ACCESS__INTERNAL_KEY", "0123456789012345"), ("VITRAL__ACCESS__OIDC__CLIENT_SECRET", "007")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut config = Config::default();
        config.take_access_secrets(&variables);
        let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        assert_eq!(secret(&config.access.internal_key).as_deref(), Some("0123456789012345"));
        assert_eq!(secret(&config.access.oidc.client_secret).as_deref(), Some("007"));
        assert!(is_secret("access__internal_key") && !is_secret("access__mode"));
        config.take_access_secrets(&[("VITRAL__ACCESS__INTERNAL_KEY".to_owned(), "curto".to_owned())]);
        let error: ConfigError = config.complete(&[]).map_err(|error| config.places.error(error)).expect_err("short");
        assert!(error.to_string().contains("VITRAL__ACCESS__INTERNAL_KEY in the environment"), "{error}");
    }
}
