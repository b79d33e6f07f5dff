//! `vitral import` as people use it: what it says, what it leaves, and how it ends.

use std::path::Path;
use std::process::Command;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn vitral(dir: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_vitral"))
        .current_dir(dir)
        .args(arguments)
        .args(["--data-dir", "data"])
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn an_import_can_be_listed_replaced_and_undone() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
    write("maio.csv", "pedido,produto,valor,data,origem\nA1,p1,10.00,2025-05-14,app\nA2,p2,5.50,2025-05-15,loja\n");
    let said = vitral(dir.path(), &["import", "maio.csv", "--table", "vendas"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for words in
        ["2 rows imported, 0 refused, 0 in already", "15.50", "2025-05-14 00:00:00 -03:00", "your shop's own report"]
    {
        assert!(said.out.contains(words), "{words} in {}", said.out);
    }
    let said = vitral(dir.path(), &["import", "list"]);
    assert!(said.out.contains("imported  vendas  2 rows") && said.out.contains("maio.csv"), "{}", said.out);
    let id = said.out.split_whitespace().next().expect("an id").to_owned();

    let said = vitral(dir.path(), &["import", "maio.csv", "--table", "vendas", "--map", "origem=canal"]);
    assert!(said.out.contains("0 rows imported, 0 refused, 2 in already"), "{}", said.out);
    assert!(said.out.contains(&format!("vitral import replace {id} maio.csv")), "{}", said.out);
    let said = vitral(dir.path(), &["import", "replace", &id, "maio.csv", "--map", "origem=canal"]);
    assert!(said.code == Some(0) && said.out.contains("2 rows imported"), "{} {}", said.out, said.err);

    let said = vitral(dir.path(), &["import", "undo", &id]);
    assert!(
        said.code == Some(0) && said.out.contains("2 rows of maio.csv are taken back"),
        "{} {}",
        said.out,
        said.err
    );
    let said = vitral(dir.path(), &["import", "undo", &id]);
    assert!(said.code == Some(0) && said.out.contains("nothing of maio.csv is in any more"), "{}", said.out);
    let said = vitral(dir.path(), &["import", "undo", "nothing"]);
    assert!(said.code == Some(1) && said.err.contains("vitral import list"), "{}", said.err);
    assert!(dir.path().join("data/auditoria/_delta_log").is_dir(), "acts are written down");
}

#[test]
fn too_many_refused_rows_are_an_exit_of_their_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = "pedido,produto,valor,data\nA1,p1,10.00,2025-05-14\nA2,p2,5.50,ontem\n";
    std::fs::write(dir.path().join("a.csv"), text).expect("written");
    for _ in 0..2 {
        let said = vitral(dir.path(), &["import", "a.csv", "--table", "vendas"]);
        assert_eq!(said.code, Some(3), "{}", said.err);
        assert!(
            said.err.contains("1 of 2 rows were refused") && said.err.contains("vitral ledger list"),
            "{}",
            said.err
        );
        assert!(said.out.contains("line 3"), "{}", said.out);
    }
    let said = vitral(dir.path(), &["import", "a.csv", "--table", "vendas", "--max-refused", "50%"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let said = vitral(dir.path(), &["ledger", "list", "--reason", "tempo"]);
    assert!(said.code == Some(0) && said.out.contains("a.csv"), "{} {}", said.out, said.err);
    std::fs::write(dir.path().join("b.csv"), "pedido,valor,data\nA1,x,y\n").expect("written");
    let said = vitral(dir.path(), &["import", "b.csv", "--table", "vendas", "--max-refused", "100%"]);
    assert!(said.code == Some(3) && said.err.contains("all 1 rows were refused"), "{}", said.err);
    let said = vitral(dir.path(), &["import", "--table", "vendas"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
}
