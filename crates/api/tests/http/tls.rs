//! The listener with TLS: heads and handshakes that come slowly, and what is said to browsers.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vitral_api::{ServeConfig, Tls};

use crate::world::{World, views, windows_view};

const PATIENCE: Duration = Duration::from_secs(20);
const REQUEST: &str = "[req]\ndistinguished_name = name\nx509_extensions = server\nprompt = no\n[name]\nCN = localhost\n\
    [server]\nsubjectAltName = DNS:localhost\nbasicConstraints = critical, CA:FALSE\n";

struct Encrypted {
    world: World,
    address: SocketAddr,
    server: JoinHandle<std::io::Result<()>>,
    connector: TlsConnector,
    _files: TempDir,
}

/// A certificate and its key.
fn make(dir: &Path) {
    std::fs::write(dir.join("request"), REQUEST).expect("written");
    let mut openssl = Command::new("openssl");
    openssl.current_dir(dir).args(["req", "-x509", "-nodes", "-days", "2", "-config", "request"]);
    openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", "key.pem"]);
    let made = openssl.args(["-out", "certificate.pem"]).output().expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn connector(dir: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(dir.join("certificate.pem")).expect("a certificate");
    roots.add(certificate).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

impl Encrypted {
    async fn start(config: ServeConfig) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        make(files.path());
        let tls = Tls::open(files.path().join("certificate.pem"), files.path().join("key.pem")).expect("a pair");
        let world = World::new(windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &[("p1", 1)])]));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(world.serve(listener, ServeConfig { tls: Some(tls), ..config }));
        let connector = connector(files.path());
        Self { world, address, server, connector, _files: files }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        self.connector.connect(name, stream).await.expect("a handshake")
    }

    async fn get(&self, path: &str) -> String {
        let mut connection = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer)).await.expect("in time").expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn stop(self) {
        self.world.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.server).await.expect("in time").expect("no panic").expect("no error");
    }
}

#[tokio::test]
async fn answers_are_encrypted_and_say_that_they_stay_so() {
    let encrypted = Encrypted::start(ServeConfig::default()).await;
    let answer = encrypted.get("/vendas/resumo").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=31536000"), "{answer}");
    assert_eq!(encrypted.connect().await.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    // Those who do not encrypt get no answer.
    let mut plain = TcpStream::connect(encrypted.address).await.expect("a connection");
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("closed");
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"), "{answer:?}");
    encrypted.stop().await;
}

#[tokio::test]
async fn slow_handshakes_and_heads_have_their_time() {
    let head = Duration::from_millis(500);
    let encrypted = Encrypted::start(ServeConfig { head, ..ServeConfig::default() }).await;
    // Nothing, and the begin of a handshake.
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let started = Instant::now();
        let mut silent = TcpStream::connect(encrypted.address).await.expect("a connection");
        silent.write_all(begun).await.expect("sent");
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut rest)).await.expect("closed");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    // A head that comes byte by byte.
    let started = Instant::now();
    let mut slow = encrypted.connect().await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").await.expect("sent");
    let mut answer = [0];
    while started.elapsed() < PATIENCE {
        let read = tokio::time::timeout(Duration::from_millis(50), slow.read(&mut answer)).await;
        if read.is_ok() || slow.write_all(b"X").await.is_err() || slow.flush().await.is_err() {
            break;
        }
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    encrypted.stop().await;
}

#[tokio::test]
async fn half_open_handshakes_keep_nobody_out() {
    let config = ServeConfig { connections: 16, ..ServeConfig::default() };
    let encrypted = Encrypted::start(config).await;
    let mut open = Vec::new();
    for _ in 0..100 {
        let mut silent = TcpStream::connect(encrypted.address).await.expect("a connection");
        silent.write_all(b"\x16\x03\x01").await.expect("sent");
        open.push(silent);
    }
    let started = Instant::now();
    assert!(encrypted.get("/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(open);
    encrypted.stop().await;
}
