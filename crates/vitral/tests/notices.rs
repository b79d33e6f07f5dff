//! What the demo says of messages that do not count, and of those that nobody can read: the way on
//! is one that the demo has.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use vitral_connect_kafka::{EventProducer, KafkaConfig};

const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn messages_of_others_that_do_not_count_are_reported() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let terminal = dir.path().join("terminal");
    let mut demo = Demo::start(&data, &terminal, "100");
    let api = value(&data, "VITRAL_API_URL");
    // What the simulator sends late and malformed on purpose is not reported.
    until("the simulator's own are refused", || {
        let page = get(&api, "/metricas/ticket_medio?limite=1");
        (page["completude"]["recusadas"].as_u64()? > 0 && page["completude"]["atrasadas"].as_u64()? > 0).then_some(())
    });
    assert_eq!(get(&api, "/avisos"), Value::Array(Vec::new()));

    let kafka = KafkaConfig { brokers: value(&data, "VITRAL_KAFKA"), ..KafkaConfig::default() };
    let producer = EventProducer::new(&kafka, "eventos_clientes").expect("a producer");
    let late = r#"{"id_usuario":"u123","tipo_evento":"clique","id_produto":"p456","timestamp":"2025-05-14T19:16:00"}"#;
    for message in [late, late, "not JSON"] {
        producer.send("u123", message.as_bytes()).expect("sent");
    }
    producer.flush(PATIENCE).expect("flushed");
    let reported = until("both kinds are reported", || {
        let reported = get(&api, "/avisos");
        let messages: u64 = reported.as_array()?.iter().filter_map(|notice| notice["mensagens"].as_u64()).sum();
        (messages == 3).then_some(reported)
    });
    assert_eq!((&reported[0]["veredito"], &reported[0]["mensagens"]), (&"atrasada".into(), &2.into()), "{reported}");
    assert_eq!(reported[0]["instante"], "2025-05-14T22:16:00Z", "{reported}");
    assert_eq!((&reported[1]["veredito"], &reported[1]["motivo"]), (&"recusada".into(), &"json".into()), "{reported}");
    let shown = until("the terminal shows both", || {
        let shown = std::fs::read_to_string(&terminal).ok()?;
        (shown.contains("NOT COUNTED, late") && shown.contains("NOT COUNTED, refused (recusada, json)"))
            .then_some(shown)
    });
    assert!(shown.contains("--rate 0"), "{shown}");
    demo.stop();
    assert!(Path::new(&data).join("broker").is_dir());

    let mut demo = Demo::start(&data, &terminal, "0");
    assert_eq!(get(&value(&data, "VITRAL_API_URL"), "/avisos"), reported, "a restart forgets nothing");
    demo.stop();
}

/// A batch whose head and checksum are right, of a codec that its bytes are not of: any client can
/// send one.
fn undecodable() -> Vec<u8> {
    let mut behind_checksum = Vec::new();
    behind_checksum.extend_from_slice(&1_i16.to_be_bytes());
    behind_checksum.extend_from_slice(&0_i32.to_be_bytes());
    for time in [1_795_000_000_000_i64; 2] {
        behind_checksum.extend_from_slice(&time.to_be_bytes());
    }
    behind_checksum.extend_from_slice(&(-1_i64).to_be_bytes());
    behind_checksum.extend_from_slice(&(-1_i16).to_be_bytes());
    behind_checksum.extend_from_slice(&(-1_i32).to_be_bytes());
    behind_checksum.extend_from_slice(&1_i32.to_be_bytes());
    behind_checksum.extend_from_slice(b"not compressed by gzip");
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend_from_slice(&(behind_checksum.len() as i32 + 9).to_be_bytes());
    batch.extend_from_slice(&0_i32.to_be_bytes());
    batch.push(2);
    batch.extend_from_slice(&crc32c(&behind_checksum).to_be_bytes());
    batch.extend_from_slice(&behind_checksum);
    batch
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |checksum, byte| {
        (0..8).fold(checksum ^ u32::from(*byte), |checksum, _| {
            (checksum >> 1) ^ if checksum & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

/// Sends it to the first partition, as version 7 of the request has it.
fn produce(kafka: &str, batch: &[u8]) {
    let text = |text: &str| [&(text.len() as i16).to_be_bytes(), text.as_bytes()].concat();
    let body = [
        [0_i16.to_be_bytes(), 7_i16.to_be_bytes()].concat(),
        1_i32.to_be_bytes().to_vec(),
        text("test"),
        (-1_i16).to_be_bytes().to_vec(),
        (-1_i16).to_be_bytes().to_vec(),
        5_000_i32.to_be_bytes().to_vec(),
        1_i32.to_be_bytes().to_vec(),
        text("eventos_clientes"),
        1_i32.to_be_bytes().to_vec(),
        0_i32.to_be_bytes().to_vec(),
        (batch.len() as i32).to_be_bytes().to_vec(),
        batch.to_vec(),
    ]
    .concat();
    let mut connection = TcpStream::connect(kafka).expect("the broker");
    connection.write_all(&(body.len() as i32).to_be_bytes()).expect("sent");
    connection.write_all(&body).expect("sent");
    let mut length = [0; 4];
    connection.read_exact(&mut length).expect("acknowledged");
}

#[test]
fn the_demo_goes_on_past_a_batch_that_nobody_can_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data, terminal) = (dir.path().join("data"), dir.path().join("terminal"));
    let mut demo = Demo::start(&data, &terminal, "0");
    produce(&value(&data, "VITRAL_KAFKA"), &undecodable());
    let ended = demo.0.wait().expect("an end");
    assert!(!ended.success());

    let start = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitral"));
        command.args([
            "demo",
            "--rate",
            "0",
            "--kafka",
            "127.0.0.1:0",
            "--api",
            "127.0.0.1:0",
            "--sql",
            "127.0.0.1:0",
            "--data-dir",
        ]);
        command.arg(&data).args(arguments);
        command
    };
    let said = start(&[]).output().expect("it runs");
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    let skip = words.split("`vitral demo --skip ").nth(1).and_then(|rest| rest.split('`').next());
    let skip = skip.unwrap_or_else(|| panic!("a way on: {words}")).to_owned();

    let file = std::fs::File::create(&terminal).expect("a file");
    let mut demo = Demo(start(&["--skip", &skip]).stdout(file).spawn().expect("it starts"));
    let kafka = KafkaConfig { brokers: value(&data, "VITRAL_KAFKA"), ..KafkaConfig::default() };
    let producer = EventProducer::new(&kafka, "eventos_clientes").expect("a producer");
    let event = r#"{"id_usuario":"u1","tipo_evento":"clique","id_produto":"p1","timestamp":"2025-05-14T19:16:00"}"#;
    producer.send("u1", event.as_bytes()).expect("sent");
    producer.flush(PATIENCE).expect("flushed");
    let api = value(&data, "VITRAL_API_URL");
    until("the next message counts", || {
        let page = get(&api, "/metricas/ticket_medio?limite=1");
        let count = |name: &str| page["completude"][name].as_u64();
        (count("contadas")? == 1 && count("puladas")? == 1).then_some(())
    });
    demo.stop();
}

/// A machine that lost power may lose the end of the broker's log, though the archive has its
/// messages.
#[test]
fn the_demo_goes_on_where_its_broker_lost_the_end_of_the_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data, terminal) = (dir.path().join("data"), dir.path().join("terminal"));
    let mut demo = Demo::start(&data, &terminal, "500");
    let counted = |least: u64| {
        let api = value(&data, "VITRAL_API_URL");
        until("so many are read", || {
            let page = get(&api, "/metricas/ticket_medio?limite=1");
            page["completude"]["lidas"].as_u64().filter(|read| *read >= least)
        })
    };
    let before = counted(2_000);
    demo.stop();
    for log in logs(&data.join("broker")) {
        let file = std::fs::OpenOptions::new().write(true).open(log).expect("a log");
        file.set_len(file.metadata().expect("its length").len() / 2).expect("cut");
    }
    let mut demo = Demo::start(&data, &terminal, "500");
    counted(before + 2_000);
    let shown = std::fs::read_to_string(&terminal).expect("the terminal");
    assert!(shown.contains("the broker's log of eventos_clientes, partition 0, ends at offset"), "{shown}");
    demo.stop();
    let command = Command::new(env!("CARGO_BIN_EXE_vitral")).args(["reconcile", "--data-dir"]).arg(&data).output();
    let said = String::from_utf8_lossy(&command.expect("it runs").stdout).into_owned();
    assert!(said.contains("VERDICT: ") && !said.contains("different") && !said.contains("is next, found"), "{said}");
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let each = |path: PathBuf| if path.is_dir() { logs(&path) } else { vec![path] };
    entries.flat_map(each).filter(|path| path.extension().is_some_and(|end| end == "log")).collect()
}

/// One of the demo's settings, once it is up.
fn value(data: &Path, name: &str) -> String {
    let settings = until("the demo comes up", || std::fs::read_to_string(data.join("demo.env")).ok());
    let line = settings.lines().find_map(|line| line.strip_prefix(name)).expect("in demo.env");
    line.trim_start_matches('=').trim_start_matches("http://").to_owned()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn get(api: &str, path: &str) -> Value {
    let mut connection = TcpStream::connect(api).expect("the API");
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {api}\r\n\r\n").expect("asked");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("answered");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

struct Demo(Child);

impl Demo {
    fn start(data: &Path, terminal: &Path, rate: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitral"));
        command.args([
            "demo",
            "--rate",
            rate,
            "--kafka",
            "127.0.0.1:0",
            "--api",
            "127.0.0.1:0",
            "--sql",
            "127.0.0.1:0",
            "--data-dir",
        ]);
        command.arg(data).stdout(std::fs::File::create(terminal).expect("a file"));
        Self(command.spawn().expect("it starts"))
    }

    fn stop(&mut self) {
        assert!(Command::new("kill").arg(self.0.id().to_string()).status().expect("kill runs").success());
        let ended = self.0.wait().expect("an end");
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Only a test that failed leaves it running.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
