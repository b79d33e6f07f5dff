//! The sales endpoints, which read sums in memory, against the same question put to every sale:
//! while a demo goes on, after files were imported, and after they were taken back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// The same question as the endpoint's, asked of the sales themselves.
const ENDPOINT: &str = "CREATE VIEW prova_resumo WITH (path = '/prova/resumo', limite = 1000) AS
SELECT
    id_produto,
    sum(quantidade) AS total_vendido,
    sum(valor) AS receita,
    count(DISTINCT id_pedido) + count(*) FILTER (WHERE id_pedido IS NULL) AS pedidos
FROM vendas
WHERE
    moeda = coalesce(upper(nullif($moeda, '')), current_setting('domain.currency'))
    AND ($de IS NULL OR timestamp >= $de)
    AND ($ate IS NULL OR timestamp < $ate)
    AND ($categoria IS NULL OR categoria = $categoria)
    AND ($regiao IS NULL OR regiao = $regiao)
GROUP BY id_produto
ORDER BY total_vendido DESC, receita DESC, id_produto
LIMIT $limite;
";

/// Two lines of one order at different times, one order in two regions, one without an id, and
/// another currency.
const SALES: &str = "id_pedido,id_produto,quantidade,valor_total,timestamp,categoria,regiao,moeda
a1,p1,2,20.00,2026-01-05T10:00:00Z,livros,SP,BRL
a1,p1,1,10.00,2026-01-05T10:00:01Z,livros,SP,BRL
a1,p2,1,7.35,2026-01-05T10:00:00Z,jogos,SP,BRL
a2,p1,1,10.00,2026-01-06T10:00:00Z,livros,SP,BRL
a2,p1,4,40.00,2026-01-06T10:00:00Z,livros,RJ,BRL
,p1,1,9.99,2026-01-07T23:59:59.999999Z,livros,RJ,BRL
,p1,1,9.99,2026-01-07T23:59:59.999999Z,livros,RJ,BRL
a3,p3,3,3.33,2026-02-01T00:00:00Z,,,USD
";
const MORE_SALES: &str = "id_pedido,id_produto,quantidade,valor_total,timestamp,categoria,regiao,moeda
a1,p1,5,50.00,2026-01-09T10:00:00Z,livros,SP,BRL
b1,p9,1,1.00,2026-01-05T10:00:00Z,jogos,MG,BRL
";

const QUESTIONS: [&str; 11] = [
    "",
    "de=2026-01-05T00:00:00Z&ate=2026-01-06T00:00:00Z",
    "de=2026-01-05T10:00:00Z&ate=2026-01-05T10:00:01Z",
    "de=2026-01-05T10:00:00.000001Z",
    "ate=2026-01-07T23:59:59.999999Z",
    "regiao=RJ",
    "regiao=SP&categoria=livros",
    "regiao=nenhuma",
    "moeda=usd",
    "categoria=livros&de=2026-01-06T00:00:00Z&ate=2026-01-08T00:00:00Z",
    "de=2026-01-08T00:00:00Z",
];

/// A process that only a test that failed leaves running.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Shop<'a> {
    dir: &'a Path,
}

impl Shop<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitral"));
        command.args(arguments).arg("--data-dir").arg(self.dir.join("data")).current_dir(self.dir);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn demo(&self, rate: &str) -> (Process, String) {
        let settings = self.dir.join("data/demo.env");
        let _ = std::fs::remove_file(&settings);
        let addresses = ["--kafka", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0"];
        let mut command = self.command(&["demo", "--rate", rate, "--history", "0"]);
        let demo = Process(command.args(addresses).spawn().expect("it starts"));
        let text = until("the demo comes up", || std::fs::read_to_string(&settings).ok());
        let url = text.lines().find_map(|line| line.strip_prefix("VITRAL_API_URL=http://")).expect("in demo.env");
        (demo, url.to_owned())
    }

    fn import(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        std::fs::write(&path, text).expect("written");
        let path = path.to_str().expect("a path");
        let status = self.command(&["import", path, "--table", "vendas"]).status().expect("it runs");
        assert!(status.success(), "{name}: {status}");
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn get(api: &str, path: &str) -> Option<Value> {
    let mut connection = TcpStream::connect(api).ok()?;
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {api}\r\n\r\n").ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| serde_json::from_str(body).expect("JSON"))
}

/// The rows without what is next to them, such as names.
fn rows(api: &str, path: &str, question: &str) -> Option<Vec<[String; 4]>> {
    let rows = get(api, &format!("{path}?limite=1000&{question}"))?;
    let row = |row: &Value| ["id_produto", "total_vendido", "receita", "pedidos"].map(|name| row[name].to_string());
    Some(rows.as_array().expect("an array").iter().map(row).collect())
}

fn compare(api: &str, questions: &[&str]) {
    for question in questions {
        until(question, || {
            let (sums, sales) = (rows(api, "/vendas/resumo", question)?, rows(api, "/prova/resumo", question)?);
            // What is imported or taken back is seen by both within seconds, not at once.
            (sums == sales).then_some(())
        });
    }
}

#[test]
fn sums_are_those_of_every_sale() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = Shop { dir: dir.path() };
    std::fs::create_dir(dir.path().join("prova")).expect("made");
    std::fs::write(dir.path().join("prova/prova.sql"), ENDPOINT).expect("written");
    std::fs::write(dir.path().join("vitral.toml"), "[catalog]\ndirs = ['prova']\n").expect("written");
    shop.import("primeiro.csv", SALES);

    let (demo, api) = shop.demo("200");
    until("the file is in", || rows(&api, "/vendas/resumo", QUESTIONS[1]).filter(|rows| rows.len() == 2));
    let known = rows(&api, "/vendas/resumo", QUESTIONS[1]).expect("an answer");
    assert_eq!(known[0], ["\"p1\"", "3", "30.0", "1"]);
    // Ranges of the past stand still while the demo sells.
    compare(&api, &QUESTIONS[1..3]);
    compare(&api, &["regiao=RJ&ate=2026-03-01T00:00:00Z", "moeda=usd&ate=2026-03-01T00:00:00Z"]);
    until("the demo has sold", || {
        rows(&api, "/vendas/resumo", "de=2026-03-01T00:00:00Z").filter(|rows| rows.len() > 5)
    });
    drop(demo);

    // Nothing is sold any more: every question has one answer.
    let (_demo, api) = shop.demo("0");
    compare(&api, &QUESTIONS);
    shop.import("segundo.csv", MORE_SALES);
    until("the second file is in", || {
        rows(&api, "/vendas/resumo", "regiao=MG&ate=2026-02-01T00:00:00Z").filter(|rows| rows.len() == 1)
    });
    compare(&api, &QUESTIONS);
    let imports = shop.command(&["import", "list"]).stdout(Stdio::piped()).output().expect("it runs");
    let imports = String::from_utf8(imports.stdout).expect("text");
    let line = imports.lines().find(|line| line.contains("segundo.csv")).expect("it is listed");
    let id = line.split_whitespace().next().expect("an id");
    assert!(shop.command(&["import", "undo", id]).status().expect("it runs").success(), "{imports}");
    until("it is taken back", || {
        rows(&api, "/vendas/resumo", "regiao=MG&ate=2026-02-01T00:00:00Z").filter(Vec::is_empty)
    });
    compare(&api, &QUESTIONS);
}
