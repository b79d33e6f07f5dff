//! Which check of a broker's certificate fails: the client library says only that one does.

use std::collections::BTreeMap;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore};

use crate::problem::{Problem, ProblemKind};

const TIMEOUT: Duration = Duration::from_secs(5);

/// The same problem, made specific by a second connection to the broker; unchanged if that finds
/// nothing.
pub(crate) fn examine(options: &BTreeMap<String, String>, problem: Problem) -> Problem {
    let Some(address) = address(&problem.detail) else { return problem };
    let Some(error) = roots(options).and_then(|roots| fault(&address, roots)) else { return problem };
    let kind = match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => ProblemKind::UnknownCa,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ProblemKind::OtherHostName
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => ProblemKind::CertificateExpired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ProblemKind::CertificateNotYetValid
        }
        _ => ProblemKind::Certificate,
    };
    Problem::new(kind, format!("{}: {error}", problem.detail))
}

/// `host:port` in what the library says: `ssl://host:port/bootstrap: ...`.
fn address(detail: &str) -> Option<String> {
    let (_, rest) = detail.split_once("://")?;
    Some(rest.split_once('/')?.0.to_owned())
}

/// The CAs that the client trusts; none if they cannot be read.
pub(crate) fn roots(options: &BTreeMap<String, String>) -> Option<RootCertStore> {
    let named = |ca: &str| (options.get(&format!("{ca}.location")), options.get(&format!("{ca}.pem")));
    roots_of(named("ssl.ca"))
}

/// CAs from a file or a string, or else those of the system.
pub(crate) fn roots_of((location, pem): (Option<&String>, Option<&String>)) -> Option<RootCertStore> {
    let certificates: Vec<CertificateDer<'static>> = match (location, pem) {
        (Some(path), _) if path != "probe" => {
            CertificateDer::pem_file_iter(path).ok()?.collect::<Result<_, _>>().ok()?
        }
        (_, Some(pem)) => CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?,
        _ => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    Some(roots)
}

pub(crate) fn client_config(roots: RootCertStore) -> Option<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(config.with_root_certificates(roots).with_no_client_auth())
}

fn fault(address: &str, roots: RootCertStore) -> Option<CertificateError> {
    let host = address.rsplit_once(':')?.0.trim_matches(['[', ']']).to_owned();
    let mut tls = ClientConnection::new(Arc::new(client_config(roots)?), ServerName::try_from(host).ok()?).ok()?;
    let mut stream =
        address.to_socket_addrs().ok()?.find_map(|address| TcpStream::connect_timeout(&address, TIMEOUT).ok())?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(TIMEOUT)).ok()?;
    certificate_error(&tls.complete_io(&mut stream).err()?).cloned()
}

fn certificate_error(error: &io::Error) -> Option<&CertificateError> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(error) => Some(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_s_address_is_found_in_what_the_library_says() {
        assert_eq!(address("sasl_ssl://b-1.example.com:9094/bootstrap: SSL").as_deref(), Some("b-1.example.com:9094"));
        assert_eq!(address("ssl://[::1]:9093/2: SSL handshake failed").as_deref(), Some("[::1]:9093"));
        assert_eq!(address("something else"), None);
    }
}
