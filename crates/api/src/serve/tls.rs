//! TLS of the listener. A certificate that is renewed is taken up without a restart.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at, while clients connect.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A certificate with its key. Copies are cheap.
#[derive(Debug, Clone)]
pub struct Tls(Arc<Files>);

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    acceptor: TlsAcceptor,
    changed: Changed,
    looked: Instant,
}

/// When the two files were changed.
type Changed = [Option<SystemTime>; 2];

/// Why nothing can be encrypted with these files.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum TlsError {
    #[error("{key} is {}, which cannot be read as PEM: {reason}", .path.display())]
    File { key: &'static str, path: PathBuf, reason: String },
    #[error(
        "api.tls_certificate {} and api.tls_key {} do not go together: {reason}", .certificate.display(), .key.display()
    )]
    Pair { certificate: PathBuf, key: PathBuf, reason: String },
}

impl Tls {
    /// Reads both files, in PEM: the server's certificate with those that lead to its issuer, and
    /// its key.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let changed = changed(&certificate, &key);
        let loaded = Loaded { acceptor: load(&certificate, &key)?, changed, looked: Instant::now() };
        Ok(Self(Arc::new(Files { certificate, key, loaded: Mutex::new(loaded) })))
    }

    /// With the files as they were a minute ago at the earliest. A pair that cannot be used, as it
    /// is half replaced, leaves the one before in use until the next look.
    pub(super) fn acceptor(&self, now: Instant) -> TlsAcceptor {
        let Files { certificate, key, loaded } = self.0.as_ref();
        let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(loaded.looked) >= LOOK_EVERY {
            loaded.looked = now;
            let changed = changed(certificate, key);
            if changed != loaded.changed {
                match load(certificate, key) {
                    Ok(acceptor) => {
                        tracing::info!(certificate = %certificate.display(), "the certificate was loaded again");
                        (loaded.acceptor, loaded.changed) = (acceptor, changed);
                    }
                    Err(error) => tracing::error!(%error, "the certificate before stays in use"),
                }
            }
        }
        loaded.acceptor.clone()
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("changed", &self.changed).finish_non_exhaustive()
    }
}

fn changed(certificate: &PathBuf, key: &PathBuf) -> Changed {
    [certificate, key].map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}

fn load(certificate: &PathBuf, key: &PathBuf) -> Result<TlsAcceptor, TlsError> {
    let file = |name: &'static str, path: &PathBuf, reason: &dyn std::fmt::Display| TlsError::File {
        key: name,
        path: path.clone(),
        reason: reason.to_string(),
    };
    let of_certificate = |reason: &dyn std::fmt::Display| file("api.tls_certificate", certificate, reason);
    let chain = CertificateDer::pem_file_iter(certificate).map_err(|error| of_certificate(&error))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|error| of_certificate(&error))?;
    if chain.is_empty() {
        return Err(of_certificate(&"there is no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| file("api.tls_key", key, &error))?;
    let pair = |error: rustls::Error| TlsError::Pair {
        certificate: certificate.clone(),
        key: key.clone(),
        reason: error.to_string(),
    };
    // Named, as another crate may bring in another one.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// Writes `NAME.pem` and `NAME.key`.
    fn make(dir: &Path, name: &str) {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(dir).args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-newkey",
            "ec",
        ]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout"]).arg(format!("{name}.key"));
        let made = openssl.arg("-out").arg(format!("{name}.pem")).output().expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    #[test]
    fn a_renewed_certificate_is_taken_up_once_it_is_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        make(dir.path(), "a");
        make(dir.path(), "b");
        let tls = Tls::open(path("a.pem"), path("a.key")).expect("a pair");
        let begin = Instant::now();
        let in_use = |minutes: u32| Arc::clone(tls.acceptor(begin + LOOK_EVERY * minutes).config());
        let first = in_use(0);
        std::fs::rename(path("b.pem"), path("a.pem")).expect("renamed");
        assert!(Arc::ptr_eq(&first, &in_use(0)), "not yet looked at");
        assert!(Arc::ptr_eq(&first, &in_use(2)), "the key is still the other one");
        std::fs::rename(path("b.key"), path("a.key")).expect("renamed");
        let second = in_use(4);
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &in_use(6)), "nothing has changed");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        make(dir.path(), "a");
        make(dir.path(), "b");
        let open = |certificate: &str, key: &str| {
            Tls::open(path(certificate), path(key)).expect_err("it is wrong").to_string()
        };
        let missing = open("none.pem", "a.key");
        assert!(missing.contains("api.tls_certificate") && missing.contains("none.pem"), "{missing}");
        let swapped = open("a.key", "a.pem");
        assert!(swapped.contains("api.tls_certificate") && swapped.contains("no certificate"), "{swapped}");
        let no_key = open("a.pem", "a.pem");
        assert!(no_key.contains("api.tls_key") && no_key.contains("a.pem"), "{no_key}");
        let other = open("a.pem", "b.key");
        assert!(other.contains("do not go together"), "{other}");
    }
}
