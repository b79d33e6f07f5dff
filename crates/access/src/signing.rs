//! Values that others carry for us and cannot change: signed with a key that all processes of a
//! store share.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vitral_store::{Location, StoreError};

use crate::config::AccessError;
use crate::secrets::{are_equal, random};

const FILE: &str = "signing_key";
/// No cookie is longer.
const SEALED_BYTES_MAX: usize = 8 << 10;

/// The key. Each purpose signs with another that is derived from it, so that what is signed for one
/// is worth nothing for another.
#[derive(Clone)]
pub(crate) struct SigningKey([u8; 32]);

impl SigningKey {
    /// One that only this process has.
    pub(crate) fn random() -> Result<Self, AccessError> {
        Ok(Self(random()?))
    }

    /// Where there is no chance and nothing to sign.
    pub(crate) fn of_nobody() -> Self {
        Self([0; 32])
    }

    /// That of the store; the first process makes it.
    pub(crate) async fn of(place: &Location) -> Result<Self, AccessError> {
        if let Some(text) = place.read_text(FILE).await? {
            return Self::read(place, &text);
        }
        let made = Self::random()?;
        if place.create_private(FILE, &BASE64_URL_SAFE_NO_PAD.encode(made.0)).await? {
            return Ok(made);
        }
        // Another process was faster.
        let text = place.read_text(FILE).await?.unwrap_or_default();
        Self::read(place, &text)
    }

    fn read(place: &Location, text: &str) -> Result<Self, AccessError> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        let damaged = || StoreError::Damaged {
            path: format!("{place}{FILE}"),
            reason: "it is not a key of 32 bytes; delete it, and everybody signs in again".to_owned(),
        };
        Ok(Self(bytes.ok_or_else(damaged)?))
    }

    /// Bytes that only those know who have the key.
    pub(crate) fn derived(&self, purpose: &str) -> [u8; 32] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), purpose.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// The value with its signature, as a cookie can hold it.
    pub(crate) fn seal(&self, purpose: &str, value: &impl Serialize) -> Result<String, AccessError> {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(value)?);
        let tag = BASE64_URL_SAFE_NO_PAD.encode(self.sign(purpose, &payload));
        Ok(format!("{payload}.{tag}"))
    }

    /// The value, if it was signed here for this purpose.
    pub(crate) fn open<T: DeserializeOwned>(&self, purpose: &str, sealed: &str) -> Option<T> {
        let (payload, tag) = sealed.split_once('.').filter(|_| sealed.len() <= SEALED_BYTES_MAX)?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
        if !are_equal(&tag, &self.sign(purpose, payload)) {
            return None;
        }
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }

    fn sign(&self, purpose: &str, payload: &str) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.derived(purpose));
        hmac::sign(&key, payload.as_bytes()).as_ref().to_vec()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_processes_of_a_store_share_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Location::folder(dir.path()).expect("a store").join("access");
        let made = futures::future::join_all((0..8).map(|_| SigningKey::of(&place))).await;
        let keys: std::collections::BTreeSet<[u8; 32]> = made.into_iter().map(|key| key.expect("a key").0).collect();
        assert_eq!(keys.len(), 1);
        assert!(keys.contains(&SigningKey::of(&place).await.expect("after a restart").0));
        std::fs::write(dir.path().join("access/signing_key"), "short").expect("written");
        let error = SigningKey::of(&place).await.expect_err("damaged");
        let error = std::error::Error::source(&error).expect("what the store says").to_string();
        assert!(error.contains("access/signing_key") && error.contains("delete it"), "{error}");
    }

    #[test]
    fn what_was_changed_or_meant_for_something_else_is_not_opened() {
        let key = SigningKey::random().expect("a key");
        let sealed = key.seal("session", &"value").expect("sealed");
        assert_eq!(key.open::<String>("session", &sealed).as_deref(), Some("value"));
        assert_eq!(key.open::<String>("sign-in", &sealed), None);
        assert_eq!(SigningKey::random().expect("another").open::<String>("session", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("text");
            assert_eq!(key.open::<String>("session", &changed), None, "{at}");
        }
        for wrong in ["", ".", "a.b", &sealed[..sealed.len() - 1], &format!("{sealed}A"), &"a".repeat(9000)] {
            assert_eq!(key.open::<String>("session", wrong), None, "{wrong}");
        }
    }
}
