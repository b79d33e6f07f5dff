//! Sessions are the same however their events are split, whatever order they come in, and wherever
//! states are merged, dropped or taken back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::PartitionId;

use super::rows::{Event, all_rows, batch, fold, panes, plan, text};

/// 2025-03-01, 02:00 in the zone of the shop, which is three hours behind.
const START_SECONDS: i64 = 1_740_805_200;
const GAP_SECONDS: i64 = 600;
const SQL: &str =
    "CREATE MATERIALIZED VIEW m AS SELECT session(INTERVAL '10 minutes', id_usuario) AS janela, id_usuario, moeda,
    count(*) AS n, sum(quantidade) AS q, count(DISTINCT id_produto) AS p, max(preco) AS m
    FROM eventos_clientes WHERE tipo_evento <> 'busca' GROUP BY janela, id_usuario, moeda ORDER BY id_usuario, moeda";

/// Second since the start, user, what.
type Row = (i64, u8, u8);

fn event((second, user, what): Row) -> Event {
    let time = chrono::DateTime::from_timestamp(START_SECONDS + second, 0).expect("a time");
    vec![
        ("id_usuario", format!("u{user}")),
        ("tipo_evento", ["clique", "compra", "busca", "clique"][usize::from(what % 4)].to_owned()),
        ("timestamp", time.to_rfc3339()),
        ("id_produto", if what % 3 == 0 { String::new() } else { format!("p{}", what % 5) }),
        ("quantidade", (what % 7).to_string()),
        ("preco", format!("{}.50", what % 9)),
        ("moeda", if what % 11 == 0 { "USD".to_owned() } else { "BRL".to_owned() }),
    ]
}

/// First event, end, user, currency, events and units, by the definition: one key after the other,
/// one event after the other.
fn by_definition(rows: &[Row]) -> Vec<(i64, i64, String, String, i64, i64)> {
    let midnight = |second: i64| (second + START_SECONDS - 3 * 3_600).div_euclid(86_400);
    let mut by_user = BTreeMap::<u8, Vec<Row>>::new();
    for row in rows.iter().filter(|(.., what)| what % 4 != 2) {
        by_user.entry(row.1).or_default().push(*row);
    }
    let mut sessions = Vec::new();
    for (user, mut rows) in by_user {
        rows.sort_unstable();
        for session in rows.chunk_by(|a, b| b.0 - a.0 < GAP_SECONDS && midnight(a.0) == midnight(b.0)) {
            let (first, last) = (session[0].0, session[session.len() - 1].0);
            let day_end = (midnight(last) + 1) * 86_400 - START_SECONDS + 3 * 3_600;
            for is_dollar in [false, true] {
                let of_currency: Vec<_> = session.iter().filter(|(.., what)| (what % 11 == 0) == is_dollar).collect();
                if of_currency.is_empty() {
                    continue;
                }
                let units = of_currency.iter().map(|(.., what)| i64::from(what % 7)).sum();
                let currency = if is_dollar { "USD" } else { "BRL" };
                let end = (last + GAP_SECONDS).min(day_end);
                sessions.push((first, end, format!("u{user}"), currency.to_owned(), of_currency.len() as i64, units));
            }
        }
    }
    sessions.sort();
    sessions
}

fn found(rows: &arrow::array::RecordBatch) -> Vec<(i64, i64, String, String, i64, i64)> {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

    let time = |column: usize, row: usize| {
        rows.column(column).as_primitive::<TimestampMicrosecondType>().value(row) / 1_000_000 - START_SECONDS
    };
    let text = |column: usize, row: usize| rows.column(column).as_string::<i32>().value(row).to_owned();
    let count = |column: usize, row: usize| rows.column(column).as_primitive::<Int64Type>().value(row);
    let row = |row: usize| (time(0, row), time(1, row), text(2, row), text(3, row), count(4, row), count(5, row));
    let mut found: Vec<_> = (0..rows.num_rows()).map(row).collect();
    found.sort();
    found
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    // Two days around a midnight of the shop, a few users, distances around the gap.
    prop::collection::vec((prop_oneof![3 => 0i64..7_200, 1 => 0i64..172_800], 0u8..4, any::<u8>()), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_and_split_gives_the_same_sessions(
        events in rows(),
        parts in prop::collection::vec((0usize..120, 0i32..3), 1..14),
    ) {
        let (topic, plan) = plan(SQL);
        let mut panes = panes(&plan);
        let mut left = events.as_slice();
        for (size, partition) in parts.into_iter().chain([(usize::MAX, 1)]) {
            let (part, rest) = left.split_at(size.min(left.len()));
            let part: Vec<Event> = part.iter().map(|row| event(*row)).collect();
            fold(&mut panes, &topic, partition, &batch(&topic, &part));
            left = rest;
        }
        prop_assert_eq!(found(&all_rows(&panes)), by_definition(&events));
    }

    /// What a restart takes back may be states as they were before others were dropped.
    #[test]
    fn sessions_that_have_ended_go_and_do_not_come_back(events in rows(), until in 0i64..180_000, size in 1usize..20) {
        let (topic, plan) = plan(SQL);
        let mut before = panes(&plan);
        for part in events.chunks(size) {
            let part: Vec<Event> = part.iter().map(|row| event(*row)).collect();
            fold(&mut before, &topic, 0, &batch(&topic, &part));
        }
        let runs: Vec<_> = before.runs().map(|(partition, _, states)| (partition, states.clone())).collect();
        let watermark = Watermark::from_ms((START_SECONDS + until) * 1_000);
        let closed = before.rows_of(|bounds| watermark.closes(bounds.end_ms, 0)).expect("rows");
        before.evict(watermark, 0).expect("evicted");
        let mut sessions: Vec<_> = closed.iter().flat_map(found).collect();
        sessions.extend(found(&all_rows(&before)));
        sessions.sort();
        prop_assert_eq!(&sessions, &by_definition(&events), "each is closed or open");
        // All runs as they were, or any half of them.
        for half in [0, 1, 2] {
            let mut after = panes(&plan);
            for (index, (partition, states)) in runs.iter().enumerate() {
                if half == 2 || index % 2 == half {
                    after.restore(PartitionId(partition.0 + 1), states.clone()).expect("restored");
                }
            }
            after.evict(watermark, 0).expect("evicted");
            if half == 2 {
                prop_assert_eq!(found(&all_rows(&after)), found(&all_rows(&before)));
            }
            let open = found(&all_rows(&before));
            for (first, end, user, ..) in found(&all_rows(&after)) {
                let is_within = open.iter().any(|session| session.0 <= first && end <= session.1 && session.2 == user);
                prop_assert!(is_within && end > until, "a part of a session that has ended");
            }
        }
    }
}

#[test]
fn fragments_become_one_as_runs_are_merged() {
    let (topic, plan) = plan(SQL);
    let mut panes = panes(&plan);
    for second in 0..2_000 {
        fold(&mut panes, &topic, 0, &batch(&topic, &[event((second, 1, 1)), event((second, 2, 1))]));
    }
    assert!(panes.group_count() < 60, "4000 fragments became {}", panes.group_count());
    assert_eq!(all_rows(&panes).num_rows(), 2, "{}", text(&all_rows(&panes)));
}

/// A million users are to fit into 600 MiB, with what is made of their sessions for readers.
#[test]
fn a_fragment_takes_little_memory() {
    const USERS: usize = 20_000;
    let sql = include_str!("../../../../catalog/ecommerce/metrics/sessoes.sql");
    let (topic, plan) = plan(sql);
    let mut panes = panes(&plan);
    let events: Vec<Event> = (0..USERS)
        .map(|user| {
            let mut event = event((0, 0, 1));
            event[0].1 = format!("usuario-{user:08}");
            event
        })
        .collect();
    fold(&mut panes, &topic, 0, &batch(&topic, &events));
    let bytes = panes.memory_bytes() / USERS;
    assert!(bytes <= 200, "{bytes} bytes a fragment");
    assert_eq!(all_rows(&panes).num_rows(), USERS);
}
