//! The listener's bounds: sockets that send nothing, heads that come slowly, clients that do not
//! read.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use vitral_api::ServeConfig;

use crate::world::{World, catalog, views, windows_view};

const PATIENCE: Duration = Duration::from_secs(20);

struct Listening {
    world: World,
    address: SocketAddr,
    server: JoinHandle<std::io::Result<()>>,
}

impl Listening {
    async fn start(world: World, config: ServeConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(world.serve(listener, config));
        Self { world, address, server }
    }

    async fn send(&self, text: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.expect("a connection");
        connection.write_all(text.as_bytes()).await.expect("sent");
        connection
    }

    /// The whole answer on a connection of its own.
    async fn get(&self, path: &str) -> String {
        let mut connection =
            self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await;
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer)).await.expect("in time").expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn stop(self) {
        self.world.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.server).await.expect("in time").expect("no panic").expect("no error");
    }
}

fn world() -> World {
    World::new(windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &[("p1", 1)])]))
}

/// Whether the server has closed the connection, after what it still sent.
async fn is_closed(connection: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    matches!(tokio::time::timeout(PATIENCE, connection.read_to_end(&mut rest)).await, Ok(Ok(_) | Err(_)))
}

/// The file descriptors of this process, which hold the sockets of both sides.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("the process's files").count()
}

#[tokio::test]
async fn half_open_sockets_keep_nobody_out() {
    let listening = Listening::start(world(), ServeConfig { connections: 64, ..ServeConfig::default() }).await;
    let mut open = Vec::new();
    for _ in 0..400 {
        open.push(listening.send("GET /metricas HTTP/1.1\r\nHost: loc").await);
    }
    let started = Instant::now();
    assert!(listening.get("/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(listening.get("/vendas/resumo").await.starts_with("HTTP/1.1 200"));
    assert!(started.elapsed() < Duration::from_secs(5));
    // This side holds 400; the server's side is bounded.
    assert!(descriptors() < 400 + 64 + 100, "{}", descriptors());
    assert!(is_closed(&mut open[0]).await, "the oldest made room");
    let figures = listening.get("/metrics").await;
    let line = figures.lines().find(|line| line.starts_with("vitral_http_connections ")).expect("a figure");
    let count: usize = line.rsplit_once(' ').expect("a number").1.parse().expect("a number");
    assert!((1..=64).contains(&count), "{line}");
    drop(open);
    listening.stop().await;
}

#[tokio::test]
async fn heads_and_idle_connections_have_their_time() {
    let (head, idle) = (Duration::from_millis(300), Duration::from_millis(1500));
    let listening = Listening::start(world(), ServeConfig { head, idle, ..ServeConfig::default() }).await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"] {
        let started = Instant::now();
        let mut connection = listening.send(begun).await;
        assert!(is_closed(&mut connection).await);
        assert!((head..idle).contains(&started.elapsed()), "{begun}: {:?}", started.elapsed());
    }
    // A head that comes byte by byte.
    let started = Instant::now();
    let mut slow = listening.send("GET /healthz HTTP/1.1\r\n").await;
    while started.elapsed() < PATIENCE && slow.write_all(b"X-A: b\r\n").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    // Between two requests there is more time.
    let mut kept = listening.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut answer = vec![0; 4096];
    assert_ne!(kept.read(&mut answer).await.expect("an answer"), 0);
    tokio::time::sleep(head * 2).await;
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("still open");
    assert_ne!(kept.read(&mut answer).await.expect("an answer"), 0);
    assert!(is_closed(&mut kept).await);
    listening.stop().await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let listening = Listening::start(world(), ServeConfig::default()).await;
    let many: String = (0..200).map(|number| format!("X-{number}: a\r\n")).collect();
    let long = format!("X-A: {}\r\n", "a".repeat(100_000));
    for headers in [many, long] {
        let mut connection = TcpStream::connect(listening.address).await.expect("a connection");
        // The server may close before it has everything.
        let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        let _ = connection.write_all(request.as_bytes()).await;
        let mut answer = [0; 12];
        if connection.read_exact(&mut answer).await.is_ok() {
            assert_eq!(&answer, b"HTTP/1.1 431");
        }
    }
    assert!(listening.get("/healthz").await.starts_with("HTTP/1.1 200"));
    listening.stop().await;
}

/// Rows without end, and a client that asks for them and reads none.
#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let dir = tempfile::tempdir().expect("a folder");
    let sql = "CREATE VIEW muitas WITH (path = '/muitas') AS SELECT value AS n, repeat('x', 1000) AS x FROM range(1, 100000000);";
    std::fs::write(dir.path().join("muitas.sql"), sql).expect("written");
    let view = windows_view(Vec::new(), Vec::new());
    let world = World::with(view, catalog(Some(dir.path())), |config| {
        config.answer_bytes = usize::MAX;
        config.limits.running_max = 1;
    });
    let config = ServeConfig { write: Duration::from_millis(300), ..ServeConfig::default() };
    let listening = Listening::start(world, config).await;
    let mut connection = listening.send("GET /muitas HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut begin = [0; 15];
    connection.read_exact(&mut begin).await.expect("a head");
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    // The only permit comes back although the client stays.
    let mut answer = String::new();
    let deadline = Instant::now() + PATIENCE;
    while !answer.starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < deadline, "{answer}");
        answer = listening.get("/produtos/mais_vistos").await;
    }
    drop(connection);
    listening.stop().await;
}

#[tokio::test]
async fn all_busy_is_said_at_once() {
    let listening = Listening::start(world(), ServeConfig { connections: 4, ..ServeConfig::default() }).await;
    let stream = "GET /metricas/produtos_mais_vistos/ao_vivo HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut open = Vec::new();
    // One client gets half.
    for _ in 0..2 {
        let mut connection = listening.send(stream).await;
        let mut begin = [0; 12];
        connection.read_exact(&mut begin).await.expect("a head");
        open.push(connection);
    }
    let mut refused = TcpStream::connect(listening.address).await.expect("a connection");
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, refused.read_to_end(&mut answer)).await.expect("at once");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too_many_connections"), "{answer}");
    drop(open);
    let deadline = Instant::now() + PATIENCE;
    while !listening.get("/healthz").await.starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < deadline);
    }
    listening.stop().await;
}
