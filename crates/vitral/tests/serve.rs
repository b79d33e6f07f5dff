//! `vitral serve` next to a stream, as processes: what it answers at once, next to a stream that is
//! killed, and after it was killed itself.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(90);
/// How soon a process that was started answers with numbers.
const SOON: Duration = Duration::from_secs(2);

/// A process that only a test that failed leaves running.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn vitral(arguments: &[&str], data: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitral"));
    command.args(arguments).arg("--data-dir").arg(data).current_dir(data.parent().expect("a folder"));
    Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
}

fn demo(data: &Path, rate: &str) -> (Process, String) {
    let _ = std::fs::remove_file(data.join("demo.env"));
    let arguments = [
        "demo",
        "--rate",
        rate,
        "--history",
        "0",
        "--kafka",
        "127.0.0.1:0",
        "--api",
        "127.0.0.1:0",
        "--sql",
        "127.0.0.1:0",
    ];
    let demo = vitral(&arguments, data);
    let settings = until("the demo comes up", || std::fs::read_to_string(data.join("demo.env")).ok());
    let line = settings.lines().find_map(|line| line.strip_prefix("VITRAL_API_URL=http://")).expect("in demo.env");
    (demo, line.to_owned())
}

/// At an address that was free a moment ago.
fn serve(data: &Path) -> (Process, String) {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
    (vitral(&["serve", "--api", &free.to_string()], data), free.to_string())
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The status and body of an answer; none if nobody answers.
fn get(api: &str, path: &str) -> Option<(u16, Value)> {
    let mut connection = TcpStream::connect(api).ok()?;
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {api}\r\n\r\n").ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).unwrap_or_default()))
}

fn answer(api: &str, path: &str) -> Option<Value> {
    get(api, path).filter(|(status, _)| *status == 200).map(|(_, body)| body)
}

const SALE: &str = "id_pedido,id_produto,quantidade,valor_total,timestamp\no1,p1,1,10.50,2026-01-02T12:00:00Z\n";
const METRIC: &str = "/metricas/ticket_medio?limite=10";

#[test]
fn it_answers_what_the_stream_answers_and_goes_on_without_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let (stream, of_stream) = demo(&data, "100");
    until("something is counted", || {
        answer(&of_stream, METRIC)?["completude"]["contadas"].as_u64().filter(|counted| *counted > 200)
    });

    let began = Instant::now();
    let (first, of_first) = serve(&data);
    until("it answers", || answer(&of_first, METRIC));
    let took = began.elapsed();
    // How soon that is cannot be seen in a build like this amid other tests:
    // `scripts/verify/serve` is for that.
    assert!(took < SOON || cfg!(debug_assertions), "{took:?}");
    let (_second, of_second) = serve(&data);
    until("another one answers", || answer(&of_second, METRIC));
    for api in [&of_first, &of_second] {
        let seen = answer(api, METRIC).expect("an answer");
        assert_eq!(seen["completude"]["ao_vivo"], "atual", "{seen}");
        until("it is as fresh as the stream", || {
            let theirs = answer(&of_stream, METRIC)?;
            let count = theirs["completude"]["lidas"].as_u64()?;
            until("it comes there", || {
                answer(api, METRIC)?["completude"]["lidas"].as_u64().filter(|read| *read >= count)
            });
            Some(())
        });
    }

    // What others write is there too.
    std::fs::write(dir.path().join("vendas.csv"), SALE).expect("written");
    let import = ["import", "vendas.csv", "--table", "vendas", "--numbers", "plain", "--profile", "none"];
    assert!(vitral(&import, &data).0.wait().expect("it ends").success());
    let imports = until("the stream knows it", || {
        answer(&of_stream, "/importacoes").filter(|found| found.as_array().is_some_and(|found| found.len() == 1))
    });
    until("the others know it", || {
        [&of_first, &of_second].iter().all(|api| answer(api, "/importacoes").as_ref() == Some(&imports)).then_some(())
    });

    // The stream is killed: what is stored is answered, and that it is all.
    drop(stream);
    let stored =
        until("it says so", || answer(&of_first, METRIC).filter(|page| page["completude"]["ao_vivo"] == "ausente"));
    assert!(stored["completude"]["contadas"].as_u64() > Some(0), "{stored}");
    let ready = answer(&of_first, "/readyz").expect("it is ready");
    assert!(ready["problemas"].as_array().expect("them").iter().any(|one| one["codigo"] == "stream_away"), "{ready}");

    // It is killed and started again while the stream is away.
    drop(first);
    let (_first, of_first) = serve(&data);
    let again = until("it answers without a stream", || answer(&of_first, METRIC));
    assert_eq!(again["completude"]["ao_vivo"], "ausente");
    assert_eq!(again["completude"]["contadas"], stored["completude"]["contadas"]);

    // Without new messages both stand still, and are the same.
    let (_stream, of_stream) = demo(&data, "0");
    for path in [METRIC, "/metricas/produtos_mais_vistos?limite=50", "/produtos/mais_vistos"] {
        until("both are the same", || {
            let theirs = get(&of_stream, path)?;
            let is_same = [&of_first, &of_second].iter().all(|api| get(api, path).as_ref() == Some(&theirs));
            (theirs.0 == 200 && is_same).then_some(())
        });
    }
}
