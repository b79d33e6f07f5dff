use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;

use crate::query_state;

const MEMORY: usize = 32 << 20;

fn context() -> SessionContext {
    SessionContext::new_with_state(query_state(MEMORY, "vitral", "public").expect("a state"))
}

async fn rows(context: &SessionContext, sql: &str) -> Result<String, String> {
    let frame = context.sql(sql).await.map_err(|error| error.to_string())?;
    let batches = frame.collect().await.map_err(|error| error.to_string())?;
    Ok(pretty_format_batches(&batches).expect("a table").to_string())
}

#[tokio::test]
async fn few_words_do_not_take_all_memory() {
    for constant in [
        "SELECT repeat('a', 2000000000)",
        "SELECT length(lpad('a', 2000000000, 'b'))",
        "SELECT rpad('a', 2000000000)",
        "SELECT array_length(array_repeat(1, 2000000000))",
        "SELECT array_resize(make_array(1), 2000000000, 1)",
        "SELECT range(1, 2000000000)",
        "SELECT generate_series(TIMESTAMP '1700-01-01', TIMESTAMP '2200-01-01', INTERVAL '1 second')",
        "SELECT replace(repeat('a', 200000), 'a', repeat('b', 200000))",
        "SELECT regexp_replace(repeat('a', 200000), 'a', repeat('b', 200000), 'g')",
    ] {
        let error = rows(&context(), constant).await.expect_err(constant);
        assert!(error.contains("of constants would give"), "{constant}: {error}");
    }
    for of_rows in [
        "SELECT repeat('a', value) FROM generate_series(10000000, 10001000)",
        "SELECT lpad('a', value) FROM generate_series(10000000, 10001000)",
        "SELECT array_repeat(value, value) FROM generate_series(10000000, 10001000)",
        "SELECT range(value) FROM generate_series(10000000, 10001000)",
    ] {
        let error = rows(&context(), of_rows).await.expect_err(of_rows);
        assert!(error.contains("the function "), "{of_rows}: {error}");
    }
}

/// The names keep the engine from taking levels that are written alike for one.
#[tokio::test]
async fn doubling_has_an_end() {
    let doubled = |first: &str, double: &str| {
        (0..18)
            .fold(format!("SELECT {first} AS x"), |sql, level| format!("SELECT {double} AS x FROM ({sql}) AS t{level}"))
    };
    for sql in [doubled("repeat('a', 1000)", "x || x"), doubled("array_repeat(1, 1000)", "array_concat(x, x)")] {
        let error = rows(&context(), &sql).await.expect_err(&sql);
        assert!(error.contains("of constants would give") || error.contains("the function "), "{error}");
    }
}

/// Many columns, each small enough by itself, are held together.
#[tokio::test]
async fn what_is_held_together_is_counted_together() {
    let columns: Vec<String> = (0..100).map(|n| format!("repeat('a', value + {n}) AS c{n}")).collect();
    let sql = format!("SELECT {} FROM generate_series(1000, 2000)", columns.join(", "));
    let error = rows(&context(), &sql).await.expect_err("too much together");
    assert!(error.contains("the function repeat"), "{error}");
    let context = context();
    rows(&context, "SELECT repeat('a', value) FROM generate_series(1000, 2000)").await.expect("1.5 MB");
    assert_eq!(context.runtime_env().memory_pool.reserved(), 0, "what was dropped is not counted");
}

#[tokio::test]
async fn they_give_what_they_gave_before() {
    let plain = SessionContext::new();
    let bounded = context();
    for sql in [
        "SELECT 'a' || 'b' AS x, 'a' || 1 AS y, 1 || 'a' AS z, 'a' || NULL AS n, CAST(NULL AS TEXT) || 'a' AS m",
        "SELECT value || '-' || value AS x FROM generate_series(1, 3)",
        "SELECT make_array(1) || make_array(2) AS x, make_array(1) || 2 AS y",
        "SELECT concat('a', NULL, value) AS x, concat_ws('-', 'a', NULL, value) AS y FROM generate_series(1, 2)",
        "SELECT repeat('ab', 3) AS x, lpad('a', 4, 'xy') AS y, rpad('a', 3) AS z, replace('aba', 'a', 'cc') AS w",
        "SELECT repeat('ab', -1) AS x, lpad('abc', 2) AS y, replace('aba', '', 'c') AS z, translate('abc', 'a', 'é') AS w",
        "SELECT regexp_replace('foobar', '(o)', '[\\1]', 'g') AS x, overlay('abc' placing 'XY' from 2) AS y",
        "SELECT array_repeat('a', 3) AS x, array_resize(make_array(1), 3, 7) AS y, range(1, 6, 2) AS z",
        "SELECT generate_series(DATE '2026-01-01', DATE '2026-03-01', INTERVAL '1 month') AS x, range(0) AS y",
        "SELECT array_to_string(make_array(1, 2), ',') AS x, named_struct('a', 1) AS y, encode('a', 'hex') AS z",
        "SELECT length(max(repeat('a', value))) AS x FROM generate_series(1, 3000)",
        "SELECT count(*) AS n FROM generate_series(1, 2000) WHERE length(repeat('a', value) || 'b') > 1000",
    ] {
        assert_eq!(rows(&bounded, sql).await, rows(&plain, sql).await, "{sql}");
    }
}
