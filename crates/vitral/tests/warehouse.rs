//! Tables of jobs, read like everything else as `armazem.NAME`.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn vitral(dir: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_vitral"))
        .current_dir(dir)
        .envs(settings.iter().copied())
        .args(["--data-dir", "data"])
        .args(arguments)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn query(dir: &Path, settings: &[(&str, &str)], sql: &str) -> Said {
    vitral(dir, settings, &["query", sql, "--format", "json"])
}

fn rows(said: &Said) -> Value {
    assert_eq!(said.code, Some(0), "{}", said.err);
    serde_json::from_str(&said.out).expect("JSON")
}

/// Two sales in May, one in June.
fn sales(dir: &Path) {
    let text = "pedido,produto,valor,data\nA1,p1,10.00,2025-05-14\nA2,p2,0.05,2025-05-20\nA3,p1,7.50,2025-06-02\n";
    std::fs::write(dir.join("a.csv"), text).expect("written");
    let said = vitral(dir, &[], &["import", "a.csv", "--table", "vendas"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

const MONTHS: &str = "SELECT mes, receita FROM armazem.receita_mensal ORDER BY mes";
const LISTED: &str = "SELECT column_name FROM information_schema.columns \
                      WHERE table_schema = 'armazem' AND table_name = 'receita_mensal' AND column_name = 'ticket'";

#[test]
fn a_table_is_there_once_its_job_has_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    sales(dir);
    let said = query(dir, &[], MONTHS);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.err.contains("armazem.receita_mensal has not been made yet"), "{}", said.err);
    assert!(said.err.contains("vitral batch run receita_mensal"), "{}", said.err);
    assert_eq!(rows(&query(dir, &[], LISTED)), json!([]));
    let ran = vitral(dir, &[], &["batch", "run", "receita_mensal"]);
    assert_eq!(ran.code, Some(0), "{} {}", ran.out, ran.err);
    let months = query(dir, &[], MONTHS);
    assert_eq!(rows(&months).as_array().map(Vec::len), Some(2), "{}", months.out);
    for month in [r#"{"mes":"2025-05-01","receita":10.05}"#, r#"{"mes":"2025-06-01","receita":7.50}"#] {
        assert!(months.out.contains(month), "{}", months.out);
    }
    assert_eq!(rows(&query(dir, &[], LISTED)), json!([{ "column_name": "ticket" }]));
    // Next to what it was computed from.
    let both = "SELECT (SELECT sum(receita) FROM armazem.receita_mensal) = (SELECT sum(valor) FROM vendas) AS iguais";
    assert_eq!(rows(&query(dir, &[], both)), json!([{ "iguais": true }]));
    let plain = query(dir, &[], "SELECT * FROM receita_mensal");
    assert_eq!(plain.code, Some(2), "{}", plain.out);
    assert!(plain.err.contains("read it as armazem.receita_mensal"), "{}", plain.err);
    let unknown = query(dir, &[], "SELECT * FROM armazem.nada");
    assert!(unknown.code == Some(2) && unknown.err.contains("armazem.receita_mensal"), "{}", unknown.err);
}

#[test]
fn a_database_that_is_away_takes_nothing_else_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    sales(dir);
    // Nobody listens there.
    let away = [
        ("VITRAL__CONNECTIONS__LOJA__URL", "postgresql://vitral@127.0.0.1:1/loja"),
        ("VITRAL__WAREHOUSE__CONNECTION", "loja"),
    ];
    let said = query(dir, &away, MONTHS);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.err.contains("the warehouse cannot be read over connection loja"), "{}", said.err);
    assert_eq!(rows(&query(dir, &away, LISTED)), json!([]));
    let others = "SELECT count(*) AS n FROM information_schema.tables WHERE table_name = 'vendas'";
    let said = query(dir, &away, others);
    assert_eq!(rows(&said), json!([{ "n": 1 }]));
    assert!(said.err.contains("not listed"), "{}", said.err);
}
