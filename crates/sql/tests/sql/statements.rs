//! Statements, transactions, settings, and what is refused.

use tokio_postgres::SimpleQueryMessage;

use crate::world::{World, code, said, text, texts};

#[tokio::test]
async fn a_statement_sees_what_is_newest_when_it_runs() {
    let world = World::new().await;
    let client = world.client().await;
    let prepared = client.prepare("SELECT count(*) FROM vendas").await.expect("prepared");
    assert_eq!(client.query_one(&prepared, &[]).await.expect("a row").get::<_, i64>(0), 2);
    world.show(&[("A", 100), ("B", 200), ("C", 300)]);
    assert_eq!(client.query_one(&prepared, &[]).await.expect("a row").get::<_, i64>(0), 3);
    assert_eq!(text(&client, "SELECT sum(total) FROM por_loja").await, "6.00");
    assert_eq!(text(&client, "SELECT count(*) FROM vitral.public.vendas").await, "3");
}

#[tokio::test]
async fn nothing_is_written() {
    let world = World::new().await;
    let client = world.client().await;
    for sql in [
        "INSERT INTO vendas VALUES ('x')",
        "UPDATE vendas SET loja = 'x'",
        "DELETE FROM vendas",
        "CREATE TABLE t (a int)",
        "SELECT * INTO t FROM vendas",
        "DROP VIEW por_loja",
        "COPY vendas FROM STDIN",
        "WITH x AS (DELETE FROM vendas RETURNING *) SELECT * FROM x",
    ] {
        assert_eq!(code(&client, sql).await, "25006", "{sql}");
    }
    let error = client.prepare("DELETE FROM vendas").await.expect_err("refused");
    assert_eq!(error.code().expect("a code").code(), "25006");
    assert_eq!(code(&client, "COPY vendas TO '/tmp/vendas'").await, "28000");
    assert_eq!(text(&client, "SELECT count(*) FROM vendas").await, "2");
    let sampled = "SELECT count(*) FROM (SELECT * FROM vendas TABLESAMPLE BERNOULLI (0)) AS t";
    assert_eq!(code(&client, sampled).await, "0A000");
    for pattern in ["SELECT loja ~ '[' FROM vendas", "SELECT regexp_replace('x', '(', 'y')"] {
        assert_eq!(code(&client, pattern).await, "2201B", "{pattern}");
    }
}

#[tokio::test]
async fn errors_have_the_codes_of_postgresql_and_a_place() {
    let world = World::new().await;
    let client = world.client().await;
    for (sql, wanted) in [
        ("SELECT * FROM nada", "42P01"),
        ("SELECT nada FROM vendas", "42703"),
        ("SELECT * FORM vendas", "42601"),
        ("SELECT nada(1)", "42883"),
        ("SET nada = 1", "42704"),
        ("SHOW nada", "42704"),
        ("FETCH 1 FROM nada", "34000"),
        ("DEALLOCATE nada", "26000"),
        ("LISTEN x", "0A000"),
        ("SELECT 1 / 0", "22012"),
    ] {
        assert_eq!(code(&client, sql).await, wanted, "{sql}");
    }
    let error = client.simple_query("SELECT *\nFROM nada").await.expect_err("no table");
    let error = error.as_db_error().expect("of the server").clone();
    assert!(matches!(error.position(), Some(tokio_postgres::error::ErrorPosition::Original(15))), "{error:?}");
    assert!(error.hint().is_some_and(|hint| !hint.contains("vendas")), "{error:?}");
}

#[tokio::test]
async fn a_transaction_that_has_failed_takes_nothing_until_it_ends() {
    let world = World::new().await;
    let client = world.client().await;
    client.simple_query("BEGIN READ ONLY").await.expect("begun");
    assert_eq!(code(&client, "SELECT * FROM nada").await, "42P01");
    assert_eq!(code(&client, "SELECT 1").await, "25P02");
    assert_eq!(code(&client, "SHOW search_path").await, "25P02");
    client.simple_query("COMMIT").await.expect("it ends");
    assert_eq!(text(&client, "SELECT 1").await, "1");
    // Outside of a transaction an error ends itself.
    assert_eq!(code(&client, "SELECT * FROM nada").await, "42P01");
    assert_eq!(text(&client, "SELECT 1").await, "1");
}

#[tokio::test]
async fn savepoints_bring_a_failed_transaction_back() {
    let world = World::new().await;
    let client = world.client().await;
    client.simple_query("BEGIN; SAVEPOINT a").await.expect("begun");
    assert_eq!(code(&client, "SELECT * FROM nada").await, "42P01");
    client.simple_query("ROLLBACK TO SAVEPOINT a").await.expect("back");
    assert_eq!(text(&client, "SELECT 1").await, "1");
    client.simple_query("RELEASE a; COMMIT").await.expect("ended");
    assert_eq!(code(&client, "SAVEPOINT b").await, "25P01");
}

#[tokio::test]
async fn settings_are_those_that_clients_know() {
    let world = World::new().await;
    let client = world.client().await;
    for sql in [
        "SET application_name = 'x'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET TIME ZONE 'America/Sao_Paulo'",
        "SET client_encoding TO 'UTF8'",
        "SET vitral.x = '1'",
        "RESET application_name",
        "DISCARD ALL",
        "RESET ALL",
    ] {
        client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {}", said(&error)));
    }
    assert_eq!(text(&client, "SHOW TRANSACTION ISOLATION LEVEL").await, "read committed");
    assert_eq!(text(&client, "SHOW TimeZone").await, "UTC");
    assert_eq!(text(&client, "SHOW transaction_read_only").await, "on");
    client.simple_query("SET statement_timeout = '1min'").await.expect("set");
    // At most what the server allows.
    assert_eq!(text(&client, "SHOW statement_timeout").await, "30000ms");
    client.simple_query("SET statement_timeout = 500").await.expect("set");
    assert_eq!(text(&client, "SHOW statement_timeout").await, "500ms");
}

#[tokio::test]
async fn several_statements_of_one_text_are_answered_in_their_order() {
    let world = World::new().await;
    let client = world.client().await;
    let messages = client.simple_query("SELECT 1; SET x.y = 2; SELECT 3 WHERE false;").await.expect("answers");
    let tags = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
        _ => None,
    });
    assert_eq!(tags.collect::<Vec<_>>(), [1, 0, 0]);
    assert!(client.simple_query(";").await.expect("empty").iter().all(|m| !matches!(m, SimpleQueryMessage::Row(_))));
    assert_eq!(
        texts(&client, "EXPLAIN SELECT * FROM vendas").await.first().cloned().flatten().as_deref(),
        Some("logical_plan:")
    );
}

#[tokio::test]
async fn pipelined_statements_are_answered_in_their_order() {
    let world = World::new().await;
    let client = world.client().await;
    let one = client.prepare("SELECT $1::int8 * 2").await.expect("prepared");
    let queries = (0..50_i64).map(|number| {
        let (client, one) = (&client, &one);
        async move { client.query_one(one, &[&number]).await.expect("a row").get::<_, i64>(0) }
    });
    let answers = futures::future::join_all(queries).await;
    assert_eq!(answers, (0..50).map(|number| number * 2).collect::<Vec<i64>>());
}
