//! Data directories of older versions, as they were left there, are opened by this one: the same
//! numbers, and they go on.
//!
//! `upgrade/VERSION/data` is a demo's data directory (`--rate 0`, some hundred events by `vitral
//! simulate --start 2025-05-14T13:00:00Z`) after a stop in order. `answers.json` is what that
//! version's API had said just before: `metrics`, the `linhas` of each, and `completude`; and the
//! `id_evento`, user and time of the newest event that counted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use vitral_connect_kafka::{EventProducer, KafkaConfig};

const PATIENCE: Duration = Duration::from_secs(60);
const TOPIC: &str = "eventos_clientes";

#[test]
fn data_of_older_versions_goes_on() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade");
    let versions: Vec<PathBuf> =
        std::fs::read_dir(&kept).expect("kept versions").map(|entry| entry.expect("an entry").path()).collect();
    assert!(!versions.is_empty(), "{} is empty", kept.display());
    for version in versions {
        goes_on(&version);
    }
}

fn goes_on(version: &Path) {
    let dir = tempfile::tempdir().expect("a folder");
    copy(&version.join("data"), dir.path());
    let expected = std::fs::read(version.join("answers.json")).expect("the older version's answers");
    let expected: Value = serde_json::from_slice(&expected).expect("JSON");
    let Value::Object(metrics) = &expected["metrics"] else { panic!("no metrics in {}", version.display()) };
    let known_id = expected["a_counted_id"].as_str().expect("an id that was counted");
    let read = expected["completude"]["lidas"].as_u64().expect("how many were read");

    let demo = Demo::start(dir.path());
    for (metric, rows) in metrics {
        let mut shown = demo.metric(metric)["linhas"].take();
        for row in shown.as_array_mut().expect("rows") {
            // Names next to ids are newer than these answers.
            row.as_object_mut().expect("a row").remove("nome");
        }
        assert_eq!(&shown, rows, "{metric} of {}", version.display());
    }
    for count in ["lidas", "contadas", "duplicadas", "atrasadas", "recusadas"] {
        assert_eq!(demo.metric("ticket_medio")["completude"][count], expected["completude"][count], "{count}");
    }
    // What was counted by the older version is known; and the newest window goes on.
    let newest = expected["newest_event"].as_str().expect("its event time");
    let producer = EventProducer::new(&demo.kafka, TOPIC).expect("a producer");
    for id in [known_id, "after-the-upgrade"] {
        let user = expected["its_user"].as_str().expect("its key, which decides the partition");
        let event = format!(
            r#"{{"id_usuario":"{user}","tipo_evento":"visualizacao","id_produto":"upgraded","timestamp":"{newest}","id_evento":"{id}"}}"#
        );
        producer.send(user, event.as_bytes()).expect("sent");
    }
    producer.flush(PATIENCE).expect("flushed");
    let began = Instant::now();
    let seen = loop {
        let answer = demo.metric("produtos_mais_vistos");
        if answer["completude"]["lidas"].as_u64() == Some(read + 2) {
            break answer;
        }
        assert!(began.elapsed() < PATIENCE, "{}", answer["completude"]);
        std::thread::sleep(Duration::from_millis(100));
    };
    let count = |name: &str| expected["completude"][name].as_u64().expect("a count");
    assert_eq!(seen["completude"]["contadas"].as_u64(), Some(count("contadas") + 1));
    assert_eq!(seen["completude"]["duplicadas"].as_u64(), Some(count("duplicadas") + 1));
    let rows = seen["linhas"].as_array().expect("rows");
    let upgraded: Vec<&Value> = rows.iter().filter(|row| row["id_produto"] == "upgraded").collect();
    assert_eq!(upgraded.len(), 1, "{rows:?}");
    demo.stop();

    let (code, answer) =
        said(dir.path(), &["reconcile", "--from", "2025-05-01T00:00:00Z", "--to", "2025-06-01T00:00:00Z"]);
    assert_eq!(code, Some(0), "{answer}");
    // What is of another time is not equal: nothing was compared.
    let (code, answer) = said(
        dir.path(),
        &[
            "reconcile",
            "--metric",
            "vendas_por_minuto",
            "--from",
            "1990-01-01T00:00:00Z",
            "--to",
            "1991-01-01T00:00:00Z",
        ],
    );
    assert_eq!(code, Some(4), "{answer}");
    assert!(
        answer.contains("starts at 2025-05-13T") && answer.trim_end().ends_with("VERDICT: nothing to compare"),
        "{answer}"
    );
    // The ledger explains messages that older versions kept.
    let (code, answer) = said(dir.path(), &["ledger", "list"]);
    assert_eq!(code, Some(0), "{answer}");
    for column in ["particao", "motivo", "detalhe", "conteudo"] {
        assert!(answer.contains(column), "{column}: {answer}");
    }
}

/// How a command over the data directory ends, and what it answers.
fn said(dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_vitral"))
        .args(arguments)
        .arg("--data-dir")
        .arg(dir)
        .output()
        .expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

struct Demo {
    process: Child,
    kafka: KafkaConfig,
    api: String,
}

impl Demo {
    fn start(dir: &Path) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_vitral"))
            .args([
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
            ])
            .arg(dir)
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut demo = Self { process, kafka: KafkaConfig::default(), api: String::new() };
        let began = Instant::now();
        let settings = loop {
            // Whole or not there; the stream is ready by then.
            if let Ok(settings) = std::fs::read_to_string(dir.join("demo.env")) {
                break settings;
            }
            let ended = demo.process.try_wait().expect("its state");
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "the demo did not come up: {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
        };
        let value = |name: &str| {
            let line = settings.lines().find_map(|line| line.strip_prefix(name)).expect("in demo.env");
            line.trim_start_matches('=').to_owned()
        };
        demo.kafka.brokers = value("VITRAL_KAFKA");
        demo.api = value("VITRAL_API_URL").trim_start_matches("http://").to_owned();
        demo
    }

    fn metric(&self, name: &str) -> Value {
        let mut connection = TcpStream::connect(&self.api).expect("the API");
        let request = format!("GET /metricas/{name}?limite=1000 HTTP/1.0\r\nHost: {}\r\n\r\n", self.api);
        connection.write_all(request.as_bytes()).expect("asked");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        assert!(head.contains(" 200 "), "{name}: {answer}");
        serde_json::from_str(body).expect("JSON")
    }

    fn stop(mut self) {
        let sent = Command::new("kill").arg(self.process.id().to_string()).status().expect("kill runs");
        assert!(sent.success());
        let ended = self.process.wait().expect("an end");
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Only a test that failed leaves it running.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).expect("copied");
        }
    }
}
