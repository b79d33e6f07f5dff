//! `vitral trace`: what became of an event or order, from a data directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn vitral(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vitral"))
        .current_dir(std::env::temp_dir())
        .arg("--data-dir")
        .arg(data)
        .args(arguments)
        .output()
        .expect("it runs")
}

fn json(data: &Path, arguments: &[&str]) -> Value {
    let output = vitral(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A demo's data directory of an older version.
fn kept() -> PathBuf {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade");
    std::fs::read_dir(kept).expect("kept versions").next().expect("a version").expect("an entry").path().join("data")
}

#[test]
fn an_order_is_told_with_the_numbers_that_are_stored() {
    let data = kept();
    let sql = "SELECT id_pedido, id_produto FROM eventos_clientes \
               WHERE tipo_evento = 'compra' AND id_pedido IS NOT NULL ORDER BY timestamp, id_pedido LIMIT 1";
    let sale = json(&data, &["query", sql, "--format", "json"])[0].clone();
    let order = sale["id_pedido"].as_str().expect("an order");
    let found = json(&data, &["trace", order, "--format", "json"]);
    assert_eq!(found["id"], order);
    let rows = found["linhas"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["campos"]["id_produto"] == sale["id_produto"]).expect("the sale");
    assert_eq!((&row["veredito"], &row["campos"]["tipo_evento"]), (&"contada".into(), &"compra".into()));
    let named = |name: &str| row["numeros"].as_array().expect("numbers").iter().any(|number| number["metrica"] == name);
    assert!(named("vendas_por_minuto") && named("vendas_por_produto"), "{row}");
    assert!(!named("produtos_mais_vistos"), "{row}");

    let table = String::from_utf8(vitral(&data, &["trace", order]).stdout).expect("text");
    for words in ["contada", "vendas_por_minuto", "eventos_clientes"] {
        assert!(table.contains(words), "{words}: {table}");
    }
}

#[test]
fn what_is_not_there_is_an_error_with_the_way_on() {
    let output = vitral(&kept(), &["trace", "nenhum-pedido"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("nenhum-pedido") && said.contains("eventos_clientes (id_evento, id_pedido)"), "{said}");
    assert!(said.contains("vitral ledger list"), "{said}");
    let output = vitral(&kept(), &["trace", ""]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("the id is empty: write that of an event or order"), "{said}");
    // A wrong folder has nothing at all.
    let empty = tempfile::tempdir().expect("a folder");
    let output = vitral(empty.path(), &["trace", "x"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing is stored of eventos_clientes"));
}
