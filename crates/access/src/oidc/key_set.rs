//! The keys with which the provider signs.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

/// Those of them that a token's signature can be checked with.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<SignatureKey>);

#[derive(Debug)]
struct SignatureKey {
    id: Option<String>,
    /// Without, what fits the kind of key.
    algorithm: Option<KeyAlgorithm>,
    /// By its own kind, whatever a token says.
    fits: fn(Algorithm) -> bool,
    key: DecodingKey,
}

impl KeySet {
    /// Shared secrets and keys of unknown kinds are left out.
    pub(super) fn of(set: &JwkSet) -> Self {
        Self(set.keys.iter().filter_map(SignatureKey::of).collect())
    }

    /// Whether there is a key of this id.
    pub(super) fn has(&self, id: Option<&str>) -> bool {
        id.is_none_or(|id| self.0.iter().any(|key| key.id.as_deref() == Some(id)))
    }

    /// The key that a token names; without a name, the only one that fits.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let fits = |key: &&SignatureKey| {
            (key.fits)(algorithm) && key.algorithm.is_none_or(|of_key| of_key == KeyAlgorithm::from(algorithm))
        };
        let is_named = |key: &&SignatureKey| id.is_none() || key.id.as_deref() == id;
        let mut found = self.0.iter().filter(is_named).filter(fits);
        let key = found.next()?;
        (id.is_some() || found.next().is_none()).then_some(&key.key)
    }
}

impl SignatureKey {
    fn of(jwk: &Jwk) -> Option<Self> {
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let fits: fn(Algorithm) -> bool = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => |algorithm| algorithm.family() == AlgorithmFamily::Rsa,
            AlgorithmParameters::EllipticCurve(of) if of.curve == EllipticCurve::P256 => {
                |algorithm| algorithm == Algorithm::ES256
            }
            AlgorithmParameters::EllipticCurve(of) if of.curve == EllipticCurve::P384 => {
                |algorithm| algorithm == Algorithm::ES384
            }
            AlgorithmParameters::OctetKeyPair(of) if of.curve == EllipticCurve::Ed25519 => {
                |algorithm| algorithm == Algorithm::EdDSA
            }
            _ => return None,
        };
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { id: jwk.common.key_id.clone(), algorithm: jwk.common.key_algorithm, fits, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(keys: serde_json::Value) -> KeySet {
        KeySet::of(&serde_json::from_value(serde_json::json!({ "keys": keys })).expect("a set"))
    }

    fn rsa(id: Option<&str>, more: &serde_json::Value) -> serde_json::Value {
        let mut key = serde_json::json!({ "kty": "RSA", "n": "u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0t", "e": "AQAB" });
        if let Some(id) = id {
            key["kid"] = id.into();
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            key[name] = value.clone();
        }
        key
    }

    #[test]
    fn a_key_is_used_for_what_it_is_alone() {
        let none = serde_json::json!({});
        let keys = set(serde_json::json!([
            rsa(Some("any"), &none),
            rsa(Some("pinned"), &serde_json::json!({ "alg": "RS512" })),
            rsa(Some("cipher"), &serde_json::json!({ "use": "enc" })),
            { "kty": "oct", "kid": "shared", "k": "c2VjcmV0" },
            { "kty": "future", "kid": "unknown" },
        ]));
        assert!(keys.find(Some("any"), Algorithm::RS256).is_some());
        for algorithm in [Algorithm::HS256, Algorithm::ES256, Algorithm::EdDSA] {
            assert!(keys.find(Some("any"), algorithm).is_none(), "{algorithm:?}");
        }
        assert!(keys.find(Some("pinned"), Algorithm::RS512).is_some());
        assert!(keys.find(Some("pinned"), Algorithm::RS256).is_none());
        for id in ["cipher", "shared", "unknown", "absent"] {
            assert!(!keys.has(Some(id)) && keys.find(Some(id), Algorithm::HS256).is_none(), "{id}");
        }
    }

    #[test]
    fn a_token_without_a_key_s_name_fits_one_key_or_none() {
        let none = serde_json::json!({});
        assert!(set(serde_json::json!([rsa(None, &none)])).find(None, Algorithm::RS256).is_some());
        let two = set(serde_json::json!([rsa(Some("a"), &none), rsa(Some("b"), &none)]));
        assert!(two.find(None, Algorithm::RS256).is_none());
    }
}
