//! Why a socket cannot be opened, with what to do.

use std::io;
use std::net::SocketAddr;

/// What is wrong with the address and what to do. `choose` says where another address is chosen,
/// such as `--api`.
pub fn cannot(address: SocketAddr, error: &io::Error, choose: &str) -> String {
    let stop = if error.kind() == io::ErrorKind::AddrInUse { "stop what uses it, or " } else { "" };
    format!("{}: {stop}choose another with {choose} (port 0 picks one)", why(address, error))
}

/// What is wrong with it alone.
pub fn why(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("{address} is already in use"),
        io::ErrorKind::PermissionDenied => {
            format!("{address} may not be used by this user, as is usual for ports below 1024")
        }
        io::ErrorKind::AddrNotAvailable => format!("{address} is not an address of this machine"),
        _ => format!("{address} cannot be used"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_named() {
        let address = "127.0.0.1:80".parse().expect("an address");
        let said = |kind: io::ErrorKind| cannot(address, &kind.into(), "--api");
        assert!(
            said(io::ErrorKind::AddrInUse).starts_with("127.0.0.1:80 is already in use: stop what uses it, or choose")
        );
        assert!(said(io::ErrorKind::PermissionDenied).contains("ports below 1024"));
        assert!(said(io::ErrorKind::AddrNotAvailable).ends_with("choose another with --api (port 0 picks one)"));
    }
}
