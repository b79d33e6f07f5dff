//! What can fail on data is warned of, in each way of writing it, and nothing else is.

use crate::tests::parse;
use crate::{Catalog, DomainSettings};

#[test]
fn what_can_fail_on_data_is_warned_of_with_its_place() {
    let builtin = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog");
    assert_eq!(builtin.warnings(), []);
    let metric = |body: &str| {
        format!(
            "CREATE MATERIALIZED VIEW m AS\nSELECT tumble(INTERVAL '1 minute') AS janela,\n{body} AS x FROM eventos_clientes GROUP BY janela"
        )
    };
    let topic = |column: &str| {
        format!(
            "CREATE TABLE t (a TIMESTAMP NOT NULL, n BIGINT, s TEXT,\n{column}) WITH (connector = 'kafka', event_time = 'a')"
        )
    };
    let warned = [
        (metric("count(*) FILTER (WHERE tipo_evento = 'compra') * 100 / count(*)"), 3, "divide_half_up"),
        (metric("sum(quantidade % (quantidade - 1))"), 3, "nullif(quantidade - 1, 0)"),
        (metric("sum(quantidade % (quantidade - 1))"), 3, "quantidade % (quantidade - 1) fails where"),
        (metric("sum(preco / 0)"), 3, "0 is 0"),
        (metric("sum(CAST(id_produto AS BIGINT))"), 3, "try_cast(id_produto AS BIGINT)"),
        (metric("max(split_part(id_produto, '-', 2)::INT)"), 3, "try_cast"),
        (metric("max(CAST(coalesce(canal, 'x') AS TIMESTAMP))"), 3, "try_cast"),
        (metric("sum(arrow_cast(id_produto, 'Int64'))"), 3, "try_cast(id_produto AS BIGINT)"),
        (metric("sum(arrow_cast(id_produto, 'Decimal128(18, 2)'))"), 3, "try_cast(id_produto AS DECIMAL(18,2))"),
        (metric("max(to_date(id_produto))"), 3, "try_cast(id_produto AS DATE)"),
        (metric("max(TO_TIMESTAMP_MILLIS(split_part(canal, '-', 1)))"), 3, "try_cast(split_part(canal, '-', 1) AS TIMESTAMP)"),
        (metric("max(to_timestamp(id_produto, '%d/%m/%Y'))"), 3, "try_cast(id_produto AS TIMESTAMP)"),
        (metric("max(to_unixtime(id_produto))"), 3, "try_cast(id_produto AS TIMESTAMP)"),
        (metric("sum(CAST(quantidade AS SMALLINT))"), 3, "does not fit SMALLINT"),
        (metric("sum(preco::DECIMAL(5, 2))"), 3, "does not fit DECIMAL(5,2)"),
        (topic("m BIGINT DEFAULT 100 / n"), 2, "n is 0"),
        (topic("m BIGINT CHECK (CAST(s AS DECIMAL(9, 2)) > 0)"), 2, "try_cast(s AS DECIMAL(9,2))"),
        ("CREATE VIEW v AS SELECT\n1 / quantidade AS x FROM eventos_clientes".to_owned(), 2, "quantidade is 0"),
        (
            "CREATE VIEW c WITH (check = 'odd') AS\nSELECT * FROM eventos_clientes WHERE preco / quantidade > 1".to_owned(),
            2,
            "quantidade is 0",
        ),
        (
            "CREATE TABLE j WITH (connector = 'warehouse', per = 'day', date = 'd', key = 'd') AS\n\
             SELECT CAST(timestamp AS DATE) AS d, CAST(canal AS BIGINT) AS c FROM eventos_clientes"
                .to_owned(),
            2,
            "try_cast",
        ),
        (
            "CREATE MATERIALIZED VIEW m AS SELECT hop(INTERVAL '1 minute', INTERVAL '1000 minutes') AS janela, count(*) AS n \
             FROM eventos_clientes GROUP BY janela"
                .to_owned(),
            1,
            "1000 windows",
        ),
    ];
    for (text, line, words) in warned {
        let catalog = parse(&text).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
        let warnings = catalog.warnings();
        let [warning] = warnings.as_slice() else { panic!("{text}\n{warnings:?}") };
        assert_eq!((warning.position.file.as_str(), warning.position.line), ("shop.sql", line), "{text}");
        assert!(warning.position.column > 0 && warning.to_string().contains(words), "{text}\n{warning}");
    }
    for fine in [
        "sum(preco / 100)",
        "sum(preco / 2.0 % -3)",
        "sum(preco) / nullif(count(id_pedido), 0)",
        "sum(preco) / greatest(count(id_pedido), 1)",
        "CASE WHEN count(id_pedido) > 0 THEN sum(preco) / count(id_pedido) END",
        "divide_half_up(sum(preco), count(*))",
        "sum(CAST(quantidade AS DECIMAL(20, 2)))",
        "max(CAST(quantidade AS TEXT))",
        "max(CAST(timestamp AS DATE))",
        "sum(TRY_CAST(id_produto AS BIGINT))",
        "sum(arrow_cast(quantidade, 'Int64'))",
        "max(arrow_cast(id_produto, 'Utf8'))",
        "max(to_date(timestamp))",
        "max(to_timestamp('2025-05-14T00:00:00Z'))",
        "max(to_timestamp(quantidade))",
        "max(CAST(preco AS DOUBLE) / CAST(quantidade AS DOUBLE))",
    ] {
        let catalog = parse(&metric(fine)).unwrap_or_else(|errors| panic!("{fine}\n{errors}"));
        assert_eq!(catalog.warnings(), [], "{fine}");
    }
}
