//! What a server keeps of a password for SCRAM-SHA-256 (RFC 5802, RFC 7677): enough to check that a
//! client knows it, too little to log in with.

use std::num::NonZeroU32;

use aws_lc_rs::{hmac, pbkdf2};
use serde::{Deserialize, Serialize};

use crate::config::AccessError;
use crate::secrets::{random, sha256};

/// As many as RFC 7677 asks for at least, and PostgreSQL uses. More would only slow clients down: a
/// key's secret is 32 random bytes, which nobody guesses.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);

/// What a client's proof is checked with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScramVerifier {
    /// Shown to the client.
    #[serde(with = "base64_text")]
    pub salt: Vec<u8>,
    /// Shown to the client.
    pub iterations: u32,
    /// The hash of the client's key.
    #[serde(with = "base64_text")]
    pub stored_key: [u8; 32],
    /// What the server proves itself with.
    #[serde(with = "base64_text")]
    pub server_key: [u8; 32],
}

impl ScramVerifier {
    /// Of a new secret.
    pub(crate) fn of(secret: &str) -> Result<Self, AccessError> {
        Ok(Self::with_salt(secret, random::<16>()?.to_vec(), ITERATIONS))
    }

    fn with_salt(secret: &str, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, secret.as_bytes(), &mut salted);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
        let client_key = hmac::sign(&key, b"Client Key");
        let mut server_key = [0; 32];
        server_key.copy_from_slice(hmac::sign(&key, b"Server Key").as_ref());
        Self { salt, iterations: iterations.get(), stored_key: sha256(client_key.as_ref()), server_key }
    }

    /// For somebody who does not exist: the same at each attempt, as a real one would be, and no
    /// password fits it.
    pub(crate) fn of_nobody(derived: impl Fn(&str) -> [u8; 32]) -> Self {
        Self {
            salt: derived("salt")[..16].to_vec(),
            iterations: ITERATIONS.get(),
            stored_key: derived("stored key"),
            server_key: derived("server key"),
        }
    }
}

impl std::fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

mod base64_text {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(deserializer: D) -> Result<T, D::Error> {
        let bytes = BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        T::try_from(bytes).map_err(|_| D::Error::custom("it has another length"))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    fn hmac_of(key: &[u8], text: &str) -> [u8; 32] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        tag.as_ref().try_into().expect("32 bytes")
    }

    /// RFC 7677, section 3: user `user`, password `pencil`.
    #[test]
    fn the_example_of_the_rfc_is_checked_with_it() {
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("a salt");
        let verifier = ScramVerifier::with_salt("pencil", salt, ITERATIONS);
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let message =
            format!("n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}");
        let proof = BASE64_STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").expect("a proof");
        let signature = hmac_of(&verifier.stored_key, &message);
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(proof, signature)| proof ^ signature).collect();
        assert_eq!(sha256(&client_key), verifier.stored_key);
        let server_signature = BASE64_STANDARD.encode(hmac_of(&verifier.server_key, &message));
        assert_eq!(server_signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn it_is_kept_as_text_and_never_shown() {
        let verifier = ScramVerifier::of("secret").expect("a verifier");
        assert_ne!(verifier, ScramVerifier::of("secret").expect("another salt"));
        let text = serde_json::to_string(&verifier).expect("JSON");
        assert_eq!(serde_json::from_str::<ScramVerifier>(&text).expect("read"), verifier);
        assert!(
            serde_json::from_str::<ScramVerifier>(&text.replace("\"stored_key\":\"", "\"stored_key\":\"AAAA")).is_err()
        );
        assert_eq!(format!("{verifier:?}"), "ScramVerifier { iterations: 4096, .. }");
    }
}
