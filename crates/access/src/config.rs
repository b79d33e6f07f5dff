//! How access is configured, and why it cannot be opened.

use std::path::PathBuf;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use secrecy::SecretString;
use url::{Host, Url};
use vitral_store::StoreError;

use crate::grants::WrongGrant;
use crate::rates::Limit;

/// Whether it is asked who asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccessMode {
    /// Everybody may do everything: on this machine only.
    #[default]
    Off,
    /// Those who have a key, or a token of the OIDC provider.
    Keys,
}

/// Everything about access.
#[derive(Debug, Clone, Default)]
pub struct AccessConfig {
    /// Whether it is asked who asks.
    pub mode: AccessMode,
    /// How often a principal may ask; none for as often as they like.
    pub limit: Option<Limit>,
    /// Whose tokens are taken besides keys.
    pub oidc: Option<OidcConfig>,
    /// What processes of one installation show each other; without it, it follows from the store.
    pub internal_key: Option<SecretString>,
}

/// An OIDC provider.
#[derive(Debug, Clone)]
pub struct OidcConfig {
    /// Its URL, as its tokens have it.
    pub issuer: String,
    /// For whom its tokens have to be.
    pub audience: String,
    /// What they may be signed with.
    pub algorithms: Vec<String>,
    /// The claim with the scopes.
    pub scopes_claim: String,
    /// The claim with the row filters. Once it is named, every token needs it.
    pub filters_claim: Option<String>,
    /// A file of certificates to trust in place of the system's.
    pub ca: Option<PathBuf>,
    /// How people sign in with a browser.
    pub sign_in: Option<SignInConfig>,
}

/// What this server is to the provider.
#[derive(Debug, Clone)]
pub struct SignInConfig {
    /// Its name there.
    pub client_id: String,
    /// Its secret there; public clients have none.
    pub client_secret: Option<SecretString>,
    /// Where the provider sends people back to.
    pub redirect_url: String,
    /// The scopes that are asked for.
    pub scope: String,
}

/// Why access control does not work; nothing is let in then.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum AccessError {
    #[error("{0}")]
    Config(String),
    #[error("keys are kept in the store, which fails")]
    Store(#[from] StoreError),
    #[error("the system gives no random numbers")]
    Random,
    #[error("a value of access control cannot be written")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Grant(#[from] WrongGrant),
    #[error("there is no key {0}: `vitral keys list` shows all")]
    NoKey(String),
    #[error("a key's name has 1 to 64 characters, without control characters: {0:?}")]
    Name(String),
}

impl OidcConfig {
    /// What can be seen to be wrong without asking anybody, each beginning with its key.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |key: &str, outcome: Result<(), String>| {
            problems.extend(outcome.err().map(|reason| format!("access.oidc.{key} {reason}")));
        };
        check("issuer", private_url(&self.issuer).map(|_| ()));
        check("audience", present(&self.audience, "the audience that its tokens have, such as vitral"));
        check("scopes_claim", present(&self.scopes_claim, "the claim that holds the scopes, such as scope"));
        check("algorithms", self.pinned().map(|_| ()));
        if let Some(sign_in) = &self.sign_in {
            check("client_id", present(&sign_in.client_id, "the name of this server at the provider"));
            check("redirect_url", private_url(&sign_in.redirect_url).map(|_| ()));
            let asks = sign_in.scope.split_whitespace().any(|scope| scope == "openid");
            let reason = || format!("is {:?}: it has to contain openid", sign_in.scope);
            check("sign_in_scope", if asks { Ok(()) } else { Err(reason()) });
        }
        problems
    }

    /// The algorithms; a shared secret is not among them, as a public key could be taken for one.
    pub(crate) fn pinned(&self) -> Result<Vec<Algorithm>, String> {
        const KNOWN: &str = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA";
        let read = |name: &String| {
            let algorithm = name.parse::<Algorithm>().ok().filter(|known| known.family() != AlgorithmFamily::Hmac);
            algorithm.ok_or_else(|| format!("has {name:?}: write some of {KNOWN}"))
        };
        match self.algorithms.is_empty() {
            true => Err(format!("is empty: write some of {KNOWN}")),
            false => self.algorithms.iter().map(read).collect(),
        }
    }
}

fn present(value: &str, what: &str) -> Result<(), String> {
    if value.trim().is_empty() { Err(format!("is empty: write {what}")) } else { Ok(()) }
}

/// Over TLS, or to this machine.
pub(crate) fn private_url(text: &str) -> Result<Url, String> {
    let wrong = |what: &str| Err(format!("is {text:?}, {what}"));
    let Ok(url) = Url::parse(text) else { return wrong("which is not a URL: write https://host") };
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" | "http" if !url.username().is_empty() || url.password().is_some() => wrong("which holds a user"),
        "https" => Ok(url),
        "http" if is_local => Ok(url),
        _ => wrong("and has to begin with https://, except on this machine"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> OidcConfig {
        OidcConfig {
            issuer: "https://login.example.com/realms/loja".to_owned(),
            audience: "vitral".to_owned(),
            algorithms: vec!["RS256".to_owned()],
            scopes_claim: "scope".to_owned(),
            filters_claim: None,
            ca: None,
            sign_in: None,
        }
    }

    #[test]
    fn what_cannot_be_right_is_named_by_its_key() {
        assert_eq!(config().problems(), [""; 0]);
        let wrong = OidcConfig {
            issuer: "http://login.example.com".to_owned(),
            audience: " ".to_owned(),
            algorithms: vec!["RS256".to_owned(), "HS256".to_owned()],
            sign_in: Some(SignInConfig {
                client_id: String::new(),
                client_secret: None,
                redirect_url: "http://vitral.example.com/entrar/volta".to_owned(),
                scope: "profile".to_owned(),
            }),
            ..config()
        };
        let problems = wrong.problems();
        for key in ["issuer", "audience", "algorithms", "client_id", "redirect_url", "sign_in_scope"] {
            assert!(problems.iter().any(|problem| problem.starts_with(&format!("access.oidc.{key} "))), "{problems:?}");
        }
        assert_eq!(problems.len(), 6, "{problems:?}");
    }

    #[test]
    fn only_signatures_that_nobody_else_can_make_are_taken() {
        for name in ["none", "HS256", "HS512", "rs256", ""] {
            let config = OidcConfig { algorithms: vec![name.to_owned()], ..config() };
            assert!(config.pinned().expect_err(name).contains("RS256"), "{name}");
        }
        assert!(OidcConfig { algorithms: Vec::new(), ..config() }.pinned().is_err());
        let all = ["RS256", "PS512", "ES384", "EdDSA"].map(str::to_owned).to_vec();
        assert_eq!(OidcConfig { algorithms: all, ..config() }.pinned().expect("all").len(), 4);
    }

    #[test]
    fn the_way_there_is_private() {
        for url in ["https://a.example", "http://localhost:8080/x", "http://127.0.0.1:1", "http://[::1]:1"] {
            private_url(url).expect(url);
        }
        for url in
            ["http://a.example", "ftp://localhost", "a.example", "https://u:p@a.example", "http://127.0.0.1.evil"]
        {
            private_url(url).expect_err(url);
        }
    }
}
