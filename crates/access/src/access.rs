//! The one way in: credentials become a principal, or are denied.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use vitral_query::Principal;
use vitral_schemas::time::{Clock, SystemClock};
use vitral_store::{Layout, Location};

use crate::config::{AccessConfig, AccessError, AccessMode};
use crate::denied::Denied;
use crate::failures::Failures;
use crate::keys::Keys;
use crate::oidc::{Provider, SignIn};
use crate::rates::{Rates, SharedRates};
use crate::scram::ScramVerifier;
use crate::secrets::{are_equal, sha256};
use crate::sessions::{Session, Sessions};
use crate::signing::SigningKey;

/// Longer ones are not read.
const CREDENTIALS_BYTES_MAX: usize = 16 << 10;

/// Who may ask. Copies are cheap, and all of them the same.
#[derive(Clone, Debug)]
pub struct Access(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    /// None where everybody may do everything.
    keys: Option<Arc<Keys>>,
    provider: Option<Arc<Provider>>,
    sign_in: Option<SignIn>,
    sessions: Sessions,
    rates: Rates,
    failures: Failures,
    /// What processes of one installation show each other.
    internal: Option<SecretString>,
}

/// What somebody shows to be let in.
#[derive(Clone, Copy)]
pub enum Credentials<'a> {
    /// Nothing.
    None,
    /// `ID.SECRET` of a key, or a token of the OIDC provider.
    Bearer(&'a str),
    /// A key.
    Basic {
        /// Its id.
        user: &'a str,
        /// Its secret.
        secret: &'a str,
    },
    /// The value of a session's cookie.
    Cookie(&'a str),
}

impl Access {
    /// Everybody may do everything, under [`Principal::anonymous`].
    pub fn off() -> Self {
        // Nothing is signed for anybody while it is off.
        let key = SigningKey::random().unwrap_or_else(|_| SigningKey::of_nobody());
        Self::with(key, Arc::new(SystemClock), AccessConfig::default())
    }

    fn with(key: SigningKey, clock: Arc<dyn Clock>, config: AccessConfig) -> Self {
        Self(Arc::new(Parts {
            keys: None,
            provider: None,
            sign_in: None,
            sessions: Sessions::new(key, Arc::clone(&clock)),
            rates: Rates::new(config.limit, None, clock),
            failures: Failures::default(),
            internal: config.internal_key,
        }))
    }

    /// As it is configured, with the keys of this store. From then on it looks for new and revoked
    /// keys in the background, on the runtime that this is called on.
    ///
    /// # Errors
    /// The store cannot be read, or the configuration makes no sense: nobody would be let in.
    pub async fn open(
        config: AccessConfig,
        store: &Location,
        clock: Arc<dyn Clock>,
        shared: Option<Arc<dyn SharedRates>>,
    ) -> Result<Self, AccessError> {
        if config.mode == AccessMode::Off {
            return Ok(Self::with(SigningKey::random()?, clock, config));
        }
        let signing = SigningKey::of(&Layout::of(store).access()).await?;
        let keys = Arc::new(Keys::of(store, Arc::clone(&clock)));
        keys.refresh().await?;
        Keys::follow(&keys);
        let (mut provider, mut sign_in) = (None, None);
        if let Some(oidc) = &config.oidc {
            let opened = Arc::new(Provider::new(oidc, Arc::clone(&clock))?);
            if let Some(config) = &oidc.sign_in {
                sign_in = Some(SignIn::new(config, Arc::clone(&opened), signing.clone(), Arc::clone(&clock)));
            }
            provider = Some(opened);
        } else if keys.is_empty() {
            tracing::warn!("there are no keys yet, so nobody is let in: `vitral keys create` makes one");
        }
        // Both ends read the same store.
        let derived = || SecretString::from(base64_text(&signing.derived("internal")));
        Ok(Self(Arc::new(Parts {
            keys: Some(keys),
            provider,
            sign_in,
            internal: Some(config.internal_key.unwrap_or_else(derived)),
            sessions: Sessions::new(signing, Arc::clone(&clock)),
            rates: Rates::new(config.limit, shared, clock),
            failures: Failures::default(),
        })))
    }

    /// Whether it is asked who asks.
    pub fn is_on(&self) -> bool {
        self.0.keys.is_some()
    }

    /// The keys, to make and revoke some; none while it is off.
    pub fn keys(&self) -> Option<&Keys> {
        self.0.keys.as_deref()
    }

    /// Who shows these.
    ///
    /// # Errors
    /// They let nobody in.
    pub async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, Denied> {
        let Some(keys) = &self.0.keys else { return Ok(Principal::anonymous()) };
        if credentials.len() > CREDENTIALS_BYTES_MAX {
            return Err(Denied::Wrong);
        }
        match credentials {
            Credentials::None => Err(Denied::Missing),
            Credentials::Basic { user, secret } => keys.authenticate(user, secret),
            Credentials::Bearer(token) => match (key_parts(token), &self.0.provider) {
                (Some((id, secret)), _) => keys.authenticate(id, secret),
                (None, Some(provider)) => provider.principal(token).await,
                (None, None) => Err(Denied::Wrong),
            },
            Credentials::Cookie(cookie) => match self.0.sessions.read(cookie)? {
                Session::Key(id) => keys.principal(&id),
                Session::Principal(principal) => Ok(principal),
            },
        }
    }

    /// What a SQL client's proof is checked with. Unknown users get one that no password fits, the
    /// same each time, so that nobody learns which users there are.
    pub async fn scram(&self, user: &str) -> ScramVerifier {
        let known = self.0.keys.as_ref().and_then(|keys| keys.scram(user));
        known.unwrap_or_else(|| self.0.sessions.scram_of_nobody(user))
    }

    /// The principal of a key whose secret was proved by SCRAM.
    ///
    /// # Errors
    /// It does not hold any more.
    pub async fn principal_of_key(&self, id: &str) -> Result<Principal, Denied> {
        self.0.keys.as_ref().map_or_else(|| Ok(Principal::anonymous()), |keys| keys.principal(id))
    }

    /// The cookie of a session for a key that was pasted as `ID.SECRET`.
    ///
    /// # Errors
    /// The key lets nobody in.
    pub async fn session_of_key(&self, pasted: &str) -> Result<String, Denied> {
        let (id, secret) = key_parts(pasted.trim()).ok_or(Denied::Wrong)?;
        let keys = self.0.keys.as_ref().ok_or(Denied::Wrong)?;
        keys.authenticate(id, secret)?;
        let made = self.0.sessions.make(&Session::Key(id.to_owned()));
        made.map_err(|error| Denied::Unavailable(error.to_string()))
    }

    /// How often somebody may ask.
    pub fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// How often wrong credentials may come from an address, through whichever front.
    pub fn failures(&self) -> &Failures {
        &self.0.failures
    }

    /// How people sign in with a browser, where a provider is configured for it.
    pub fn sign_in(&self) -> Option<&SignIn> {
        self.0.sign_in.as_ref()
    }

    /// The sessions of browsers.
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Whether another process of this installation asks. While access control is off and no
    /// `access.internal_key` is set, none has to say so: everybody may do everything.
    pub fn internal(&self, shown: &str) -> bool {
        match &self.0.internal {
            // Hashes have one length, so that not even the secret's shows.
            Some(internal) => are_equal(&sha256(shown.as_bytes()), &sha256(internal.expose_secret().as_bytes())),
            None => false,
        }
    }

    /// What this process shows to others of the installation.
    pub fn internal_secret(&self) -> Option<&SecretString> {
        self.0.internal.as_ref()
    }
}

impl Credentials<'_> {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Bearer(text) | Self::Cookie(text) => text.len(),
            Self::Basic { user, secret } => user.len() + secret.len(),
        }
    }
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bearer(_) => "Bearer",
            Self::Basic { .. } => "Basic",
            Self::Cookie(_) => "Cookie",
        })
    }
}

/// `ID.SECRET`; tokens have two dots, and do not begin so.
fn key_parts(text: &str) -> Option<(&str, &str)> {
    text.split_once('.').filter(|(id, secret)| id.starts_with("vk_") && !secret.contains('.'))
}

fn base64_text(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
