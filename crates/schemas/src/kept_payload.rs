//! What is kept of a refused payload: all of it, or of one that is larger than its topic allows the
//! beginning, its length and its hash.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Before the length, at the end of what was cut.
const CUT: &str = "\n[cut by vitral: ";
/// The most that is said about a cut: a length of 20 digits and 64 of the hash, with the words
/// between.
const NOTE_BYTES: usize = 128;

/// What is kept of a payload, and whether that is less than it was.
pub struct Kept<'a> {
    /// The payload, or its beginning and a note.
    pub bytes: Cow<'a, [u8]>,
    /// Whether it is the latter.
    pub is_cut: bool,
}

impl<'a> Kept<'a> {
    /// At most `bytes_max` bytes. What is cut ends with a note that no JSON object can end with, so
    /// that it is never taken for a message.
    pub fn of(payload: &'a [u8], bytes_max: usize) -> Self {
        if payload.len() <= bytes_max {
            return Self { bytes: payload.into(), is_cut: false };
        }
        let hash = Sha256::digest(payload);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut bytes = payload[..bytes_max.saturating_sub(NOTE_BYTES)].to_vec();
        bytes.extend_from_slice(format!("{CUT}{} bytes, SHA-256 {hash}]", payload.len()).as_bytes());
        Self { bytes: bytes.into(), is_cut: true }
    }
}

/// Whether what was kept is less than what came: it cannot be fed again.
pub fn is_cut(kept: &[u8]) -> bool {
    let end = &kept[kept.len().saturating_sub(NOTE_BYTES)..];
    end.ends_with(b"]") && end.windows(CUT.len()).any(|part| part == CUT.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_cut_to_the_bound_and_says_what_it_was() {
        let payload = vec![b' '; 5_000];
        let kept = Kept::of(&payload, 1_000);
        assert!(kept.is_cut && is_cut(&kept.bytes) && kept.bytes.len() <= 1_000);
        let text = String::from_utf8_lossy(&kept.bytes);
        let hash = "SHA-256 ";
        assert!(text.contains("[cut by vitral: 5000 bytes, ") && text.contains(hash), "{text}");
        assert_eq!(text.split(hash).nth(1).map(str::len), Some(65));
        let whole = Kept::of(&payload, 5_000);
        assert!(!whole.is_cut && !is_cut(&whole.bytes) && *whole.bytes == payload);
        assert!(!is_cut(b"") && !is_cut(b"]") && !is_cut(br#"{"a": [1]}"#));
    }
}
