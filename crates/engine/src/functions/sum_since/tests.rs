//! What `sum_since` sums up, in any order of rows and states.

use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;

use super::*;

async fn shown(sql: &str) -> String {
    let mut session = SessionContext::new();
    crate::add_functions(&mut session).expect("functions");
    let rows = session.sql(sql).await.expect("planned").collect().await.expect("rows");
    pretty_format_batches(&rows).expect("texts").to_string()
}

#[tokio::test]
async fn rows_behind_the_newest_restart_count() {
    let shown = shown(
        "SELECT k, sum_since(v, r, t) AS units, sum_since(w, r, t) AS money
         FROM (SELECT *, CAST(v AS DECIMAL(10, 2)) AS w FROM (VALUES ('a', 5, 1, false), ('a', 7, 4, false), ('a', 100, 3, true), ('a', -2, 5, NULL), ('a', NULL, 6, false),
                      ('b', 1, 1, false), ('b', 1, 1, false), ('c', 9, 2, true), ('c', 8, 1, false)) AS rows(k, v, t, r)) AS rows
         GROUP BY k ORDER BY k",
    )
    .await;
    for row in ["| a | 5     | 5.00  |", "| b | 2     | 2.00  |", "| c |       |       |"] {
        assert!(shown.contains(row), "{shown}");
    }
}

#[test]
fn states_merge_in_any_order_and_split() {
    // Every sixth row is a restart; what is expected is what follows the newest of them.
    let rows: Vec<(Vec<u8>, i128, bool)> =
        (0..20_u8).map(|n| (vec![n.wrapping_mul(7) % 20], i128::from(n) + 1, n % 6 == 4)).collect();
    let whole = of(&rows);
    let newest = rows.iter().filter(|(_, _, restart)| *restart).map(|(place, ..)| place).max().expect("one");
    let expected: i128 = rows.iter().filter(|(place, ..)| place > newest).map(|(_, value, _)| value).sum();
    assert_eq!(whole.sum().expect("a sum"), Some(expected));
    for cut in 0..rows.len() {
        let (front, back) = rows.split_at(cut);
        let mut merged = Stretch::default();
        for part in [back, front] {
            merged.merge(&of(part).to_bytes()).expect("merged");
        }
        assert_eq!(merged.to_bytes(), whole.to_bytes(), "cut at {cut}");
    }
    let damaged = &whole.to_bytes()[..7];
    assert!(Stretch::default().merge(damaged).is_err() && Stretch::default().merge(&[]).is_err());
}

fn of(rows: &[(Vec<u8>, i128, bool)]) -> Stretch {
    let mut stretch = Stretch::default();
    for (place, value, is_restart) in rows {
        if *is_restart { stretch.restart_at(place) } else { stretch.add(place, *value).expect("added") }
    }
    stretch
}

#[test]
fn a_sum_that_does_not_fit_is_an_error() {
    assert!(typed(Some(i128::from(i64::MAX) + 1), &DataType::Int64).is_err());
    assert!(typed(Some(10_i128.pow(5)), &DataType::Decimal128(5, 2)).is_err());
    assert!(typed(Some(10_i128.pow(5) - 1), &DataType::Decimal128(5, 2)).is_ok());
}
