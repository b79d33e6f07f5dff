//! A key as it is kept: what it is for, and how its secret is known again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use vitral_query::{Principal, RowFilters, Scopes};

use crate::config::AccessError;
use crate::denied::Denied;
use crate::grants;
use crate::scram::ScramVerifier;
use crate::secrets::{are_equal, sha256};

const NAME_CHARS_MAX: usize = 64;

/// A key that is to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What it may do; nothing without any.
    pub scopes: Scopes,
    /// Which rows it sees; all without any.
    pub filters: RowFilters,
    /// Until when, in milliseconds since the epoch; without, until it is revoked.
    pub expires_ms: Option<i64>,
}

/// A key that there is, without its secret, which nobody has but its owner.
#[derive(Debug, Clone)]
pub struct Key {
    /// What it is asked for and revoked by; the SQL user.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: i64,
    /// Until when it holds, if not forever.
    pub expires_ms: Option<i64>,
    /// Whether somebody has revoked it.
    pub is_revoked: bool,
    pub(crate) principal: Principal,
    pub(crate) scram: ScramVerifier,
    pub(crate) secret_hash: [u8; 32],
}

/// The file of a key. It never changes. A field that this version does not know could restrict the
/// key, so a file with one is not read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyFile {
    name: String,
    scopes: Vec<String>,
    filters: BTreeMap<String, BTreeSet<String>>,
    created_ms: i64,
    expires_ms: Option<i64>,
    /// SHA-256, as hexadecimal digits. The secret is random, so a slow hash would add nothing.
    secret_sha256: String,
    scram: ScramVerifier,
}

impl KeyFile {
    pub(crate) fn of(key: &NewKey, created_ms: i64, secret: &str) -> Result<Self, AccessError> {
        let length = key.name.chars().count();
        if !(1..=NAME_CHARS_MAX).contains(&length) || key.name.chars().any(char::is_control) {
            return Err(AccessError::Name(key.name.clone()));
        }
        grants::scopes(key.scopes.iter())?;
        Ok(Self {
            name: key.name.clone(),
            scopes: key.scopes.iter().map(str::to_owned).collect(),
            filters: key.filters.iter().map(|(column, values)| (column.to_owned(), values.clone())).collect(),
            created_ms,
            expires_ms: key.expires_ms,
            secret_sha256: hexadecimal(&sha256(secret.as_bytes())),
            scram: ScramVerifier::of(secret)?,
        })
    }

    /// The key of this id; what is wrong with its file otherwise.
    pub(crate) fn key(self, id: &str) -> Result<Key, String> {
        let scopes = grants::scopes(self.scopes.iter().map(String::as_str)).map_err(|error| error.to_string())?;
        let secret_hash = from_hexadecimal(&self.secret_sha256).ok_or("its hash is not one of SHA-256")?;
        // The name alone could be another's.
        let principal = Principal::new(&format!("{} ({id})", self.name), scopes, self.filters.into_iter().collect());
        Ok(Key {
            id: id.to_owned(),
            name: self.name,
            created_ms: self.created_ms,
            expires_ms: self.expires_ms,
            is_revoked: false,
            principal,
            scram: self.scram,
            secret_hash,
        })
    }
}

impl Key {
    /// What it may do.
    pub fn scopes(&self) -> &Scopes {
        self.principal.scopes()
    }

    /// Which rows it sees.
    pub fn filters(&self) -> &RowFilters {
        self.principal.filters()
    }

    /// Whether it is over.
    pub fn has_expired(&self, now_ms: i64) -> bool {
        self.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
    }

    /// The same key, once somebody has revoked it.
    pub(crate) fn revoked(&self) -> Self {
        Self { is_revoked: true, ..self.clone() }
    }

    /// Its principal, while it holds.
    pub(crate) fn principal_at(&self, now_ms: i64) -> Result<Principal, Denied> {
        match () {
            () if self.is_revoked => Err(Denied::Revoked),
            () if self.has_expired(now_ms) => Err(Denied::Expired),
            () => Ok(self.principal.clone()),
        }
    }

    /// Whether this is the secret of the key; without a key the same is done, and it is not.
    pub(crate) fn has_secret(key: Option<&Self>, secret: &str) -> bool {
        let expected = key.map_or([0; 32], |key| key.secret_hash);
        are_equal(&sha256(secret.as_bytes()), &expected) && key.is_some()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hexadecimal(text: &str) -> Option<[u8; 32]> {
    let pairs: Vec<&[u8]> = text.as_bytes().chunks(2).collect();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> NewKey {
        NewKey {
            name: "painel".to_owned(),
            scopes: grants::scopes(["vendas:read"]).expect("a scope"),
            filters: grants::row_filters(["loja=A"]).expect("a filter"),
            expires_ms: Some(2_000),
        }
    }

    #[test]
    fn a_file_holds_no_secret_and_gives_the_key_back() {
        let file = serde_json::to_string(&KeyFile::of(&new(), 1_000, "geheim").expect("a key")).expect("JSON");
        assert!(!file.contains("geheim"), "{file}");
        let read: KeyFile = serde_json::from_str(&file).expect("read");
        let key = read.key("vk_a").expect("a key");
        assert!(Key::has_secret(Some(&key), "geheim"));
        assert!(!Key::has_secret(Some(&key), "geheim ") && !Key::has_secret(None, "geheim"));
        assert_eq!(key.principal_at(1_999).expect("it holds").id(), "painel (vk_a)");
        assert!(matches!(key.principal_at(2_000), Err(Denied::Expired)));
        assert!(matches!(key.revoked().principal_at(1_999), Err(Denied::Revoked)));
    }

    #[test]
    fn a_file_that_says_more_than_is_known_is_not_read() {
        let file = serde_json::to_value(KeyFile::of(&new(), 1_000, "geheim").expect("a key")).expect("JSON");
        let mut newer = file.clone();
        newer["networks"] = serde_json::json!(["10.0.0.0/8"]);
        assert!(serde_json::from_value::<KeyFile>(newer).is_err());
        for (field, value) in [("secret_sha256", "00"), ("secret_sha256", "zz"), ("secret_sha256", "é")] {
            let mut wrong = file.clone();
            wrong[field] = value.into();
            assert!(serde_json::from_value::<KeyFile>(wrong).expect("its form").key("vk_a").is_err(), "{value}");
        }
    }

    #[test]
    fn names_are_lines_of_text() {
        for name in ["", "a\nb", &"a".repeat(65)] {
            let error = KeyFile::of(&NewKey { name: name.to_owned(), ..new() }, 0, "x").expect_err(name);
            assert!(matches!(error, AccessError::Name(_)), "{error}");
        }
    }
}
