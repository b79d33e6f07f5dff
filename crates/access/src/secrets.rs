//! Chance, hashes and comparisons.

use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::config::AccessError;

/// Letters and digits that are not mistaken for one another when they are read out.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], AccessError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| AccessError::Random)?;
    Ok(bytes)
}

/// The same as text for URLs, headers and passwords.
pub(crate) fn random_text<const N: usize>() -> Result<String, AccessError> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(random::<N>()?))
}

/// The id of a new key.
pub(crate) fn key_id() -> Result<String, AccessError> {
    // 256 is a multiple of 32, so every letter is as likely.
    let letters = random::<16>()?.map(|byte| char::from(BASE32[usize::from(byte % 32)]));
    Ok(format!("vk_{}", String::from_iter(letters)))
}

/// Whether it could be one: only such a text becomes the name of a file.
pub(crate) fn is_key_id(text: &str) -> bool {
    text.strip_prefix("vk_").is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|byte| BASE32.contains(&byte)))
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// In a time that depends on their lengths alone.
pub(crate) fn are_equal(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_secrets_have_their_form() {
        let (one, other) = (key_id().expect("an id"), key_id().expect("an id"));
        assert!(is_key_id(&one) && one != other && one.len() == 19, "{one}");
        for wrong in ["", "vk_", "vk_../../../etc/pass", "vk_ABCDEFGHIJKLMNOP", "xx_abcdefghijklmnop"] {
            assert!(!is_key_id(wrong), "{wrong}");
        }
        assert_eq!(random_text::<32>().expect("a secret").len(), 43);
        assert!(are_equal(b"ab", b"ab") && !are_equal(b"ab", b"ac") && !are_equal(b"ab", b"abc"));
    }
}
