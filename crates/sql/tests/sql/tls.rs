//! Encryption, as clients ask for it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vitral_sql::TlsFiles;

use crate::world::World;

const REQUEST: &str = "[req]\ndistinguished_name = name\nx509_extensions = server\nprompt = no\n[name]\nCN = localhost\n\
    [server]\nsubjectAltName = DNS:localhost\nbasicConstraints = critical, CA:FALSE\n";
/// Its length, and the number that stands for it.
const ENCRYPTION_WANTED: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A certificate and its key.
fn make(dir: &Path) -> TlsFiles {
    std::fs::write(dir.join("request"), REQUEST).expect("written");
    let mut openssl = Command::new("openssl");
    openssl.current_dir(dir).args(["req", "-x509", "-nodes", "-days", "2", "-config", "request"]);
    openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", "key.pem"]);
    let made = openssl.args(["-out", "certificate.pem"]).output().expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    TlsFiles { certificate: dir.join("certificate.pem"), key: dir.join("key.pem") }
}

fn connector(files: &TlsFiles, protocols: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.certificate).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// What the server's first message is of, once it knows who is there.
async fn greeting(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> u8 {
    let mut message = vec![0, 3, 0, 0];
    message.extend_from_slice(b"user\0ana\0database\0vitral\0\0");
    let length = u32::try_from(message.len() + 4).expect("short");
    stream.write_all(&[&length.to_be_bytes()[..], &message].concat()).await.expect("sent");
    stream.read_u8().await.expect("an answer")
}

#[tokio::test]
async fn clients_are_answered_by_whether_there_is_encryption() {
    let plain = World::new().await;
    let mut stream = TcpStream::connect(plain.address).await.expect("connected");
    stream.write_all(&ENCRYPTION_WANTED).await.expect("asked");
    assert_eq!(stream.read_u8().await.expect("an answer"), b'N');
    assert_eq!(greeting(&mut stream).await, b'R');

    let dir = tempfile::tempdir().expect("a folder");
    let files = make(dir.path());
    let tls = files.clone();
    let encrypted = World::with(|config| config.tls = Some(tls)).await;
    let name = || ServerName::try_from("localhost").expect("a name");
    let mut stream = TcpStream::connect(encrypted.address).await.expect("connected");
    stream.write_all(&ENCRYPTION_WANTED).await.expect("asked");
    assert_eq!(stream.read_u8().await.expect("an answer"), b'S');
    let mut stream = connector(&files, &[]).connect(name(), stream).await.expect("a handshake");
    assert_eq!(greeting(&mut stream).await, b'R');

    // Clients of PostgreSQL 17 may begin with it.
    let stream = TcpStream::connect(encrypted.address).await.expect("connected");
    let mut stream = connector(&files, &[b"postgresql"]).connect(name(), stream).await.expect("a handshake");
    assert_eq!(greeting(&mut stream).await, b'R');
}
