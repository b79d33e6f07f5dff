//! Signed bodies: a receiver that knows the key can tell that a body is ours, whole, and of now.

use aws_lc_rs::hmac;
use vitral_connect::Secret;

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 by the key over `SECONDS.BODY`. A receiver refuses times that
/// are minutes away from its own.
pub(crate) fn signature(key: &Secret, seconds: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
    let tag = hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_implementation_of_hmac_comes_to_the_same() {
        // printf '1700000000.{"id":"a"}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let signed = signature(&Secret::new("0123456789abcdef".to_owned()), 1_700_000_000, r#"{"id":"a"}"#);
        assert_eq!(signed, "t=1700000000,v1=7eefd6dab3572ab7b831fd0f3b0189166fd2d48edffb19b3bed33209454c06ad");
    }
}
