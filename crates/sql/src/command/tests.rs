use datafusion_postgres::pgwire::error::ErrorInfo;

use super::*;

fn one(text: &str) -> Command {
    let mut commands = Commands::new().read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(commands.len(), 1, "{text}");
    commands.remove(0)
}

fn refused(text: &str) -> ErrorInfo {
    ErrorInfo::from(Commands::new().read(text).expect_err(text))
}

#[test]
fn statements_of_the_session_are_read_in_all_ways_that_clients_write_them() {
    let described = |text: &str| format!("{:?}", one(text));
    for (text, wanted) in [
        ("SET extra_float_digits = 3", r#"Set { name: "extra_float_digits", value: Some("3"), is_local: false }"#),
        ("set application_name to 'a b'", r#"Set { name: "application_name", value: Some("a b"), is_local: false }"#),
        ("SET LOCAL x.y = -1", r#"Set { name: "x.y", value: Some("-1"), is_local: true }"#),
        ("SET search_path = a, \"B\"", r#"Set { name: "search_path", value: Some("a, B"), is_local: false }"#),
        ("SET TIME ZONE 'UTC'", r#"Set { name: "timezone", value: Some("UTC"), is_local: false }"#),
        ("SET datestyle TO DEFAULT", r#"Set { name: "datestyle", value: None, is_local: false }"#),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SetTransaction"),
        ("SHOW TRANSACTION ISOLATION LEVEL", r#"Show("transaction_isolation")"#),
        ("show timezone;", r#"Show("timezone")"#),
        ("RESET ALL", "Reset(None)"),
        ("DISCARD ALL", r#"Discard("DISCARD ALL")"#),
        ("DISCARD TEMPORARY", r#"Discard("DISCARD TEMP")"#),
        ("BEGIN READ ONLY", r#"Begin("BEGIN")"#),
        ("START TRANSACTION ISOLATION LEVEL REPEATABLE READ", r#"Begin("START TRANSACTION")"#),
        ("END", "Commit"),
        ("ABORT", "Rollback"),
        ("ROLLBACK TO SAVEPOINT a", r#"RollbackTo("a")"#),
        ("RELEASE a", r#"Release("a")"#),
        ("FETCH 100 IN \"SQL_CUR1\"", r#"Fetch { cursor: "SQL_CUR1", count: Some(100), is_move: false }"#),
        ("FETCH FORWARD 5 FROM c", r#"Fetch { cursor: "c", count: Some(5), is_move: false }"#),
        ("FETCH ALL c", r#"Fetch { cursor: "c", count: None, is_move: false }"#),
        ("FETCH NEXT FROM c", r#"Fetch { cursor: "c", count: Some(1), is_move: false }"#),
        ("MOVE 2 IN c", r#"Fetch { cursor: "c", count: Some(2), is_move: true }"#),
        ("CLOSE ALL", "Close(None)"),
        ("DEALLOCATE PREPARE s", r#"Deallocate(Some("s"))"#),
        ("UNLISTEN *", "Unlisten"),
    ] {
        assert_eq!(described(text), wanted, "{text}");
    }
}

#[test]
fn cursors_are_declared_with_their_options_in_any_order() {
    let Command::Declare { name, is_held, is_binary, query } =
        one("DECLARE \"SQL_CUR1\" BINARY NO SCROLL CURSOR WITH HOLD FOR SELECT 1")
    else {
        panic!("not a cursor")
    };
    assert_eq!((name.as_str(), is_held, is_binary), ("SQL_CUR1", true, true));
    assert_eq!(query.query.to_string(), "SELECT 1");
    // Whether it is ever read backward is seen when it is.
    assert!(matches!(one("DECLARE c SCROLL CURSOR FOR SELECT 1"), Command::Declare { is_held: false, .. }));
}

#[test]
fn nothing_is_changed() {
    for text in [
        "INSERT INTO vendas VALUES (1)",
        "DROP TABLE vendas",
        "create table t as select 1",
        "COPY vendas FROM STDIN",
        "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
        "EXPLAIN DELETE FROM vendas",
        "VACUUM",
    ] {
        let described = refused(text);
        assert_eq!(described.code, code::READ_ONLY, "{text}: {}", described.message);
    }
}

#[test]
fn several_statements_are_told_apart_and_errors_have_their_place() {
    assert_eq!(Commands::new().read("SELECT ';'; SELECT 2;;").expect("two").len(), 2);
    assert!(Commands::new().read(" -- nothing\n;").expect("none").is_empty());
    let described = refused("SELECT 1;\nSELECT * FORM vendas");
    assert_eq!(
        (described.code.as_str(), described.position.as_deref().is_some()),
        (code::SYNTAX, true),
        "{}",
        described.message
    );
}

#[test]
fn what_reads_rows_keeps_its_subqueries() {
    let text = "SELECT (SELECT max(b.x) FROM b WHERE b.id = a.id) AS m FROM a";
    let Command::Query(read) = one(text) else { panic!("not a query") };
    assert_eq!(read.query.to_string(), text);
    let Command::Query(read) = one("SELECT x FROM vitral.public.vendas") else { panic!("not a query") };
    assert_eq!(read.query.to_string(), "SELECT x FROM public.vendas");
    let Command::Query(read) = one("SELECT oid FROM pg_class") else { panic!("not a query") };
    assert!(read.tables.iter().all(is_of_catalog), "{:?}", read.tables);
}

#[test]
fn explain_takes_options_in_both_forms() {
    for (text, run, verbose) in [
        ("EXPLAIN SELECT 1", false, false),
        ("EXPLAIN ANALYZE VERBOSE SELECT 1", true, true),
        ("EXPLAIN (ANALYZE, COSTS OFF) SELECT 1", true, false),
        ("EXPLAIN (ANALYZE FALSE, VERBOSE) SELECT 1", false, true),
    ] {
        let Command::Explain { is_run, is_verbose, .. } = one(text) else { panic!("{text}") };
        assert_eq!((is_run, is_verbose), (run, verbose), "{text}");
    }
}
