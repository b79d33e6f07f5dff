//! What fits is as DataFusion has it; what does not is an error, never another number.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, UInt64Array};
use arrow::util::display::array_value_to_string;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;

use super::make_exact;

/// Rows in two batches of two partitions, so that states are merged.
fn session(columns: Vec<(&str, ArrayRef)>) -> SessionContext {
    let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("rows");
    let half = rows.num_rows() / 2;
    let parts = vec![vec![rows.slice(0, half)], vec![rows.slice(half, rows.num_rows() - half)]];
    let mut session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    make_exact(&mut session).expect("exact");
    session
        .register_table("t", Arc::new(MemTable::try_new(rows.schema(), parts).expect("a table")))
        .expect("registered");
    session
}

/// The cells of the only row, or the error.
fn run(session: &SessionContext, sql: &str) -> Result<Vec<String>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let batches = runtime.block_on(async { session.sql(sql).await?.collect().await });
    let batches = batches.map_err(|error| error.strip_backtrace())?;
    let rows: Vec<_> = batches.iter().filter(|batch| batch.num_rows() > 0).collect();
    let [row] = rows.as_slice() else { panic!("{} batches", rows.len()) };
    let cell = |column: &ArrayRef| match column.is_null(0) {
        true => "null".to_owned(),
        false => array_value_to_string(column, 0).expect("a text"),
    };
    Ok(row.columns().iter().map(cell).collect())
}

fn integers(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn decimals(values: &[i128], precision: u8, scale: i8) -> ArrayRef {
    let values = Decimal128Array::from(values.to_vec());
    Arc::new(values.with_precision_and_scale(precision, scale).expect("fits"))
}

#[test]
fn sums_beyond_their_type_are_errors() {
    let grouped = "SELECT sum(x) FROM t GROUP BY g";
    let g = || ("g", integers(&[Some(1), Some(1)]));
    let x = integers(&[Some(i64::MAX), Some(1)]);
    let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 1]));
    let largest = 10_i128.pow(38) - 1;
    for (x, words) in [
        (x, "does not fit bigint"),
        (unsigned, "does not fit bigint unsigned"),
        // Within 128 bits, but not within 38 digits; and beyond both.
        (decimals(&[largest, 1], 38, 2), "does not fit decimal(38, 2)"),
        (decimals(&[largest, largest - 1], 38, 0), "does not fit decimal(38, 0)"),
    ] {
        let session = session(vec![g(), ("x", x)]);
        for sql in
            [grouped, "SELECT sum(x) FROM t", "SELECT sum(DISTINCT x) FROM t", "SELECT sum(x) FROM t GROUP BY g, g + 1"]
        {
            let error = run(&session, sql).expect_err(sql);
            assert!(error.contains(words), "{sql}: {error}");
        }
    }
}

#[test]
fn averages_of_decimals_do_not_wrap() {
    let largest = 10_i128.pow(38) - 1;
    let g = || ("g", integers(&[Some(1), Some(1)]));
    for (sql, x, average) in [
        ("SELECT avg(x) FROM t", decimals(&[largest - 4, largest], 38, 4), None),
        ("SELECT avg(x) FROM t GROUP BY g", decimals(&[largest, largest], 38, 0), None),
        // The total is beyond 38 digits, the average is not.
        (
            "SELECT avg(x) FROM t",
            decimals(&[largest / 10_000 - 2, largest / 10_000], 38, 0),
            Some(largest / 10_000 - 1),
        ),
        ("SELECT avg(x) FROM t GROUP BY g", decimals(&[10_i128.pow(25) - 1; 2], 25, 2), Some(10_i128.pow(25) - 1)),
    ] {
        let found = run(&session(vec![g(), ("x", x)]), sql);
        match average {
            Some(average) => {
                let digits = found.expect(sql)[0].replace('.', "");
                assert_eq!(digits, format!("{average}0000"), "{sql}");
            }
            None => assert!(found.is_err(), "{sql}: {found:?}"),
        }
    }
}

/// That a part of the rows does not fit says nothing about all of them.
#[test]
fn sums_of_integers_do_not_depend_on_the_order() {
    let session =
        session(vec![("g", integers(&[Some(1); 4])), ("x", integers(&[Some(i64::MAX), Some(1), Some(-2), None]))]);
    for sql in ["SELECT sum(x) FROM t", "SELECT sum(x) FROM t GROUP BY g"] {
        assert_eq!(run(&session, sql), Ok(vec![(i64::MAX - 1).to_string()]));
    }
    let sliding = "SELECT max(s) FROM (SELECT sum(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t WHERE x < 5)";
    assert_eq!(run(&session, sliding), Ok(vec!["-1".to_owned()]));
}

/// With nearly as many groups as rows, rows become states one by one.
#[test]
fn rows_that_are_hardly_grouped_have_the_same_totals() {
    let numbers = || (0..4_000_i64).map(Some).collect::<Vec<_>>();
    let rows = RecordBatch::try_from_iter([
        ("g", integers(&numbers().into_iter().map(|n| n.map(|n| n / 2)).collect::<Vec<_>>())),
        ("x", integers(&numbers())),
        ("d", decimals(&(0..4_000).collect::<Vec<_>>(), 18, 2)),
    ]);
    let rows = rows.expect("rows");
    let parts = [0, 2_000].map(|first| (0..20).map(|part| rows.slice(first + part * 100, 100)).collect()).to_vec();
    let mut config = SessionConfig::new().with_target_partitions(2);
    config.options_mut().execution.skip_partial_aggregation_probe_rows_threshold = 1;
    config.options_mut().execution.skip_partial_aggregation_probe_ratio_threshold = 0.1;
    let mut session = SessionContext::new_with_config(config);
    make_exact(&mut session).expect("exact");
    let table = MemTable::try_new(rows.schema(), parts).expect("a table");
    session.register_table("t", Arc::new(table)).expect("registered");
    let grouped = "SELECT g, sum(x) AS x, sum(x) FILTER (WHERE x % 4 = 0) AS f, avg(x) FILTER (WHERE x % 4 = 0) AS a, sum(d) AS d,
        sum(d) FILTER (WHERE x % 4 = 0) AS df FROM t GROUP BY g";
    let sql = format!("SELECT count(*), sum(x), sum(f), sum(a), sum(d), sum(df), count(f), count(df) FROM ({grouped})");
    let expected = ["2000", "7998000", "1998000", "1998000.000000", "79980.00", "19980.00", "1000", "1000"];
    assert_eq!(run(&session, &sql).expect("totals"), expected);
}

#[test]
fn averages_of_integers_are_exact_decimals() {
    // No double is 2^53 + 1.
    let large = (1_i64 << 53) + 1;
    let session = session(vec![
        ("g", integers(&[Some(1); 4])),
        ("x", integers(&[Some(large), Some(large), None, None])),
        ("y", integers(&[Some(1), Some(-2), Some(0), None])),
        ("z", integers(&[Some(1), Some(1), Some(2), None])),
        ("n", integers(&[None; 4])),
    ]);
    for group in ["", " GROUP BY g"] {
        let sql = format!("SELECT avg(x), avg(y), mean(z), avg(n), arrow_typeof(avg(x)) FROM t{group}");
        let expected = ["9007199254740993.000000", "-0.333333", "1.333333", "null", "Decimal128(25, 6)"];
        assert_eq!(run(&session, &sql).expect("averages"), expected);
        let sql =
            format!("SELECT avg(DISTINCT z), avg(x) FILTER (WHERE y > 0), avg(y) FILTER (WHERE y > 5) FROM t{group}");
        assert_eq!(run(&session, &sql).expect("averages"), ["1.500000", "9007199254740993.000000", "null"]);
    }
}

#[test]
fn integers_do_not_wrap() {
    let session = session(vec![("x", integers(&[Some(i64::MAX), None])), ("y", integers(&[Some(i64::MIN), None]))]);
    for sql in [
        "SELECT x + 1 FROM t WHERE x IS NOT NULL",
        "SELECT x * x AS x FROM t WHERE x IS NOT NULL",
        "SELECT y - 1 FROM t WHERE x IS NOT NULL",
        "SELECT -y FROM t WHERE x IS NOT NULL",
        "SELECT sum(x * 2) FROM t GROUP BY y",
        "SELECT count(*) FROM t WHERE x * 3 > 0",
    ] {
        let error = run(&session, sql).expect_err(sql);
        assert!(error.contains("verflow"), "{sql}: {error}");
    }
    let fitting = "SELECT x - 1 + 1, 2 * 3, -x, x + y, x + NULL, arrow_typeof(x - 1) FROM t WHERE x IS NOT NULL";
    let max = i64::MAX.to_string();
    let expected = [&max, "6", &format!("-{max}"), "-1", "null", "Int64"];
    assert_eq!(run(&session, fitting).expect("numbers"), expected);
    // The names of columns stay.
    let named = "SELECT q.\"t.x + Int64(1)\" FROM (SELECT x + 1 FROM t WHERE x < 0 UNION ALL SELECT 7) AS q";
    assert_eq!(run(&session, named), Ok(vec!["7".to_owned()]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_fits_is_as_before(
        rows in prop::collection::vec(
            (0i64..3, prop::option::of(-1_000_000i64..1_000_000), prop::option::of(-100_000i128..100_000)), 2..60
        ),
    ) {
        let columns = || vec![
            ("g", Arc::new(Int64Array::from_iter_values(rows.iter().map(|(g, _, _)| *g))) as ArrayRef),
            ("x", Arc::new(Int64Array::from_iter(rows.iter().map(|(_, x, _)| *x))) as ArrayRef),
            ("d", Arc::new(
                Decimal128Array::from_iter(rows.iter().map(|(_, _, d)| *d)).with_precision_and_scale(18, 2).expect("fits"),
            ) as ArrayRef),
        ];
        let exact = session(columns());
        let plain = SessionContext::new();
        let all = RecordBatch::try_from_iter_with_nullable(columns().into_iter().map(|(n, c)| (n, c, true))).expect("rows");
        plain.register_batch("t", all).expect("registered");
        for sql in [
            "SELECT sum(x), sum(d), sum(DISTINCT x), sum(x * 2 + g), sum(d) FILTER (WHERE x > 0), avg(d), sum(g) FROM t",
            "SELECT string_agg(row, ';' ORDER BY row) FROM (SELECT concat_ws(',', g, sum(x), sum(d), avg(d), sum(DISTINCT d),
                sum(x) FILTER (WHERE d > 0), sum(x - g)) AS row FROM t GROUP BY g)",
        ] {
            prop_assert_eq!(run(&exact, sql), run(&plain, sql), "{}", sql);
        }
    }
}
