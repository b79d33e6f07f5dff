//! The process as its supervisor sees it: what signals do, what it leaves readable, and what it
//! says while Kafka is away.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use vitral_store::Location;
use vitral_store::lease::{Holder, Lease, STREAM};

const PATIENCE: Duration = Duration::from_secs(60);

/// `vitral stream` whose Kafka is away.
struct Stream {
    child: Child,
    logs: mpsc::Receiver<String>,
    api: SocketAddr,
}

impl Stream {
    fn spawn(dir: &Path) -> Self {
        let mut child = vitral(dir)
            .args(["stream", "--kafka", &away(), "--api", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let stderr = BufReader::new(child.stderr.take().expect("its log"));
        let (sender, logs) = mpsc::channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, logs, api: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }

    fn start(dir: &Path) -> Self {
        let mut stream = Self::spawn(dir);
        let serving = stream.line("\"serving\"");
        let line: Value = serde_json::from_str(&serving).expect("JSON");
        stream.api = line["api"].as_str().expect("an address").parse().expect("an address");
        stream
    }

    /// The next line of its log with this text.
    fn line(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.logs.recv_timeout(left).unwrap_or_else(|error| panic!("no {text}: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a state") {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(self.api).expect("the API");
        write!(connection, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("asked");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.split(' ').nth(1).expect("a status").parse().expect("a status"), body.to_owned())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn vitral(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitral"));
    command.arg("--data-dir").arg(dir).current_dir(dir.parent().expect("a folder")).env_remove("RUST_LOG");
    command
}

/// An address where nothing listens.
fn away() -> String {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("an address").to_string()
}

fn data(parent: &tempfile::TempDir) -> PathBuf {
    parent.path().join("data")
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("there").permissions().mode() & 0o777
}

#[test]
fn the_first_signal_ends_in_order_and_a_second_at_once() {
    let parent = tempfile::tempdir().expect("a folder");
    let mut stream = Stream::start(&data(&parent));
    stream.signal();
    assert_eq!(stream.ended().code(), Some(0));

    let mut stream = Stream::start(&data(&parent));
    // Requests that have only begun keep the ordered end waiting for up to ten seconds. It comes
    // once Kafka has not answered for as long.
    let begun = || {
        let mut unfinished = TcpStream::connect(stream.api)?;
        write!(unfinished, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n")?;
        Ok::<_, std::io::Error>(unfinished)
    };
    let mut unfinished = vec![begun().expect("the API")];
    assert_eq!(stream.get("/healthz").0, 200);
    stream.signal();
    let first = Instant::now();
    while let Ok(another) = begun() {
        unfinished.push(another);
        assert!(first.elapsed() < PATIENCE, "it listens as before");
        std::thread::sleep(Duration::from_millis(100));
    }
    let second = Instant::now();
    stream.signal();
    assert_eq!(stream.ended().code(), Some(1));
    assert!(second.elapsed() < Duration::from_secs(5), "{:?}", second.elapsed());
    stream.line("second signal");
}

#[test]
fn of_two_streams_on_one_store_the_second_is_refused() {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = data(&parent);
    let refused = |remedy: &str| {
        let mut second = Stream::spawn(&dir);
        second.line(remedy);
        assert_eq!(second.ended().code(), Some(1));
    };
    let first = Stream::start(&dir);
    refused("is in use by another stream process: stop it, or choose another --data-dir");
    drop(first);
    // A process with a data directory of its own would not mind the lock.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (store, holder) = (Location::folder(&dir).expect("a place"), Holder::of_process());
    let lease = runtime.block_on(Lease::take(&store, STREAM, &holder, Duration::ZERO)).expect("it is free");
    refused("stop it, or name another store.url and data directory");
    drop(lease);
    Stream::start(&dir);
}

#[test]
fn a_topic_that_waits_for_kafka_is_named() {
    let parent = tempfile::tempdir().expect("a folder");
    let stream = Stream::start(&data(&parent));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, body) = stream.get("/readyz");
        assert_eq!(status, 503, "{body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["pronto"], false);
        let problems = body["problemas"].as_array().cloned().unwrap_or_default();
        if let Some(waiting) =
            problems.iter().find(|problem| problem["codigo"] == "waiting" && problem["assunto"] == "eventos_clientes")
        {
            assert!(
                waiting["detalhe"].as_str().is_some_and(|detail| detail.contains("kafka at 127.0.0.1")),
                "{waiting}"
            );
            break;
        }
        assert!(Instant::now() < deadline, "{body}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(stream.get("/healthz").0, 200);
    let (_, figures) = stream.get("/metrics");
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "vitral_build_info",
        "vitral_troubles{subject=\"eventos_clientes\",code=\"waiting\"} 1",
    ] {
        assert!(figures.contains(name), "{name} is not in\n{figures}");
    }
}

#[test]
fn what_is_kept_is_its_users_alone() {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = data(&parent);
    let stream = Stream::start(&dir);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("stream.lock")), 0o600);
    drop(stream);
    // One that older versions left open.
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).expect("set");
    let stream = Stream::start(&dir);
    assert_eq!(mode(&dir), 0o750);
    drop(stream);
}

#[test]
fn a_part_that_fails_ends_the_process() {
    let parent = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let api = taken.local_addr().expect("an address").to_string();
    let ended = vitral(&data(&parent)).args(["stream", "--kafka", &away(), "--api", &api]).output().expect("ended");
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("is already in use"));
}

#[test]
fn the_doctor_looks_at_everything_while_a_stream_runs() {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = data(&parent);
    let stream = Stream::start(&dir);
    let (kafka, api) = (away(), stream.api.to_string());
    let ask = |format: &str| {
        let mut command = vitral(&dir);
        command
            .args(["doctor", "--format", format])
            .env("VITRAL__CONNECTIONS__KAFKA__URL", format!("kafka://{kafka}"))
            .env("VITRAL__API__LISTEN", &api);
        command.output().expect("ended")
    };
    let ended = ask("json");
    assert_eq!(ended.status.code(), Some(1), "Kafka is away");
    let report: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    let of = |about: &str| -> Vec<&Value> { findings.iter().filter(|finding| finding["about"] == about).collect() };
    for about in [
        "configuration",
        "catalog",
        "data directory",
        "disk",
        "descriptors",
        "clock",
        "time zone",
        "kafka",
        "store",
        "warehouse",
        "api",
    ] {
        assert!(!of(about).is_empty(), "nothing about {about} in {report:#}");
    }
    assert!(of("kafka").iter().all(|finding| finding["state"] == "fail" && finding["remedy"].is_string()));
    assert!(of("api")[0]["found"].as_str().is_some_and(|found| found.contains("is not ready")), "{report:#}");
    assert_eq!(of("data directory")[0]["state"], "ok");
    let text = ask("text");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("FAIL  kafka") && text.contains("-> ") && text.contains(" failed, "), "{text}");
}
