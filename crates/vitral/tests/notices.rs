//! While the simulator runs, a newcomer's message that does not count is reported: on the demo's terminal and at `GET /avisos`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
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
        command.args(["demo", "--rate", rate, "--kafka", "127.0.0.1:0", "--api", "127.0.0.1:0", "--data-dir"]);
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
