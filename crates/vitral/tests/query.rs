//! `vitral query` and `vitral check` as people use them: what they answer, and how they end.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn vitral(data: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_vitral"))
        .current_dir(std::env::temp_dir())
        .arg("--data-dir")
        .arg(data)
        .args(arguments)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn query(data: &Path, sql: &str, format: &str) -> Said {
    vitral(data, &["query", sql, "--format", format])
}

fn json(data: &Path, sql: &str) -> Value {
    let said = query(data, sql, "json");
    assert_eq!(said.code, Some(0), "{sql}: {}", said.err);
    serde_json::from_str(&said.out).expect("JSON")
}

/// A demo's data directory of an older version, with what its API had said.
fn kept() -> (PathBuf, Value) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade");
    let version = std::fs::read_dir(kept).expect("kept versions").next().expect("a version").expect("an entry").path();
    let answers = std::fs::read(version.join("answers.json")).expect("its answers");
    (version.join("data"), serde_json::from_slice(&answers).expect("JSON"))
}

#[test]
fn stored_tables_give_what_the_api_had_said() {
    let (data, answers) = kept();
    let counts = json(&data, "SELECT count(*) AS n FROM eventos_clientes");
    assert_eq!(counts[0]["n"], answers["completude"]["contadas"]);
    let ledger = json(&data, "SELECT count(*) AS n FROM livro WHERE veredito = 'recusada'");
    assert_eq!(ledger[0]["n"], answers["completude"]["recusadas"]);
    // The same table with its domain, alone and in a join with a view.
    let sql = "SELECT count(*) AS n FROM ecommerce.eventos_clientes AS e JOIN (SELECT 1 AS um) AS u ON u.um = 1";
    assert_eq!(json(&data, sql), counts);
    let both = json(&data, "SELECT (SELECT count(*) FROM ecommerce.vendas) = (SELECT count(*) FROM vendas) AS iguais");
    assert_eq!(both[0]["iguais"], true);
    // Views are seen through, and reference tables are there.
    let sales = json(&data, "SELECT count(*) AS n FROM vendas LEFT JOIN produtos USING (id_produto)");
    assert!(sales[0]["n"].as_u64() > Some(0), "{sales}");
    let tables = json(&data, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'");
    let named = |name: &str| tables.as_array().expect("rows").iter().any(|row| row["table_name"] == name);
    assert!(named("vendas") && named("ticket_medio") && named("livro") && named("auditoria"), "{tables}");
    let columns =
        json(&data, "SELECT column_name FROM information_schema.columns WHERE table_name = 'vendas_por_minuto'");
    assert!(columns.as_array().expect("rows").iter().any(|row| row["column_name"] == "provisoria"), "{columns}");
}

/// Its columns are declared: only who wants its rows needs its database.
#[test]
fn a_look_up_table_whose_database_is_away_is_listed_and_named_where_it_is_read() {
    let (data, _) = kept();
    let dir = tempfile::tempdir().expect("a folder");
    let table = "CREATE TABLE perfis (id TEXT NOT NULL, nome TEXT) WITH (connector = 'postgres', connection = 'clientes', key = 'id');";
    std::fs::write(dir.path().join("perfis.sql"), table).expect("written");
    let ask = |sql: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_vitral"))
            .current_dir(dir.path())
            .env("VITRAL__CATALOG__DIRS", format!("[{:?}]", dir.path().display().to_string()))
            // Nobody listens there.
            .env("VITRAL__CONNECTIONS__CLIENTES__URL", "postgresql://vitral@127.0.0.1:1/crm")
            .args(["--data-dir", &data.display().to_string(), "query", sql, "--format", "json"])
            .output()
            .expect("it runs");
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (out, err) = ask("SELECT table_name FROM information_schema.tables WHERE table_name = 'perfis'");
    assert!(out.contains(r#""perfis""#), "{out} {err}");
    let (out, err) = ask("SELECT column_name FROM information_schema.columns WHERE table_name = 'perfis' ORDER BY 1");
    assert!(out.contains(r#""id""#) && out.contains(r#""nome""#), "{out} {err}");
    let (_, err) = ask("SELECT id FROM perfis");
    for words in [
        "perfis.sql:1:",
        "look-up table perfis cannot be read over connection clientes",
        "remedy: start the database, or correct [connections.clientes]",
    ] {
        assert!(err.contains(words), "{words}: {err}");
    }
    assert!(!err.contains("Error occurred") && err.contains("refused"), "the cause alone: {err}");
}

/// A metric that nobody has computed yet has no rows, which is not said by an empty table.
#[test]
fn a_metric_without_a_window_says_when_its_first_one_closes() {
    let (data, _) = kept();
    let dir = tempfile::tempdir().expect("a folder");
    let metric = "CREATE MATERIALIZED VIEW nova AS SELECT tumble(INTERVAL '1 hour') AS janela, count(*) AS n FROM eventos_clientes GROUP BY janela";
    std::fs::write(dir.path().join("nova.sql"), metric).expect("written");
    let ask = |sql: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_vitral"))
            .current_dir(dir.path())
            .env("VITRAL__CATALOG__DIRS", format!("[{:?}]", dir.path().display().to_string()))
            .args(["--data-dir", &data.display().to_string(), "query", sql, "--format", "json"])
            .output()
            .expect("it runs");
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (out, err) = ask("SELECT * FROM nova");
    assert_eq!(out.trim(), "[]", "{err}");
    for words in [
        "nova has no final window yet: the watermark of eventos_clientes is at 2025-05-14T14:37:47Z",
        "by 60 minutes",
        "vitral backfill",
    ] {
        assert!(err.contains(words), "{words}: {err}");
    }
    let (_, err) = ask("SELECT * FROM vendas_por_minuto WHERE receita < 0");
    assert!(!err.contains("no final window"), "{err}");
    assert_eq!(err.trim(), "open windows are not here: GET /metricas/vendas_por_minuto");
    let (_, err) = ask(
        "SELECT a.receita FROM vendas_por_minuto AS a, agora.vendas_por_minuto AS b, agora.ticket_medio AS c LIMIT 1",
    );
    assert_eq!(err.trim(), "open windows are not here: GET /metricas/ticket_medio, GET /metricas/vendas_por_minuto");
    assert_eq!(ask("SELECT count(*) AS n FROM vendas").1, "");
}

/// Of the kept directory, which has the topic's watermark alone.
#[test]
fn the_committed_watermark_is_a_value_of_what_is_stored() {
    let (data, _) = kept();
    let of = |sql: &str| json(&data, sql)[0].clone();
    let row = of(
        "SELECT count(*) > 0 AS tem, max(timestamp) > max(marca_dagua()) AS atras, max(marca_dagua()) AS m FROM eventos_clientes",
    );
    assert_eq!((&row["tem"], &row["atras"]), (&true.into(), &true.into()), "it trails the newest event: {row}");
    let of_metric = of("SELECT marca_dagua() AS m FROM (SELECT count(*) AS n FROM vendas_por_minuto) AS janelas");
    assert_eq!(of_metric["m"], row["m"]);
}

#[test]
fn a_table_that_is_kept_up_to_date_is_read_with_its_topic_s_watermark() {
    let copy = tempfile::tempdir().expect("a folder");
    copy_folder(&kept().0, copy.path());
    let row = json(copy.path(), "SELECT max(marca_dagua()) AS m FROM eventos_clientes")[0].clone();
    let said = vitral(copy.path(), &["backfill", "--metric", "carrinhos"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let of_table = json(copy.path(), "SELECT max(marca_dagua()) AS m, count(*) > 0 AS tem FROM carrinhos")[0].clone();
    assert_eq!((&of_table["m"], &of_table["tem"]), (&row["m"], &true.into()));
    let states = json(
        copy.path(),
        "SELECT estado, count(*) AS n, bool_and(itens > 0 AND desde > marca_dagua() - INTERVAL '30 minutes') AS agora
         FROM carrinhos_abandonados GROUP BY estado ORDER BY estado",
    );
    // Half an hour before the watermark parts them.
    assert!(states[0]["estado"] == "abandonado" && states[0]["agora"] == false, "{states}");
    assert!(states[1]["estado"] == "aberto" && states[1]["agora"] == true && states[2].is_null(), "{states}");
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("read") {
        let entry = entry.expect("an entry");
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copied");
        }
    }
}

#[test]
fn every_format_has_the_same_rows() {
    let (data, _) = kept();
    let sql = "SELECT tipo_evento, count(*) AS n, sum(valor_total) AS valor FROM eventos_clientes GROUP BY tipo_evento \
               ORDER BY tipo_evento";
    let rows = json(&data, sql);
    let rows = rows.as_array().expect("rows");
    let csv = query(&data, sql, "csv").out;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!((lines[0], lines.len()), ("tipo_evento,n,valor", rows.len() + 1));
    for (line, row) in lines[1..].iter().zip(rows) {
        let kind = row["tipo_evento"].as_str().expect("a type");
        assert!(line.starts_with(&format!("{kind},{},", row["n"])), "{line}");
    }
    let table = query(&data, sql, "table").out;
    assert!(table.contains("| tipo_evento") && table.ends_with(&format!("{} rows\n", rows.len())), "{table}");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("rows.parquet");
    let said = vitral(&data, &["query", sql, "--format", "parquet", "--output", file.to_str().expect("a path")]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{}", said.err);
    let bytes = std::fs::read(&file).expect("written");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    // A file's ending says what it is, if nothing else does.
    let file = dir.path().join("rows.CSV");
    let said = vitral(&data, &["query", sql, "--output", file.to_str().expect("a path")]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(std::fs::read_to_string(&file).expect("written"), query(&data, sql, "csv").out);
    assert_eq!(query(&data, "SELECT 1 AS n WHERE false", "json").out, "[]\n");
}

#[test]
fn wrong_statements_are_wrong_arguments_with_their_place() {
    let (data, _) = kept();
    for (sql, words) in [
        ("SELECT * FROM vendidas", "SQL:1:15: there is no table vendidas"),
        (
            "SELECT * FROM receita_mensal",
            "SQL:1:15: there is no table receita_mensal, only armazem.receita_mensal, which the job receita_mensal writes",
        ),
        ("SELECT * FROM ecommerce.receita_mensal", "SQL:1:15: "),
        ("SELECT * FROM ecommerce.vendidas", "SQL:1:15: there is no table ecommerce.vendidas"),
        ("SELECT * FROM loja.vendas", "SQL:1:15: there is no table loja.vendas"),
        ("SELECT presso\nFROM vendas", "SQL:1:8: "),
        ("SELECT count(*)\nFORM vendas", "SQL:2:6: "),
        ("DELETE FROM vendas", "DELETE is not a query"),
        ("SELECT 1; DROP TABLE vendas", "not exactly one statement"),
        ("SELECT * FROM vendas WHERE quantidade > INTERVAL '1 day'", "SQL:1:1: "),
    ] {
        let said = query(&data, sql, "json");
        assert_eq!(said.code, Some(2), "{sql}: {}", said.err);
        assert!(said.err.contains(words) && said.err.contains("remedy: "), "{sql}: {}", said.err);
    }
    // What fails on the rows is not a mistake in the arguments.
    let said = query(&data, "SELECT 1 / (quantidade - quantidade) AS x FROM vendas", "json");
    assert_eq!(said.code, Some(1), "{}", said.err);
}

#[test]
fn a_folder_without_anything_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    for sql in
        ["SELECT * FROM vendas", "SELECT * FROM ticket_medio", "SELECT * FROM livro", "SELECT * FROM importacoes"]
    {
        let said = query(dir.path(), sql, "table");
        assert_eq!(said.code, Some(1), "{sql}: {}", said.err);
        assert!(said.err.contains("nothing is stored of") && said.err.contains("--data-dir"), "{sql}: {}", said.err);
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0, "reading leaves nothing behind");
}

#[test]
fn check_names_every_error_of_every_file_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let catalog = dir.path().join("catalog");
    std::fs::create_dir(&catalog).expect("made");
    let write = |name: &str, text: &str| std::fs::write(catalog.join(name), text).expect("written");
    write(
        "a.sql",
        "CREATE VIEW a AS SELECT * FROM nada;\nCREATE VISTA b AS SELECT 1;\nCREATE VIEW c AS SELECT presso FROM vendas;",
    );
    write("b.sql", "CREATE VIEW d WITH (path = '/d') AS SELECT quantidad FROM vendas;");
    write("c.sql", "CREATE VIEW e WITH (check = 'x') AS SELECT * FROM agora.ticket_medio;");
    write(
        "d.sql",
        "CREATE TABLE f WITH (connector = 'warehouse', date = 'data') AS SELECT data, sun(valor) AS v FROM vendas GROUP BY data;",
    );
    write("e.sql", "CREATE VIEW g WITH (path = '/metrics') AS SELECT 1 AS n;\nCREATE VIEW h AS SELECT * FROM b;");
    let said = vitral(dir.path(), &["check", catalog.to_str().expect("a path")]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    for place in [
        "a.sql:1:32: there is no table nada",
        "a.sql:2:8: ",
        "a.sql:3:25: ",
        "b.sql:1:44: ",
        "c.sql:1:51: agora.ticket_medio is a window that can still change",
        "d.sql:1:",
        "e.sql:1:13: path '/metrics' is reserved for the API",
    ] {
        assert!(said.err.contains(place), "{place}: {}", said.err);
    }
    // Its view could not be read: that is said once.
    assert!(!said.err.contains("there is no table b"), "{}", said.err);
    let mut places = String::new();
    for line in said.err.lines().filter(|line| line.contains(".sql:")) {
        writeln!(places, "{line}").expect("written");
    }
    assert_eq!(places.lines().count(), 7, "{places}");
}

#[test]
fn check_tries_the_catalog_on_stored_events() {
    let (data, answers) = kept();
    let said = vitral(&data, &["check", "--try", "30d"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for words in
        ["all parse and plan", "vendas_por_minuto: ", "ns of CPU time for each event", "/vendas/resumo: answered in"]
    {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let counted = &answers["completude"]["contadas"];
    assert!(said.out.contains(&format!("ticket_medio: {counted} events")), "{}", said.out);
}
