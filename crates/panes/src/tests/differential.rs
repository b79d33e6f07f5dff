//! Every supported shape gives what DataFusion's plain aggregate gives, however the rows are split.

use proptest::prelude::*;
use vitral_schemas::event_time::Watermark;

use super::rows::{Event, all_rows, batch, fold, panes, plain, plan, text};

/// The shapes: each aggregate, filters, expressions over aggregates, HAVING, ORDER BY and LIMIT,
/// each kind of window.
const SHAPES: [&str; 16] = [
    "SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM eventos_clientes GROUP BY janela",
    "SELECT tumble(INTERVAL '1 minute') AS janela, id_produto, count(id_sessao) AS n, sum(quantidade) AS q FROM eventos_clientes GROUP BY janela, id_produto",
    "SELECT hop(INTERVAL '1 minute', INTERVAL '5 minutes') AS janela, count(DISTINCT id_usuario) AS n FROM eventos_clientes GROUP BY janela",
    "SELECT hop(INTERVAL '2 minutes', INTERVAL '5 minutes') AS janela, sum(preco) AS s FROM eventos_clientes GROUP BY janela",
    "SELECT tumble(INTERVAL '1 day') AS janela, count(DISTINCT id_usuario) AS a, count(DISTINCT id_produto) AS b, count(DISTINCT quantidade) AS c FROM eventos_clientes GROUP BY janela",
    "SELECT tumble(INTERVAL '1 month') AS janela, tipo_evento, avg(preco) AS a, avg(quantidade) AS q FROM eventos_clientes GROUP BY janela, tipo_evento",
    "SELECT hop(INTERVAL '1 day', INTERVAL '3 days') AS janela, min(preco) AS a, max(preco) AS b, min(id_usuario) AS c, max(timestamp) AS d FROM eventos_clientes GROUP BY janela",
    "SELECT tumble(INTERVAL '10 minutes') AS janela, bool_and(preco > 5) AS a, bool_or(preco > 5) AS o, bit_and(quantidade) AS x, bit_or(quantidade) AS y, bit_xor(quantidade) AS z FROM eventos_clientes GROUP BY janela",
    "SELECT tumble(INTERVAL '10 minutes') AS janela, approx_distinct(id_usuario) AS a FROM eventos_clientes GROUP BY janela",
    "SELECT tumble(INTERVAL '1 hour') AS janela, id_produto, sum(preco * quantidade) AS s FROM eventos_clientes WHERE tipo_evento = 'compra' AND id_produto IS NOT NULL GROUP BY janela, id_produto HAVING sum(quantidade) > 2",
    "SELECT tumble(INTERVAL '1 hour') AS janela, count(*) FILTER (WHERE tipo_evento = 'compra') AS n, count(DISTINCT id_usuario) FILTER (WHERE tipo_evento = 'compra') AS u FROM eventos_clientes GROUP BY janela",
    "SELECT tumble(INTERVAL '1 hour') AS janela, CASE WHEN preco > 5 THEN 'caro' ELSE 'barato' END AS faixa, count(*) AS n FROM eventos_clientes GROUP BY janela, faixa",
    "SELECT tumble(INTERVAL '1 hour') AS janela, upper(tipo_evento) AS t, count(DISTINCT upper(id_usuario)) AS n FROM eventos_clientes GROUP BY janela, upper(tipo_evento)",
    "SELECT tumble(INTERVAL '1 hour') AS janela, id_produto, count(*) AS n FROM eventos_clientes GROUP BY janela, id_produto ORDER BY n DESC, id_produto LIMIT 2",
    "SELECT tumble(INTERVAL '1 hour') AS janela, divide_half_up(sum(preco), count(DISTINCT id_pedido)) AS ticket FROM eventos_clientes GROUP BY janela",
    "SELECT tumble(INTERVAL '1 hour') AS janela, count(DISTINCT id_usuario) + count(*) AS n, sum(quantidade) - count(*) AS d FROM eventos_clientes GROUP BY janela",
];

fn event() -> impl Strategy<Value = (i32, Event)> {
    let name = |prefix: &'static str, count: u32| {
        prop::option::weighted(0.8, 0..count).prop_map(move |n| n.map_or(String::new(), |n| format!("{prefix}{n}")))
    };
    (
        0i32..2,
        // Three days around a change of month, mostly the first two hours of it.
        prop_oneof![4 => 0i64..7_200, 1 => 0i64..259_200],
        0u32..6,
        prop::sample::select(vec!["compra", "clique", "visualizacao", "busca", "reembolso"]),
        name("p", 4),
        name("o", 5),
        prop::option::of(1i64..4),
        prop::option::of(0i64..2_000),
    )
        .prop_map(|(partition, second, user, kind, product, order, quantity, cents)| {
            let start = chrono::DateTime::from_timestamp(1_740_700_800, 0).expect("a time");
            let time = start + chrono::Duration::seconds(second);
            let event = vec![
                ("id_usuario", format!("u{user}")),
                ("tipo_evento", kind.to_owned()),
                ("timestamp", time.to_rfc3339()),
                ("id_produto", product),
                ("id_pedido", order),
                ("quantidade", quantity.map_or(String::new(), |quantity| quantity.to_string())),
                ("preco", cents.map_or(String::new(), |cents| format!("{}.{:02}", cents / 100, cents % 100))),
            ];
            (partition, event)
        })
}

#[test]
fn every_shape_equals_the_plain_aggregate() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    for shape in SHAPES {
        let sql = format!("CREATE MATERIALIZED VIEW m AS {shape}");
        let (topic, plan) = plan(&sql);
        // At least three batches over two partitions, the same keys in all of them.
        let split = (prop::collection::vec(event(), 1..120), prop::collection::vec(0usize..120, 3..14));
        runner
            .run(&split, |(events, mut cuts)| {
                let mut panes = panes(&plan);
                cuts.sort_unstable();
                let mut first = 0;
                for cut in cuts.into_iter().chain([events.len()]) {
                    let cut = cut.min(events.len());
                    for partition in [0, 1] {
                        let part = events[first..cut].iter().filter(|(of, _)| *of == partition);
                        let part: Vec<Event> = part.map(|(_, event)| event.clone()).collect();
                        fold(&mut panes, &topic, partition, &batch(&topic, &part));
                    }
                    first = cut;
                }
                let all: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
                let folded = all_rows(&panes);
                prop_assert_eq!(text(&folded), text(&plain(&plan, &topic, &batch(&topic, &all))), "{}", shape);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn runs_are_merged_and_old_panes_dropped() {
    let (topic, plan) = plan(
        "CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 minute') AS janela, id_produto, count(DISTINCT id_usuario) AS n FROM eventos_clientes GROUP BY janela, id_produto",
    );
    let mut panes = panes(&plan);
    let event = |minute: u32, user: u32| -> Event {
        vec![
            ("id_usuario", format!("u{user}")),
            ("tipo_evento", "clique".into()),
            ("timestamp", format!("2025-03-01T00:{minute:02}:30Z")),
            ("id_produto", "p".into()),
        ]
    };
    for round in 0..600 {
        fold(&mut panes, &topic, 0, &batch(&topic, &[event(round % 60, round % 7)]));
    }
    assert!(panes.group_count() < 200, "600 states of 60 groups became {}", panes.group_count());
    let rows = all_rows(&panes);
    assert_eq!(rows.num_rows(), 60);
    let noon = 1_740_787_200_000 + 30 * 60_000;
    panes.evict(Watermark::from_ms(noon), 60_000).expect("evicted");
    let rows = all_rows(&panes);
    assert_eq!(rows.num_rows(), 31, "the minutes that end after 00:29");
    assert_eq!(panes.take_dirty().len(), 60);
    assert!(panes.take_dirty().is_empty());
}

#[test]
fn what_cannot_be_folded_is_refused_with_its_place() {
    let cases = [
        (
            "SELECT tumble(INTERVAL '1 hour') AS janela, array_agg(preco) AS a FROM eventos_clientes GROUP BY janela",
            "array_agg",
            45,
        ),
        (
            "SELECT tumble(INTERVAL '1 hour') AS janela, sum(DISTINCT quantidade) AS a FROM eventos_clientes GROUP BY janela",
            "DISTINCT",
            45,
        ),
        (
            "SELECT tumble(INTERVAL '1 hour') AS janela, sum(CAST(preco AS DOUBLE)) AS a FROM eventos_clientes GROUP BY janela",
            "floating",
            45,
        ),
        (
            "SELECT tumble(INTERVAL '1 hour') AS janela, count(*) AS a FROM eventos_clientes WHERE timestamp < now() GROUP BY janela",
            "now",
            99,
        ),
        (
            "SELECT tumble(INTERVAL '1 hour') AS janela, count(*) AS a FROM eventos_clientes WHERE random() < 1 GROUP BY janela",
            "random",
            87,
        ),
        (
            "SELECT tumble(INTERVAL '1 hour') AS janela, sum(presso) AS a FROM eventos_clientes GROUP BY janela",
            "presso",
            49,
        ),
        (
            "SELECT tumble(INTERVAL '1 hour') AS janela, nosuch(preco) AS a FROM eventos_clientes GROUP BY janela",
            "nosuch",
            45,
        ),
    ];
    for (shape, words, column) in cases {
        let sql = format!("CREATE MATERIALIZED VIEW m AS\n{shape}");
        let outcome = std::panic::catch_unwind(|| plan(&sql));
        let error = *outcome.map(|_| ()).expect_err(shape).downcast::<String>().expect("a message");
        assert!(error.contains(words) && error.contains("remedy"), "{shape}\n{error}");
        assert!(error.starts_with(&format!("case.sql:2:{column}:")), "{shape}\n{error}");
    }
}
