//! Where may be listened without knowing who asks.

use std::net::SocketAddr;

/// Whether something may listen there. Beyond this machine nothing does without access control,
/// whatever encrypts it; with it but without TLS a warning is logged, as a proxy may provide TLS.
///
/// # Errors
/// What to do before it may.
pub fn may_listen(address: SocketAddr, is_on: bool, has_tls: bool) -> Result<(), String> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    if !is_on {
        return Err(format!(
            "{address} can be reached from other machines, and access control is off: set access.mode = \"keys\" and make a key with \
             `vitral keys create --name NAME --scope '*:read'`, or listen on 127.0.0.1"
        ));
    }
    if !has_tls {
        tracing::warn!(
            %address,
            "keys and answers travel unencrypted to an address that other machines reach: configure TLS, or put a proxy with TLS before it"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_this_machine_access_control_is_needed() {
        let address = |text: &str| text.parse::<SocketAddr>().expect(text);
        for local in ["127.0.0.1:80", "127.8.8.8:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            assert_eq!(may_listen(address(local), false, false), Ok(()), "{local}");
        }
        for reached in ["0.0.0.0:80", "192.168.0.7:80", "[::]:80", "[::ffff:10.0.0.1]:80"] {
            let why = may_listen(address(reached), false, true).expect_err(reached);
            assert!(why.contains("access.mode = \"keys\"") && why.contains("vitral keys create"), "{why}");
            assert_eq!(may_listen(address(reached), true, false), Ok(()), "{reached}");
        }
    }
}
