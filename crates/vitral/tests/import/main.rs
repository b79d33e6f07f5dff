//! `vitral import` as people use it: what it says, what it leaves, and how it ends.

mod edges;

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

fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn an_import_can_be_listed_replaced_and_undone() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| write(dir.path(), name, text);
    write("maio.csv", "pedido,produto,valor,data,origem\nA1,p1,10.00,2025-05-14,app\nA2,p2,5.50,2025-05-15,loja\n");
    let said = vitral(dir.path(), &["import", "maio.csv", "--table", "vendas"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for words in
        ["2 rows imported, 0 refused, 0 already imported", "15.50", "2025-05-14 00:00:00 -03:00", "your own report"]
    {
        assert!(said.out.contains(words), "{words} in {}", said.out);
    }
    let said = vitral(dir.path(), &["import", "list"]);
    assert!(said.out.contains("imported  vendas  2 rows") && said.out.contains("maio.csv"), "{}", said.out);
    let id = said.out.split_whitespace().next().expect("an id").to_owned();

    let said = vitral(dir.path(), &["import", "maio.csv", "--table", "vendas", "--map", "origem=canal"]);
    assert!(said.out.contains("0 rows imported, 0 refused, 2 already imported"), "{}", said.out);
    assert!(said.out.contains(&format!("vitral import replace {id} maio.csv")), "{}", said.out);
    let said = vitral(dir.path(), &["import", "replace", &id, "maio.csv", "--map", "origem=canal"]);
    assert!(said.code == Some(0) && said.out.contains("2 rows imported"), "{} {}", said.out, said.err);

    let said = vitral(dir.path(), &["import", "undo", &id]);
    assert!(said.code == Some(0) && said.out.contains("2 rows of maio.csv taken back"), "{} {}", said.out, said.err);
    let said = vitral(dir.path(), &["import", "undo", &id]);
    assert!(said.code == Some(0) && said.out.contains("nothing of maio.csv is left to take back"), "{}", said.out);
    let said = vitral(dir.path(), &["import", "undo", "nothing"]);
    assert!(said.code == Some(1) && said.err.contains("vitral import list"), "{}", said.err);
    assert!(dir.path().join("data/auditoria/_delta_log").is_dir(), "acts are written down");
}

#[test]
fn too_many_refused_rows_are_an_exit_of_their_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = "pedido,produto,valor,data\nA1,p1,10.00,2025-05-14\nA2,p2,5.50,ontem\n";
    write(dir.path(), "a.csv", text);
    for _ in 0..2 {
        let said = vitral(dir.path(), &["import", "a.csv", "--table", "vendas"]);
        assert_eq!(said.code, Some(3), "{}", said.err);
        assert!(
            said.err.contains("1 of 2 rows was refused") && said.err.contains("vitral ledger list"),
            "{}",
            said.err
        );
        assert!(said.out.contains("line 3"), "{}", said.out);
    }
    let said = vitral(dir.path(), &["import", "a.csv", "--table", "vendas", "--max-refused", "50%"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let said = vitral(dir.path(), &["ledger", "list", "--reason", "tempo"]);
    assert!(said.code == Some(0) && said.out.contains("a.csv"), "{} {}", said.out, said.err);
    write(dir.path(), "b.csv", "pedido,valor,data\nA1,x,y\n");
    let said = vitral(dir.path(), &["import", "b.csv", "--table", "vendas", "--max-refused", "100%"]);
    assert!(said.code == Some(3) && said.err.contains("its only row was refused"), "{}", said.err);
    let said = vitral(dir.path(), &["import", "--table", "vendas"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
}

#[test]
fn what_a_later_export_says_otherwise_is_named_with_the_way_to_have_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let header = "Name,Financial Status,Currency,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Refunded Amount\n";
    let write = |name: &str, state: &str, refunded: &str| {
        let order = |number: u32, state: &str, refunded: &str| {
            format!("#{number},{state},USD,2025-05-14 12:00:00 -0300,2,Tote bag,30.00,TOTE-1,{refunded}\n")
        };
        let text = header.to_owned() + &order(1001, "partially_refunded", refunded) + &order(1002, state, "");
        std::fs::write(dir.path().join(name), text).expect("written");
    };
    write("maio.csv", "paid", "5.00");
    write("junho.csv", "voided", "10.00");
    let said = vitral(dir.path(), &["import", "maio.csv", "--table", "vendas"]);
    assert!(said.code == Some(0) && !said.out.contains("warning"), "{} {}", said.out, said.err);
    let listed = vitral(dir.path(), &["import", "list"]).out;
    let id = |table: &str| {
        let line = listed.lines().find(|line| line.contains(table)).expect("a line");
        line.split_whitespace().next().expect("an id").to_owned()
    };
    let (sales, refunds) = (id("vendas"), id("reembolsos"));
    let said = vitral(dir.path(), &["import", "junho.csv", "--table", "vendas"]);
    for words in [
        format!("1 row of import {sales} missing from this file"),
        "id_pedido #1002 (line 3): counted, and left out here".to_owned(),
        format!("1 row with different amounts here than in import {refunds}"),
        "id_pedido #1001 (line 2): valor_total 10.00 here, 5.00 is in".to_owned(),
        format!("vitral import replace {sales} junho.csv"),
    ] {
        assert!(said.code == Some(0) && said.out.contains(&words), "{words} in {}", said.out);
    }
    // The sales bring their refunds along, there and back.
    let said = vitral(dir.path(), &["import", "replace", &sales, "junho.csv"]);
    assert_eq!(said.code, Some(0), "{} {}", said.out, said.err);
    assert_eq!(said.out.matches(" of maio.csv replaced").count(), 2, "{}", said.out);
    let listed = vitral(dir.path(), &["import", "list"]).out;
    assert_eq!(listed.matches("  imported  ").count(), 2, "{listed}");
    let line = listed.lines().find(|line| line.contains("imported  vendas")).expect("a line");
    assert!(line.contains(" 1 row,"), "{line}");
    let id = line.split_whitespace().next().expect("an id");
    let said = vitral(dir.path(), &["import", "undo", id]);
    assert!(
        said.out.contains("taken back, of vendas") && said.out.contains("taken back, of reembolsos"),
        "{}",
        said.out
    );
}

#[test]
fn columns_that_are_mapped_twice_are_an_error() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), "a.csv", "pedido,a,data\nA1,10.00,2025-05-14\n");
    let said =
        vitral(dir.path(), &["import", "a.csv", "--table", "vendas", "--map", "a=preco", "--map", "a=valor_total"]);
    assert!(said.code == Some(2) && said.err.contains("both a=preco and a=valor_total"), "{}", said.err);
    let said = vitral(dir.path(), &["import", "a.csv", "--table", "vendas"]);
    assert!(said.code == Some(1) && said.err.contains("worth 0.00"), "{}", said.err);
    let said = vitral(dir.path(), &["import", "a.csv", "--table", "vendas", "--map", "=valor_total"]);
    assert!(said.code == Some(0) && said.out.contains("1 row imported"), "{}", said.err);
    let said = vitral(dir.path(), &["import", "a.csv", "--table", "vendas", "--map", "a=preco", "--map", "a=preco"]);
    assert_eq!(said.code, Some(0), "twice the same is once: {}", said.err);
}

#[test]
fn a_table_whose_rows_change_is_not_offered_where_it_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), "vitral.toml", "[catalog]\ndirs = ['sql']\n");
    let sql = "CREATE TABLE precos (id BIGINT, preco DECIMAL(18, 2), quando TIMESTAMP NOT NULL)
        WITH (connector = 'kafka', event_time = 'quando', primary_key = 'id');";
    write(dir.path(), "sql/precos.sql", sql);
    write(dir.path(), "precos.csv", "id,preco,quando\n1,10.00,2025-05-14\n");
    let said = vitral(dir.path(), &["import", "precos.csv", "--table", "precos"]);
    let refused = "nothing can be imported into precos, whose rows change and go, and are not events: name one of ";
    let (_, offered) = said.err.split_once(refused).unwrap_or_else(|| panic!("{}", said.err));
    assert!(said.code == Some(1) && offered.contains("vendas") && !offered.contains("precos"), "{}", said.err);
}
