//! What PostgreSQL's functions and operators mean, where the engine's own would say otherwise.

use crate::world::{World, code, text, texts};

#[tokio::test]
async fn times_are_written_and_read_by_patterns() {
    let world = World::new().await;
    let client = world.client().await;
    for (sql, wanted) in [
        ("SELECT to_char(ts, 'YYYY-MM-DD HH24:MI') FROM vendas ORDER BY id LIMIT 1", "2026-07-01 12:00"),
        ("SELECT TO_CHAR(DATE '2026-03-07', 'FMDay, DD Mon')", "Saturday, 07 Mar"),
        ("SELECT TO_TIMESTAMP('2026-11-23 01:02:03.000000', 'YYYY-MM-DD HH24:MI:SS.US')", "2026-11-23 01:02:03+00"),
        ("SELECT TO_DATE('2026-11-23', 'YYYY-MM-DD')", "2026-11-23"),
        ("SELECT count(*) FROM vendas WHERE ts >= TO_TIMESTAMP('2026-07-01 12:00:01', 'YYYY-MM-DD HH24:MI:SS')", "1"),
        ("SELECT to_char(NULL::timestamp, 'YYYY')", "NULL"),
    ] {
        assert_eq!(text(&client, sql).await, wanted, "{sql}");
    }
    let error = client.simple_query("SELECT to_char(ts, '%Y-%m') FROM vendas").await.expect_err("no such pattern");
    assert!(error.as_db_error().expect("of the server").message().contains("%Y"), "{error:?}");
}

#[tokio::test]
async fn truths_are_compared_with_texts() {
    let world = World::new().await;
    let client = world.client().await;
    for (sql, wanted) in [
        ("SELECT count(*) FROM vendas WHERE (valor > 15) = 't'", "1"),
        ("SELECT count(*) FROM vendas WHERE (valor > 15) = 'f'", "1"),
        ("SELECT count(*) FROM vendas WHERE 'true' <> (valor > 15)", "1"),
        ("SELECT count(*) FROM pg_catalog.pg_index WHERE indisprimary = 'f'", "0"),
    ] {
        assert_eq!(text(&client, sql).await, wanted, "{sql}");
    }
    code(&client, "SELECT count(*) FROM vendas WHERE (valor > 15) = 'talvez'").await;
}

#[tokio::test]
async fn intervals_are_multiplied() {
    let world = World::new().await;
    let client = world.client().await;
    for (sql, wanted) in [
        ("SELECT TIMESTAMP 'epoch' + 1000000 * INTERVAL '1 second'", "1970-01-12 13:46:40"),
        (
            "SELECT DATE_TRUNC('hour', t) + INTERVAL '5 minutes' * FLOOR(EXTRACT(MINUTE FROM t) / 5) \
             FROM (SELECT TIMESTAMP '2026-01-02 03:14:15' AS t) AS one",
            "2026-01-02 03:10:00",
        ),
        ("SELECT TIMESTAMP '2026-01-01' + INTERVAL '1 day' / 2", "2026-01-01 12:00:00"),
    ] {
        assert_eq!(text(&client, sql).await, wanted, "{sql}");
    }
}

#[tokio::test]
async fn times_are_those_of_zones_and_apart() {
    let world = World::new().await;
    let client = world.client().await;
    for (sql, wanted) in [
        ("SELECT timezone('America/Sao_Paulo', ts) FROM vendas ORDER BY id LIMIT 1", "2026-07-01 09:00:00"),
        ("SELECT ts AT TIME ZONE 'America/Sao_Paulo' FROM vendas ORDER BY id LIMIT 1", "2026-07-01 09:00:00"),
        ("SELECT TIMESTAMP '2026-07-01 09:00:00' AT TIME ZONE 'America/Sao_Paulo'", "2026-07-01 12:00:00+00"),
        ("SELECT EXTRACT(YEAR FROM AGE(DATE '2026-03-01', DATE '2024-02-29'))::int", "2"),
        ("SELECT DATE '2024-01-31' + AGE(DATE '2024-03-01', DATE '2024-01-31') = DATE '2024-03-01'", "t"),
    ] {
        assert_eq!(text(&client, sql).await, wanted, "{sql}");
    }
    code(&client, "SELECT timezone('Nowhere/City', ts) FROM vendas").await;
}

#[tokio::test]
async fn texts_are_formatted_and_searched() {
    let world = World::new().await;
    let client = world.client().await;
    for (sql, wanted) in [
        ("SELECT format('%I.%I', 'a', 'b c')", "a.\"b c\""),
        ("SELECT format('%s:%s', id, loja) FROM vendas ORDER BY id LIMIT 1", "v0:A"),
        ("SELECT substring('p12' from '[0-9]+')", "12"),
        ("SELECT substring('p12x' from 'p([0-9])')", "1"),
        ("SELECT substring('p12' from 2 for 1)", "1"),
    ] {
        assert_eq!(text(&client, sql).await, wanted, "{sql}");
    }
}

#[tokio::test]
async fn columns_have_the_names_of_postgresql() {
    let world = World::new().await;
    let client = world.client().await;
    let sql = "SELECT min(valor), valor::int, valor::float8, 1, NULL, NULL, date_trunc('day', ts) \
               FROM vendas GROUP BY valor, ts";
    let wanted = ["min", "valor", "valor", "?column?", "?column?", "?column?", "date_trunc"];
    let statement = client.prepare(sql).await.expect("prepared");
    let names: Vec<&str> = statement.columns().iter().map(tokio_postgres::Column::name).collect();
    assert_eq!(names, wanted);
    assert_eq!(client.query(&statement, &[]).await.expect("rows").len(), 2);
    let last = client.prepare("SELECT *, valor FROM vendas").await.expect("prepared");
    assert_eq!(last.columns().last().expect("a column").name(), "valor");
}

#[tokio::test]
async fn a_series_has_a_row_for_each_number() {
    let world = World::new().await;
    let client = world.client().await;
    let found: Vec<String> = texts(&client, "SELECT generate_series(1, 3)").await.into_iter().flatten().collect();
    assert_eq!(found, ["1", "2", "3"]);
}

#[tokio::test]
async fn vectors_are_described_as_they_are_sent() {
    let world = World::new().await;
    let client = world.client().await;
    let sql = "SELECT p.proname, p.proargtypes FROM pg_catalog.pg_proc p WHERE p.proname = 'int4pl'";
    let row = client.query_one(sql, &[]).await.expect("a row");
    assert_eq!(row.get::<_, &str>(1), "23 23");
}
