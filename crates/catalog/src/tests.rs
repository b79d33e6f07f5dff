//! The built-in catalog parses; every mistake is named with its place and a remedy.

use super::*;
use vitral_schemas::topic::ColumnKind;
use vitral_schemas::window::Window;

pub(crate) fn parse(text: &str) -> Result<Catalog, Diagnostics> {
    let builtin = builtin::files(&[DEFAULT_DOMAIN]);
    let file = SourceFile { path: "shop.sql".into(), text: text.into() };
    Catalog::parse(&[builtin, vec![file]], &DomainSettings::default())
}

#[test]
fn the_builtin_catalog_is_whole() {
    let catalog = Catalog::load(&[], &DomainSettings::default()).unwrap_or_else(|errors| panic!("{errors}"));
    let mut names: Vec<_> = catalog.metrics.iter().map(|metric| metric.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "funil_conversao",
            "produtos_mais_vistos",
            "sessoes",
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
    assert_eq!(catalog.metrics.len(), 8);
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
    let version = |text: &str, settings: &DomainSettings| {
        parse(text).expect("valid").metric("m").expect("the metric").version(settings, 3_600_000)
    };
    let settings = DomainSettings::default();
    assert_eq!(version(&sql("1 hour"), &settings), version(&format!("-- Said.\n{}", sql("1 hour")), &settings));
    assert_ne!(version(&sql("1 hour"), &settings), version(&sql("2 hours"), &settings));
    let utc = DomainSettings { time_zone: chrono_tz::UTC, ..settings.clone() };
    assert_ne!(version(&sql("1 hour"), &settings), version(&sql("1 hour"), &utc));
}

#[test]
fn settings_have_an_earlier_name() {
    let text = |prefix: &str| {
        format!(
            "CREATE VIEW v AS SELECT current_setting('{prefix}.time_zone'), current_setting('{prefix}.currency'), \
             current_setting('{prefix}.cover_days') FROM eventos_clientes"
        )
    };
    let query = |prefix: &str| {
        let catalog = parse(&text(prefix)).expect("valid");
        catalog.views.iter().find(|view| view.name == "v").expect("the view").query.to_string()
    };
    assert_eq!(query("domain"), query("shop"));
    assert!(query("domain").contains("'America/Sao_Paulo', 'BRL', 3"), "{}", query("domain"));
}

#[test]
fn two_domains_cannot_have_the_same_name() {
    let file = |path: &str| SourceFile { path: path.into(), text: "CREATE VIEW v AS SELECT 1 AS n".into() };
    let error = Catalog::parse(&[vec![file("a/v.sql"), file("b/v.sql")]], &DomainSettings::default()).map(|_| ());
    let error = error.expect_err("twice").to_string();
    assert!(error.contains("b/v.sql") && error.contains("declared twice"), "{error}");
}

/// What calls no function that has changed keeps the version, and so the table, that it had.
#[test]
fn a_version_follows_the_functions_that_changed() {
    let version = |formula: &str| {
        let text = format!(
            "CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 hour') AS janela, {formula} AS n FROM eventos_clientes GROUP BY janela"
        );
        let catalog = parse(&text).expect("valid");
        let metric = catalog.metric("m").expect("the metric");
        (metric.version(&DomainSettings::default(), 3_600_000), metric.changed_functions())
    };
    assert_eq!(version("sum(quantidade)").1, "");
    assert_eq!(version("divide_half_up(sum(preco), count(*))").1, "");
    assert_eq!(version("1 + AVG(quantidade)").1, "avg 2;");
    assert_ne!(version("avg(quantidade)").0, version("sum(quantidade)").0);
    let builtin = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog");
    assert!(builtin.metrics.iter().all(|metric| metric.changed_functions().is_empty()));
}

/// Each mistake: the text, then the line, column and words of its first diagnostic.
#[test]
fn mistakes_are_named_with_their_place() {
    let metric = |body: &str| format!("CREATE MATERIALIZED VIEW m AS\n{body}");
    let cases = [
        ("SELECT 1", (1, 1), "is not a statement that"),
        ("-- A comment.\n\n  DROP TABLE vendas;", (3, 3), "DROP TABLE vendas ... is not a statement that"),
        ("CREATE VIEW v AS SELECT 1 AS n;\nSET x = 1;", (2, 1), "is not a statement that"),
        ("CREATE VIEW v AS SELECT 1 AS n; TRUNCATE TABLE vendas", (1, 33), "is not a statement that"),
        ("CREATE TABEL x (a TEXT)", (1, 8), "TABEL"),
        ("CREATE VIEW v AS SELECT 'unclosed", (1, 25), "Unterminated"),
        ("CREATE TABLE t (a TEXT)", (1, 14), "does not say where"),
        ("CREATE TABLE t (a TEXT) WITH (connector = 'carrier pigeon')", (1, 31), "carrier pigeon"),
        ("CREATE TABLE t (a REAL) WITH (connector = 'file')", (1, 17), "REAL"),
        ("CREATE TABLE t (_a TEXT) WITH (connector = 'file')", (1, 17), "underscore"),
        ("CREATE TABLE t (a TEXT, a TEXT) WITH (connector = 'file')", (1, 25), "twice"),
        ("CREATE TABLE t (a TEXT)\nWITH (connector = 'file', colour = 'red')", (2, 27), "colour"),
        ("CREATE TABLE t (a TEXT) WITH (connector = 'kafka')", (1, 14), "TIMESTAMP NOT NULL column"),
        ("CREATE TABLE t (a TEXT) WITH (connector = 'kafka', event_time = 'a')", (1, 52), "TIMESTAMP"),
        (
            "CREATE TABLE t (a TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 'a', idle = 'soon')",
            (1, 84),
            "soon",
        ),
        ("CREATE VIEW v WITH (path = 'Vendas') AS SELECT 1", (1, 21), "Vendas"),
        ("CREATE VIEW v AS SELECT current_setting('domain.colour')", (1, 25), "not a setting"),
        (&metric("SELECT count(*) AS n FROM eventos_clientes"), (1, 26), "a window or a key"),
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
        (
            &metric(
                "SELECT tumble(INTERVAL '1 minute') AS janela, min(timestamp) AS janela_inicio FROM eventos_clientes GROUP BY janela",
            ),
            (2, 47),
            "a metric has a column janela_inicio already",
        ),
        (
            &metric(
                "SELECT max(timestamp) AS JANELA_FIM, tumble(INTERVAL '1 minute') AS janela FROM eventos_clientes GROUP BY janela",
            ),
            (2, 8),
            "a metric has a column janela_fim already",
        ),
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

#[test]
fn names_and_paths_stay_in_their_folders() {
    let metric = "AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM eventos_clientes GROUP BY janela";
    let error = parse(&format!("CREATE MATERIALIZED VIEW \"../x\" {metric}")).expect_err("a path").to_string();
    assert!(error.contains("characters that a name cannot have"), "{error}");
    parse(&format!("CREATE MATERIALIZED VIEW \"Visões_2\" {metric}")).expect("letters and digits");
    for path in ["../secret.csv", "/etc/passwd", "a/../../b.csv"] {
        let table = format!("CREATE TABLE t (a TEXT) WITH (connector = 'file', path = '{path}')");
        let error = parse(&table).expect_err("outside").to_string();
        assert!(error.contains("leads out"), "{error}");
    }
    parse("CREATE TABLE t (a TEXT) WITH (connector = 'file', path = 'brands/t.csv')").expect("below");
}

#[test]
fn a_name_that_no_folder_can_have_is_too_long() {
    let metric = |name: &str| {
        parse(&format!(
            "CREATE MATERIALIZED VIEW {name} AS SELECT tumble(INTERVAL '1 day') AS janela, count(*) AS n FROM eventos_clientes GROUP BY janela"
        ))
    };
    assert!(metric(&"a".repeat(128)).is_ok());
    let error = metric(&"a".repeat(300)).expect_err("too long").to_string();
    assert!(error.contains("shop.sql:1:26") && error.contains("at most 128"), "{error}");
}

#[test]
fn sql_that_goes_too_deep_has_its_place_and_a_way_out() {
    let conditions = vec!["id_produto = 'p1'"; 3_000].join(" OR ");
    let error = parse(&format!("CREATE VIEW v AS SELECT id_produto FROM vendas WHERE {conditions}"));
    let error = error.expect_err("too deep").to_string();
    assert!(error.contains("shop.sql:1:") && error.contains("IN (a, b, ...)"), "{error}");
}

#[test]
fn files_of_other_editors_are_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let metric = "CREATE MATERIALIZED VIEW buscas AS SELECT tumble(INTERVAL '1 day') AS janela, count(*) AS n FROM eventos_clientes GROUP BY janela;";
    std::fs::write(dir.path().join("BUSCAS.SQL"), format!("\u{feff}{metric}")).expect("written");
    let dirs = [dir.path().to_owned()];
    let catalog = Catalog::load(&dirs, &DomainSettings::default()).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(catalog.metric("buscas").is_some());
    std::fs::write(dir.path().join("b.sql"), b"-- a\xe7\xe3o\nSELECT 1;").expect("written");
    let error = Catalog::load(&dirs, &DomainSettings::default()).expect_err("not UTF-8").to_string();
    assert!(error.contains("b.sql") && error.contains("save it as UTF-8"), "{error}");
}

#[test]
fn a_file_in_the_place_of_a_folder_says_what_to_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("v.sql");
    std::fs::write(&file, "CREATE VIEW v AS SELECT 1 AS n;").expect("written");
    let settings = DomainSettings::load(&["ecommerce".to_owned()], std::slice::from_ref(&file), &Default::default());
    let error = Catalog::load(&[file], &settings.expect("settings")).expect_err("a file").to_string();
    let folder = format!("name the folder that it is in: {}", dir.path().display());
    assert!(error.contains("v.sql: is a file") && error.contains(&folder), "{error}");
}

#[test]
fn sessions_are_grouped_by_their_first_and_last_event() {
    let catalog = parse(
        "CREATE MATERIALIZED VIEW visitas WITH (cut = 'day') AS SELECT count(*) AS n, session(INTERVAL '10 minutes', id_usuario, canal) AS janela, \
         canal FROM eventos_clientes WHERE regiao = 'SP' GROUP BY janela, id_usuario, canal",
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    let metric = catalog.metric("visitas").expect("added");
    assert_eq!(metric.window, Window::Session { gap_ms: 600_000 });
    assert_eq!(metric.session_keys, ["id_usuario", "canal"]);
    assert_eq!(
        metric.query.to_string(),
        "SELECT count(*) AS n, _pane AS janela_inicio, _last AS janela_fim, canal FROM eventos_clientes WHERE regiao = 'SP' GROUP BY _pane, \
         id_usuario, canal, _last"
    );
    let again = catalog.older_metric(&metric.definition(), &DomainSettings::default()).expect("as it was written");
    assert_eq!(again.window, metric.window);
}

#[test]
fn what_is_wrong_with_sessions_is_said() {
    let metric = |options: &str, call: &str, rest: &str| {
        format!(
            "CREATE MATERIALIZED VIEW v {options} AS SELECT {call} AS janela, count(*) AS n FROM eventos_clientes GROUP BY janela{rest}"
        )
    };
    let good = "session(INTERVAL '30 minutes', id_usuario)";
    let cases = [
        (metric("", good, ""), "does not group by"),
        (metric("", "session(INTERVAL '30 minutes')", ""), "has no key"),
        (metric("", "session()", ""), "has no gap"),
        (metric("", "session(INTERVAL '0 minutes', id_usuario)", ", id_usuario"), "not a gap"),
        (metric("", "session(INTERVAL '-5 minutes', id_usuario)", ", id_usuario"), "not an interval"),
        (metric("", "session(INTERVAL '1 day', id_usuario)", ", id_usuario"), "not a gap"),
        (metric("", "session(INTERVAL '24 hours', id_usuario)", ", id_usuario"), "not a gap"),
        (metric("", "session(INTERVAL '1 hour', upper(id_usuario))", ", id_usuario"), "not a column"),
        (metric("", "session(INTERVAL '1 hour', canal, canal)", ", canal"), "named twice"),
        (metric("WITH (cut = 'week')", good, ", id_usuario"), "cannot be cut at 'week'"),
        (metric("WITH (cut = 'day')", "tumble(INTERVAL '1 minute')", ""), "only sessions are cut"),
        (metric("", good, ", id_usuario ORDER BY n LIMIT 3"), "LIMIT cannot be used"),
        (metric("", &format!("1 + {good}"), ", id_usuario"), "exactly one window"),
    ];
    for (text, words) in cases {
        let error = parse(&text).expect_err(&text).to_string();
        assert!(error.contains(words) && error.contains("remedy: "), "{text}\n{error}");
        assert!(error.starts_with("shop.sql:1:"), "{error}");
    }
}
