//! The built-in catalog parses; every mistake is named with its place and a remedy.

use super::*;
use crate::topic::ColumnKind;
use crate::window::Window;

fn parse(text: &str) -> Result<Catalog, Diagnostics> {
    let builtin = builtin::files();
    let file = SourceFile { path: "shop.sql".into(), text: text.into() };
    Catalog::parse(&[builtin, vec![file]], &ShopSettings::default())
}

#[test]
fn the_builtin_catalog_is_whole() {
    let catalog = Catalog::load(&[], &ShopSettings::default()).unwrap_or_else(|errors| panic!("{errors}"));
    let mut names: Vec<_> = catalog.metrics.iter().map(|metric| metric.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "funil_conversao",
            "produtos_mais_vistos",
            "ticket_medio",
            "usuarios_ativos",
            "vendas_por_minuto",
            "vendas_por_produto"
        ]
    );
    let topic = catalog.topic("eventos_clientes").expect("the topic");
    assert_eq!(topic.columns[topic.event_time].name, "timestamp");
    assert_eq!(topic.event_id.map(|index| topic.columns[index].name.as_str()), Some("id_evento"));
    let price = topic.columns.iter().find(|column| column.name == "preco").expect("preco");
    assert_eq!(price.kind, ColumnKind::Decimal { precision: 18, scale: 2 });
    let currency = topic.columns.iter().find(|column| column.name == "moeda").expect("moeda");
    assert_eq!(currency.default.as_deref(), Some("'BRL'"));
    let sliding = catalog.metric("usuarios_ativos").expect("the metric").window;
    assert_eq!(sliding, Window::Fixed { size_ms: 300_000, slide_ms: 60_000 });
    let summary = catalog.endpoints.iter().find(|endpoint| endpoint.path == "/vendas/resumo").expect("the endpoint");
    assert_eq!(
        summary.parameters.iter().map(String::as_str).collect::<Vec<_>>(),
        ["ate", "categoria", "de", "limite", "moeda", "regiao"]
    );
    for metric in &catalog.metrics {
        assert!(!metric.description.is_empty(), "{} says its formula", metric.name);
    }
}

#[test]
fn a_later_folder_adds_and_replaces() {
    let catalog = parse(
        "-- Searches.\nCREATE MATERIALIZED VIEW buscas AS SELECT tumble(INTERVAL '1 day') AS janela, count(*) AS n \
         FROM eventos_clientes WHERE tipo_evento = 'busca' GROUP BY janela",
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(catalog.metrics.len(), 7);
    let metric = catalog.metric("buscas").expect("added");
    assert_eq!((metric.window, metric.description.as_str()), (Window::Days { size: 1 }, "Searches."));
    assert_eq!(
        metric.query.to_string(),
        "SELECT _pane AS janela_inicio, count(*) AS n FROM eventos_clientes WHERE tipo_evento = 'busca' GROUP BY _pane"
    );
    let catalog = parse(
        "CREATE MATERIALIZED VIEW usuarios_ativos AS SELECT tumble(INTERVAL '1 month') AS janela, count(DISTINCT \
         id_usuario) AS usuarios FROM eventos_clientes GROUP BY 1",
    );
    assert!(catalog.is_err(), "grouping by position is not supported");
}

#[test]
fn a_version_follows_the_sql_and_the_zone() {
    let sql = |interval: &str| {
        format!(
            "CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '{interval}') AS janela, count(*) AS n FROM \
             eventos_clientes GROUP BY janela"
        )
    };
    let version = |text: &str, settings: &ShopSettings| {
        parse(text).expect("valid").metric("m").expect("the metric").version(settings, 3_600_000)
    };
    let settings = ShopSettings::default();
    assert_eq!(version(&sql("1 hour"), &settings), version(&format!("-- Said.\n{}", sql("1 hour")), &settings));
    assert_ne!(version(&sql("1 hour"), &settings), version(&sql("2 hours"), &settings));
    let utc = ShopSettings { time_zone: chrono_tz::UTC, ..settings.clone() };
    assert_ne!(version(&sql("1 hour"), &settings), version(&sql("1 hour"), &utc));
}

/// Each mistake: the text, then the line, column and words of its first diagnostic.
#[test]
fn mistakes_are_named_with_their_place() {
    let metric = |body: &str| format!("CREATE MATERIALIZED VIEW m AS\n{body}");
    let cases = [
        ("SELECT 1", (1, 1), "declares nothing"),
        ("CREATE TABEL x (a TEXT)", (1, 8), "TABEL"),
        ("CREATE VIEW v AS SELECT 'unclosed", (1, 25), "Unterminated"),
        ("CREATE TABLE t (a TEXT)", (1, 14), "does not say where"),
        ("CREATE TABLE t (a TEXT) WITH (connector = 'carrier pigeon')", (1, 31), "carrier pigeon"),
        ("CREATE TABLE t (a REAL) WITH (connector = 'file')", (1, 17), "REAL"),
        ("CREATE TABLE t (_a TEXT) WITH (connector = 'file')", (1, 17), "underscore"),
        ("CREATE TABLE t (a TEXT, a TEXT) WITH (connector = 'file')", (1, 25), "twice"),
        ("CREATE TABLE t (a TEXT)\nWITH (connector = 'file', colour = 'red')", (2, 27), "colour"),
        ("CREATE TABLE t (a TEXT) WITH (connector = 'kafka')", (1, 14), "no event time"),
        ("CREATE TABLE t (a TEXT) WITH (connector = 'kafka', event_time = 'a')", (1, 52), "TIMESTAMP"),
        (
            "CREATE TABLE t (a TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 'a', idle = 'soon')",
            (1, 84),
            "soon",
        ),
        ("CREATE VIEW v WITH (path = 'Vendas') AS SELECT 1", (1, 21), "Vendas"),
        ("CREATE VIEW v AS SELECT current_setting('shop.colour')", (1, 25), "no setting"),
        (&metric("SELECT count(*) AS n FROM eventos_clientes"), (1, 26), "exactly one window"),
        (
            &metric("SELECT tumble(INTERVAL '1 minute') AS w, count(*) FROM eventos_clientes GROUP BY 1"),
            (2, 8),
            "janela",
        ),
        (
            &metric("SELECT tumble(INTERVAL '1 fortnight') AS janela FROM eventos_clientes GROUP BY janela"),
            (2, 8),
            "interval",
        ),
        (
            &metric(
                "SELECT hop(INTERVAL '5 minutes', INTERVAL '1 minute') AS janela FROM eventos_clientes GROUP BY janela",
            ),
            (2, 8),
            "slide first",
        ),
        (&metric("SELECT tumble(INTERVAL '1 minute') AS janela FROM eventos_clientes"), (1, 26), "not grouped"),
        (&metric("SELECT tumble(INTERVAL '1 minute') AS janela FROM nowhere GROUP BY janela"), (2, 51), "nowhere"),
        (
            &metric(
                "SELECT tumble(INTERVAL '1 minute') AS janela FROM eventos_clientes\nJOIN produtos ON true GROUP BY janela",
            ),
            (3, 6),
            "join",
        ),
        (
            &metric("SELECT tumble(INTERVAL '1 minute') AS janela FROM eventos_clientes GROUP BY janela LIMIT 5"),
            (1, 26),
            "LIMIT",
        ),
        (
            &metric(
                "SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM eventos_clientes WHERE janela > 0 GROUP BY janela",
            ),
            (2, 89),
            "not a column",
        ),
    ];
    for (text, (line, column), words) in cases {
        let errors = parse(text).map(|_| ()).expect_err(text).0;
        let error = &errors[0];
        let place = (error.position.line, error.position.column);
        let shown = error.to_string();
        assert_eq!(error.position.file, "shop.sql", "{text}");
        assert!(shown.contains(words), "{text}\n{shown}");
        assert_eq!(place, (line, column), "{text}\n{shown}");
        assert!(!error.remedy.is_empty(), "{text}");
    }
}
