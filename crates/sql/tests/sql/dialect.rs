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
async fn values_are_cast_to_the_texts_that_clients_get() {
    let world = World::new().await;
    let client = world.client().await;
    for (sql, wanted) in [
        ("SELECT ts::text FROM vendas ORDER BY id LIMIT 1", "2026-07-01 12:00:00+00"),
        ("SELECT CAST(TIMESTAMP '2026-02-03 04:05:06.5' AS varchar)", "2026-02-03 04:05:06.5"),
        ("SELECT (2.0::float8)::text || ' ' || true::text || ' ' || DATE '2026-01-02'::text", "2 true 2026-01-02"),
        ("SELECT valor::text FROM vendas ORDER BY id LIMIT 1", "10.50"),
        ("SELECT count(*) FROM vendas WHERE loja::text = 'A' AND ts::text LIKE '2026-07-01%'", "1"),
        ("SELECT ts FROM (SELECT v.ts::text FROM vendas v) AS d ORDER BY ts LIMIT 1", "2026-07-01 12:00:00+00"),
        (
            "SELECT max(ts)::text FROM vendas GROUP BY loja, date_trunc('day', ts)::text ORDER BY 1 LIMIT 1",
            "2026-07-01 12:00:00+00",
        ),
        ("SELECT round(sum(valor), 1) FROM vendas GROUP BY loja ORDER BY 1 LIMIT 1", "10.5"),
        ("SELECT NULL::timestamp::text", "NULL"),
        ("SELECT '\\x4a41'::bytea", "\\x4a41"),
        ("SELECT '\\x4a41'::bytea::text", "\\x4a41"),
        ("SELECT count(*) FROM vendas WHERE ts::varchar(10) = '2026-07-01' AND 'Ação'::varchar(2) = 'Aç'", "2"),
        ("SELECT v.valor::text FROM vendas v ORDER BY v.valor LIMIT 1", "10.50"),
        ("SELECT ts::text FROM vendas UNION SELECT ts::text FROM vendas ORDER BY ts LIMIT 1", "2026-07-01 12:00:00+00"),
        ("SELECT loja::text FROM vendas GROUP BY loja::text ORDER BY loja LIMIT 1", "A"),
        ("SELECT ts::text FROM vendas GROUP BY 1 ORDER BY ts DESC LIMIT 1", "2026-07-01 12:00:01+00"),
        ("SELECT ts::text, ts FROM vendas ORDER BY 2 DESC LIMIT 1", "2026-07-01 12:00:01+00"),
        ("SELECT valor::text FROM vendas ORDER BY -valor LIMIT 1", "20.00"),
        ("SELECT valor::text FROM vendas GROUP BY valor HAVING valor > 9 ORDER BY 1 LIMIT 1", "10.50"),
        ("SELECT valor::text FROM vendas GROUP BY valor HAVING max(valor) < 11", "10.50"),
        ("SELECT true::varchar(2)", "tr"),
        ("SELECT sum(valor), sum(valor::float8 + 0) FROM vendas", "30.50"),
        ("SELECT DISTINCT upper(loja) FROM vendas ORDER BY 1 LIMIT 1", "A"),
        ("SELECT valor::int::text, valor::bigint::text FROM vendas ORDER BY 1 LIMIT 1", "10"),
        ("SELECT count FROM (SELECT count(*)::text FROM vendas) AS d", "2"),
        ("SELECT abs(valor), abs(valor::numeric(38, 2)) FROM vendas ORDER BY 1 LIMIT 1", "10.50"),
        (r#"SELECT count(*) FROM vendas WHERE loja = ANY('{"B", "A"}')"#, "2"),
        (r#"SELECT '{"a" , "b,c", NULL}'::text[]"#, r#"{a,"b,c",NULL}"#),
        ("SELECT (SELECT count(*) FROM vendas) + (SELECT count(*) FROM vendas)", "4"),
        ("SELECT (SELECT count(*) FROM vendas), (SELECT count(*) FROM vendas)", "2"),
    ] {
        assert_eq!(text(&client, sql).await, wanted, "{sql}");
    }
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
        ("SELECT '2026-07-01 09:00:00.5-03'::timestamptz", "2026-07-01 12:00:00.5+00"),
        ("SELECT CAST('9999-12-31' AS timestamptz)", "9999-12-31 00:00:00+00"),
        ("SELECT TIMESTAMP WITH TIME ZONE '2026-07-01 12:00:00'", "2026-07-01 12:00:00+00"),
        ("SELECT count(*) FROM vendas WHERE ts >= CAST('2026-07-01T12:00:01Z' AS timestamptz)", "1"),
        ("SELECT EXTRACT(YEAR FROM AGE(DATE '2026-03-01', DATE '2024-02-29'))::int", "2"),
        ("SELECT DATE '2024-01-31' + AGE(DATE '2024-03-01', DATE '2024-01-31') = DATE '2024-03-01'", "t"),
    ] {
        assert_eq!(text(&client, sql).await, wanted, "{sql}");
    }
    code(&client, "SELECT timezone('Nowhere/City', ts) FROM vendas").await;
}

#[tokio::test]
async fn the_present_has_a_zone() {
    let world = World::new().await;
    let client = world.client().await;
    use tokio_postgres::types::Type;
    for (sql, wanted) in [
        ("SELECT now()", Type::TIMESTAMPTZ),
        ("SELECT current_timestamp", Type::TIMESTAMPTZ),
        ("SELECT now() AT TIME ZONE 'America/Sao_Paulo'", Type::TIMESTAMP),
        ("SELECT localtimestamp", Type::TIMESTAMP),
    ] {
        assert_eq!(*client.prepare(sql).await.expect(sql).columns()[0].type_(), wanted, "{sql}");
    }
    let apart = "SELECT now() AT TIME ZONE 'UTC' - now() AT TIME ZONE 'America/Sao_Paulo' = INTERVAL '3 hours', \
                 now() = current_timestamp AND now() = statement_timestamp()";
    let row = client.query_one(apart, &[]).await.expect("a row");
    assert!(row.get::<_, bool>(0) && row.get::<_, bool>(1));
}

#[tokio::test]
async fn times_are_compared_to_the_minute() {
    let world = World::new().await;
    let client = world.client().await;
    for (condition, wanted) in [
        ("ts >= '2026-07-01 12:00'", "2"),
        ("'2026-07-01 12:00' < ts", "1"),
        ("ts BETWEEN '2026-07-01 12:00' AND '2026-07-01 12:01+00'", "2"),
        ("ts IN ('2026-07-01T12:00', '2026-07-01 12:01')", "1"),
        ("ts = TIMESTAMP '2026-07-01 12:00'", "1"),
        ("ts = '2026-07-01 09:00-03'::timestamptz", "1"),
        ("id = '2026-07-01 12:00'", "0"),
    ] {
        let sql = format!("SELECT count(*) FROM vendas WHERE {condition}");
        assert_eq!(text(&client, &sql).await, wanted, "{sql}");
    }
    assert_eq!(text(&client, "SELECT '2026-07-01 12:00'").await, "2026-07-01 12:00");
}

#[tokio::test]
async fn objects_are_built_of_rows() {
    let world = World::new().await;
    let client = world.client().await;
    for (sql, wanted) in [
        (
            "SELECT json_build_object('a', 1, 'b', 'x\"y', 'c', NULL, 'd', true)",
            r#"{"a" : 1, "b" : "x\"y", "c" : null, "d" : true}"#,
        ),
        (
            "SELECT json_build_object('id', id, 'valor', valor) FROM vendas ORDER BY id LIMIT 1",
            r#"{"id" : "v0", "valor" : 10.50}"#,
        ),
        ("SELECT json_build_object('n', 'NaN'::float8)", r#"{"n" : "NaN"}"#),
        ("SELECT json_build_object()", "{}"),
    ] {
        assert_eq!(text(&client, sql).await, wanted, "{sql}");
    }
    code(&client, "SELECT json_build_object('a')").await;
    code(&client, "SELECT json_build_object(NULL, 1)").await;
}

#[tokio::test]
async fn lists_are_bound_to_any() {
    let world = World::new().await;
    let client = world.client().await;
    let sql = "SELECT count(*) FROM vendas WHERE id = ANY($1) AND loja <> ALL($2)";
    let statement = client.prepare(sql).await.expect("prepared");
    let list = tokio_postgres::types::Type::TEXT_ARRAY;
    assert_eq!(statement.params(), [list.clone(), list]);
    let found = client.query_one(&statement, &[&vec!["v0", "v1", "v9"], &vec!["B"]]).await.expect("a row");
    assert_eq!(found.get::<_, i64>(0), 1);
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

#[tokio::test]
async fn ranks_are_numbers_with_a_sign() {
    let world = World::new().await;
    let client = world.client().await;
    for sql in
        ["SELECT row_number() OVER (ORDER BY id) FROM vendas", "SELECT 1 + rank() OVER (ORDER BY id) FROM vendas"]
    {
        let statement = client.prepare(sql).await.expect(sql);
        assert_eq!(*statement.columns()[0].type_(), tokio_postgres::types::Type::INT8, "{sql}");
    }
}

#[tokio::test]
async fn averages_of_decimals_have_their_digits() {
    let world = World::new().await;
    world.show(&[("A", 100), ("B", 200), ("C", 200)]);
    let client = world.client().await;
    for (sql, wanted) in [
        ("SELECT avg(valor) FROM vendas", "1.666666666666"),
        ("SELECT avg(DISTINCT valor) FROM vendas", "1.500000000000"),
        ("SELECT avg(valor) OVER () FROM vendas LIMIT 1", "1.666666666666"),
        ("SELECT avg(valor) FROM vendas GROUP BY loja ORDER BY 1 LIMIT 1", "1.000000000000"),
        ("SELECT CAST(avg(valor * 1000000) / avg(valor) AS BIGINT) FROM vendas", "1000000"),
        ("SELECT avg(a) FROM (VALUES (1), (2)) AS t(a)", "1.5"),
    ] {
        assert_eq!(text(&client, sql).await, wanted, "{sql}");
    }
    let columns = client.prepare("SELECT avg(valor) FROM vendas").await.expect("prepared");
    assert_eq!(columns.columns()[0].name(), "avg");
}

#[tokio::test]
async fn rows_exist_among_columns_too() {
    let world = World::new().await;
    let client = world.client().await;
    for (sql, wanted) in [
        ("SELECT EXISTS (SELECT 1 FROM vendas WHERE loja = 'A' LIMIT 1)", "t"),
        ("SELECT NOT EXISTS (SELECT 1 FROM vendas WHERE loja = 'Z')", "t"),
        ("SELECT EXISTS (SELECT max(valor) FROM vendas WHERE loja = 'Z')", "t"),
        ("SELECT CASE WHEN EXISTS (SELECT 1 FROM vendas) THEN 'sim' ELSE 'nada' END", "sim"),
    ] {
        assert_eq!(text(&client, sql).await, wanted, "{sql}");
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM vendas v WHERE v.loja = x.loja) FROM (VALUES ('A'), ('Z')) AS x(loja) \
               ORDER BY x.loja";
    assert_eq!(texts(&client, sql).await, [Some("t".to_owned()), Some("f".to_owned())]);
}

#[tokio::test]
async fn percentiles_may_be_values_of_rows() {
    let world = World::new().await;
    let client = world.client().await;
    let of = "FROM (VALUES ('a', 3), ('a', 1), ('a', NULL), ('a', 2), ('a', 4), ('b', NULL)) AS t(g, x)";
    for (sql, wanted) in [
        (format!("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY x) {of}"), "2"),
        (format!("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY x DESC) {of}"), "3"),
        (format!("SELECT percentile_disc(0) WITHIN GROUP (ORDER BY x) {of}"), "1"),
        (format!("SELECT percentile_disc(1) WITHIN GROUP (ORDER BY x) FILTER (WHERE x < 4) {of}"), "3"),
        (format!("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY x) {of} WHERE g = 'b'"), "NULL"),
    ] {
        assert_eq!(text(&client, &sql).await, wanted, "{sql}");
    }
    code(&client, &format!("SELECT percentile_disc(2) WITHIN GROUP (ORDER BY x) {of}")).await;
}
