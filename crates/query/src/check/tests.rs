use vitral_catalog::{SourceFile, builtin_files};

use super::*;

/// The errors of files over the built-in catalog.
fn errors(files: &[(&str, &str)]) -> String {
    let files = files.iter().map(|(path, text)| SourceFile { path: (*path).into(), text: (*text).into() });
    let settings = DomainSettings::default();
    let catalog = Catalog::parse(&[builtin_files(&settings.domains), files.collect()], &settings).expect("a catalog");
    let errors = served_errors(&Arc::new(catalog), &settings).expect("an engine");
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_built_in_catalog_can_be_served() {
    assert_eq!(errors(&[]), "");
}

#[test]
fn a_misspelt_column_has_its_place_in_endpoints_views_and_metrics() {
    let endpoint = errors(&[(
        "e.sql",
        "CREATE VIEW e WITH (path = '/e') AS\nSELECT id_produto, presso FROM vendas LIMIT $limite;",
    )]);
    assert!(endpoint.contains("e.sql:2:20: ") && endpoint.contains("presso"), "{endpoint}");
    let view = errors(&[("v.sql", "CREATE VIEW v AS\nSELECT quantidad FROM vendas;")]);
    assert!(view.contains("v.sql:2:8: ") && view.contains("quantidad"), "{view}");
    let metric = errors(&[(
        "m.sql",
        "CREATE MATERIALIZED VIEW m AS\nSELECT tumble(INTERVAL '1 minute') AS janela,\nsum(valor) AS v FROM eventos_clientes GROUP BY janela;",
    )]);
    assert!(metric.contains("m.sql:3:5: ") && metric.contains("valor"), "{metric}");
}

#[test]
fn every_error_of_every_file_is_found_at_once_and_each_once() {
    let found = errors(&[
        ("a.sql", "CREATE VIEW a AS SELECT nada FROM vendas;\nCREATE VIEW b AS SELECT * FROM a;"),
        ("b.sql", "CREATE VIEW e WITH (path = '/e') AS SELECT * FROM b;"),
        ("c.sql", "CREATE VIEW f WITH (path = '/f') AS SELECT id_produto > 5 + INTERVAL '1 day' AS x FROM vendas;"),
        ("d.sql", "CREATE VIEW g WITH (path = '/g') AS SELECT soma(valor) AS x FROM vendas;"),
        ("e.sql", "CREATE VIEW h AS SELECT * FROM h2; CREATE VIEW h2 AS SELECT * FROM h;"),
        ("f.sql", "CREATE VIEW vendas_por_minuto AS SELECT * FROM vendas;"),
    ]);
    assert_eq!(found.matches("a.sql:1:25: ").count(), 1, "{found}");
    for place in ["c.sql:1:", "d.sql:1:", "e.sql:1:", "f.sql:1:13: "] {
        assert!(found.contains(place), "{place}: {found}");
    }
    // What depends on a wrong view is not wrong itself.
    assert!(!found.contains("b.sql"), "{found}");
}

#[test]
fn a_sum_begins_again_where_a_condition_holds() {
    let table = |condition: &str| {
        errors(&[(
            "t.sql",
            &format!(
                "CREATE MATERIALIZED VIEW t AS SELECT id_usuario,\nsum_since(valor_total, {condition}) AS n FROM eventos_clientes GROUP BY id_usuario;"
            ),
        )])
    };
    assert_eq!(table("quantidade > 1"), "");
    let found = table("quantidade");
    assert!(found.contains("t.sql:2:1: table t: the sum begins again where Int64 is true"), "{found}");
    assert!(found.contains("remedy: write a condition"), "{found}");
}

#[test]
fn an_aggregate_is_filtered_by_a_condition() {
    let table = |columns: &str| {
        let sql = format!(
            "CREATE MATERIALIZED VIEW t AS SELECT id_usuario,\n{columns} FROM eventos_clientes GROUP BY id_usuario;"
        );
        errors(&[("t.sql", &sql)])
    };
    let metric = |window: &str, columns: &str| {
        let sql = format!(
            "CREATE MATERIALIZED VIEW m AS SELECT {window} AS janela, id_usuario,\n{columns} FROM eventos_clientes GROUP BY janela, id_usuario;"
        );
        errors(&[("t.sql", &sql)])
    };
    let windows = ["tumble(INTERVAL '1 hour')", "session(INTERVAL '1 hour', id_usuario)"];
    let conditions = "count(*) FILTER (WHERE quantidade > 1 AND tipo_evento = 'compra') AS n";
    assert_eq!(table(conditions), "");
    assert_eq!(table("latest(moeda) FILTER (WHERE quantidade > 1) AS n"), "");
    for aggregate in ["count(*)", "latest(moeda)", "count(DISTINCT moeda)", "sum_since(quantidade, quantidade > 1)"] {
        for condition in ["quantidade", "quantidade > 1 AND quantidade", "quantidade + 1"] {
            let found = table(&format!("{aggregate} FILTER (WHERE {condition}) AS n"));
            assert!(found.contains("t.sql:2:") && found.contains("table t: FILTER is Int64, which is not"), "{found}");
            assert!(found.contains("remedy: write a comparison"), "{found}");
        }
    }
    for window in windows {
        assert_eq!(metric(window, conditions), "");
        for aggregate in ["count(*)", "sum(quantidade)"] {
            let found = metric(window, &format!("{aggregate} FILTER (WHERE quantidade) AS n"));
            assert!(found.contains("t.sql:2:") && found.contains("metric m: FILTER is Int64, which is not"), "{found}");
        }
    }
}

#[test]
fn paths_of_the_engine_are_its_own() {
    for first in ENGINE_PATHS {
        let found = errors(&[("p.sql", &format!("CREATE VIEW p WITH (path = '/{first}') AS SELECT 1 AS x;"))]);
        assert!(found.contains("p.sql:1:13: ") && found.contains("reserved for the API"), "{found}");
    }
    let settings = DomainSettings::default();
    for path in ["/livro", "/reconciliacao", "/alertas"] {
        let text = format!("CREATE VIEW p WITH (path = '{path}') AS SELECT 1 AS x;");
        let file = SourceFile { path: "p.sql".into(), text };
        let refused =
            Catalog::parse(&[builtin_files(&settings.domains), vec![file]], &settings).expect_err(path).to_string();
        assert!(refused.contains("p.sql:1:13: ") && refused.contains("reserved for the engine"), "{refused}");
    }
    // The shop's endpoints may be replaced.
    assert_eq!(errors(&[("p.sql", "CREATE VIEW vendas_resumo WITH (path = '/vendas/resumo') AS SELECT 1 AS x;")]), "");
}

#[test]
fn expressions_of_topics_are_planned() {
    let found = errors(&[(
        "t.sql",
        "CREATE TABLE t (quando TIMESTAMP NOT NULL, n BIGINT CHECK (m > 0)) WITH (connector = 'kafka', event_time = 'quando');",
    )]);
    assert!(found.contains("t.sql:1:14: ") && found.contains("CHECK of column n"), "{found}");
    let found = errors(&[(
        "t.sql",
        "CREATE TABLE t (quando TIMESTAMP NOT NULL, n BIGINT CHECK (n)) WITH (connector = 'kafka', event_time = 'quando');",
    )]);
    assert!(found.contains("t.sql:1:14: ") && found.contains("n is BIGINT, which is not a condition"), "{found}");
}

#[test]
fn what_an_import_sums_up_must_be_a_number_of_the_view() {
    let view = |sums: &str| {
        let text = format!(
            "CREATE VIEW v WITH (import = '', import_sums = '{sums}') AS SELECT quantidade, regiao FROM eventos_clientes WHERE tipo_evento = 'compra';"
        );
        errors(&[("v.sql", &text)])
    };
    assert_eq!(view("quantidade"), "");
    assert!(view("valor").contains("v has no column valor"), "{}", view("valor"));
    assert!(view("regiao").contains("regiao is Utf8"), "{}", view("regiao"));
}

#[test]
fn rows_that_could_not_be_answered_are_errors_of_their_metric() {
    let metric = |select: &str, end: &str| {
        let text = format!(
            "CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 minute') AS janela, {select} FROM eventos_clientes GROUP BY janela{end};"
        );
        errors(&[("m.sql", &text)])
    };
    let order = metric("count(*) AS n", " ORDER BY nope");
    assert!(order.contains("m.sql:1:") && order.contains("ORDER BY nope"), "{order}");
    let taken = metric("count(*) AS provisoria", "");
    assert!(taken.contains("m.sql:1:") && taken.contains("column provisoria"), "{taken}");
    assert_eq!(metric("count(*) AS n", " ORDER BY n DESC"), "");
    assert_eq!(metric("count(*) AS Pedidos", " ORDER BY PEDIDOS"), "", "whatever its case");
}

#[test]
fn the_key_of_an_alert_is_among_its_rows() {
    let missing =
        errors(&[("a.sql", "CREATE VIEW a\nWITH (alert = 'produto') AS SELECT id_produto, preco FROM vendas;")]);
    assert!(missing.contains("a.sql:2:7: alert a: its rows have no column produto"), "{missing}");
    assert!(missing.contains("name one of its columns: id_produto, preco"), "{missing}");
    let float =
        errors(&[("a.sql", "CREATE VIEW a WITH (alert = 'x') AS SELECT CAST(preco AS DOUBLE) AS x FROM vendas;")]);
    assert!(float.contains("which cannot tell rows apart"), "{float}");
    let sound =
        "CREATE VIEW a WITH (alert = 'id_produto, regiao') AS SELECT id_produto, regiao FROM vendas WHERE preco < 0;";
    assert_eq!(errors(&[("a.sql", sound)]), "");
}

#[test]
fn a_sink_has_a_key_among_its_rows_and_columns_that_can_be_copied() {
    let sink = |key: &str, columns: &str| {
        let text = format!("CREATE VIEW a\nWITH (connector = 'kafka', key = '{key}') AS SELECT {columns} FROM vendas;");
        errors(&[("a.sql", text.as_str())])
    };
    let missing = sink("produto", "id_produto, preco");
    assert!(
        missing.contains("a.sql:2:7: sink a: its rows have no column produto")
            || missing.contains("a.sql:2:28: sink a: its rows have no column produto"),
        "{missing}"
    );
    assert!(missing.contains("name one of its columns: id_produto, preco"), "{missing}");
    assert!(sink("x", "CAST(preco AS DOUBLE) AS x").contains("which cannot tell rows apart"));
    assert!(sink("x", "NULL AS x").contains("is always null"));
    assert!(sink("id_produto", "id_produto, id_produto AS _epoch").contains("_epoch is a column of every copy"));
    assert!(sink("id_produto", "id_produto, make_array(preco) AS x").contains("column x is List"));
    assert!(sink("id_produto", "id_produto, sumido").contains("sumido"), "a column that is missing");
    assert_eq!(sink("id_produto, regiao", "id_produto, regiao, preco"), "");
}

#[test]
fn what_reads_a_table_of_a_job_is_planned_with_the_columns_of_its_statement() {
    let endpoint = |column: &str| {
        let text = format!(
            "CREATE VIEW meses WITH (path = '/meses') AS\nSELECT mes, {column} FROM armazem.receita_mensal LIMIT $limite;"
        );
        errors(&[("meses.sql", &text)])
    };
    assert_eq!(endpoint("receita"), "");
    let wrong = endpoint("receitas");
    assert!(wrong.contains("meses.sql:2:13: ") && wrong.contains("receitas"), "{wrong}");
    // A job that reads what only jobs have: its columns are not known here.
    let origin = "CREATE TABLE origens WITH (connector = 'warehouse', date = 'dia') AS \
                  SELECT CAST(timestamp AS DATE) AS dia, _origem FROM eventos_clientes;\n\
                  CREATE VIEW o WITH (path = '/o') AS SELECT nada FROM armazem.origens LIMIT $limite;";
    assert_eq!(errors(&[("o.sql", origin)]), "");
}

#[test]
fn nothing_that_follows_commits_reads_tables_of_jobs() {
    let alert = errors(&[(
        "a.sql",
        "CREATE VIEW v AS SELECT * FROM armazem.receita_mensal;\n\
         CREATE VIEW a WITH (alert = 'moeda') AS SELECT moeda FROM v WHERE receita < 1;",
    )]);
    assert!(alert.contains("alert a reads armazem.receita_mensal, which a job writes"), "{alert}");
}
