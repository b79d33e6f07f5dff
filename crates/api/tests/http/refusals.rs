//! Every way to ask wrongly, and the answer that says how to ask.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value;
use vitral_api::ApiError;
use vitral_panes::view::View;

use crate::world::{Answer, World, catalog, nothing_reconciled, views, windows_view};

fn world() -> World {
    World::new(windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &[("p1", 1)])]))
}

fn problem(answer: &Answer, status: u16, code: &str, remedy: &str) {
    let path = &answer.body;
    assert_eq!(answer.status.as_u16(), status, "{path}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(body["status"], status, "{path}");
    assert_eq!(body["code"], code, "{path}");
    assert!(body["detail"].is_string() && body["title"].is_string() && body["type"] == "about:blank", "{path}");
    assert!(body["remedio"].as_str().is_some_and(|text| text.contains(remedy)), "{path}: no {remedy}");
}

#[tokio::test]
async fn wrong_parameters() {
    let world = world();
    let cases = [
        ("/vendas/resumo?limite=0", "invalid_parameter", "limite as a whole number from 1 to 1000"),
        ("/vendas/resumo?limite=1001", "invalid_parameter", "limite as a whole number from 1 to 1000"),
        ("/vendas/resumo?limite=dez", "invalid_parameter", "or leave it out for 100"),
        ("/produtos/mais_vistos?limite=", "invalid_parameter", "or leave it out for 5"),
        ("/vendas/resumo?regiao=%ff", "invalid_parameter", "encode parameters as UTF-8"),
        ("/vendas/resumo?regiao=SP%00", "invalid_parameter", "without the character NUL"),
        ("/vendas/resumo?de=ontem", "invalid_parameter", "give de with date, time and offset"),
        ("/vendas/resumo?ate=2025-05-14", "invalid_parameter", "give ate with date, time and offset"),
        ("/vendas/resumo?de=2025-05-14T22:16:00", "invalid_parameter", "give de with date, time and offset"),
        (
            "/vendas/resumo?de=2025-05-15T00:00:00Z&ate=2025-05-15T00:00:00Z",
            "invalid_parameter",
            "de that is earlier than ate",
        ),
        (
            "/vendas/resumo?canal=app",
            "unknown_parameter",
            "this address takes ate, categoria, de, limite, moeda, regiao, cursor",
        ),
        ("/vendas/resumo?cursor=x", "invalid_cursor", "Link header"),
        ("/produtos/mais_vistos?cursor=W10", "invalid_cursor", "start with the first page"),
        ("/produtos/mais_vistos?agora=2025-05-15T00:00:00Z", "unknown_parameter", "this address takes limite, cursor"),
        ("/vendas/resumo?regiao=Sul&regiao=Norte", "repeated_parameter", "give regiao once"),
        ("/metricas?limite=0", "invalid_parameter", "limite as a whole number from 1 to 1000"),
        ("/metricas/produtos_mais_vistos?limite=0", "invalid_parameter", "limite as a whole number from 1 to 1000"),
        ("/metricas/produtos_mais_vistos?de=x", "invalid_parameter", "give de"),
        (
            "/metricas/produtos_mais_vistos?de=2025-05-15T00:00:00Z&ate=2025-05-14T00:00:00Z",
            "invalid_parameter",
            "earlier than ate",
        ),
        (
            "/metricas/produtos_mais_vistos?categoria=livros",
            "unknown_parameter",
            "takes de, ate, limite, cursor, id_produto",
        ),
        ("/metricas/produtos_mais_vistos?visualizacoes=1", "unknown_parameter", "remove visualizacoes"),
        ("/metricas/produtos_mais_vistos?cursor=abc", "invalid_cursor", "Link header"),
        ("/metricas/produtos_mais_vistos?cursor=", "invalid_cursor", "Link header"),
        ("/metricas/produtos_mais_vistos/ao_vivo?limite=1", "unknown_parameter", "takes no parameters"),
    ];
    for (path, code, remedy) in cases {
        problem(&world.get(path).await, 400, code, remedy);
    }
}

/// Of a value that can never be found, an empty answer would say that there is nothing.
#[tokio::test]
async fn values_outside_a_closed_set() {
    let world = world();
    let cases = [
        ("/livro?veredito=x", "veredito as one of duplicada, atrasada, recusada, vazia, nao_entregue"),
        ("/livro?veredito=contada", "veredito as one of duplicada"),
        ("/livro?veredito=Recusada", "veredito as one of duplicada"),
        ("/livro?veredito=", "veredito as one of duplicada"),
        ("/livro?motivo=timeout", "json, campo_ausente, tipo, tempo, futuro, tamanho, valor, pulado, log_novo, linha"),
        ("/livro?topico=eventos", "topico as one of eventos_clientes"),
        ("/livro?particao=x", "particao as a whole number"),
        ("/livro?particao=2147483648", "particao as a whole number within its bounds"),
        ("/livro?deslocamento=1.5", "deslocamento as a whole number"),
        ("/reconciliacao?veredito=recusada", "veredito as one of igual, diferente, falha"),
        ("/reconciliacao?metrica=vendas_por_minutos", "vendas_por_minuto, vendas_por_produto"),
        ("/alertas?estado=pendentes", "estado as one of pendente, disparado, resolvido, falha"),
        ("/alertas?severidade=alta", "severidade as one of info, warning, critical"),
        ("/alertas?alerta=nada", "marca_dagua_parada"),
        ("/vendas/resumo?moeda=BRLX", "a currency of three letters"),
        ("/produtos/mais_vendidos?moeda=R%24", "a currency of three letters"),
        ("/metricas/produtos_mais_vistos?moeda=BRLX", "takes de, ate, limite, cursor, id_produto"),
    ];
    for (path, remedy) in cases {
        let code = if path.starts_with("/metricas") { "unknown_parameter" } else { "invalid_parameter" };
        problem(&world.get(path).await, 400, code, remedy);
    }
}

/// What an endpoint casts is read before anything is computed, as far as possible; else when the
/// query fails.
#[tokio::test]
async fn texts_that_a_cast_cannot_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let sql = "
        CREATE VIEW a WITH (path = '/a') AS
            SELECT id_produto FROM vendas WHERE quantidade >= CAST($n AS BIGINT) AND data = $dia::DATE;
        CREATE VIEW b WITH (path = '/b') AS SELECT CAST(nullif($n, '') AS BIGINT) + CAST($d AS DECIMAL(4, 2)) AS soma;
        CREATE VIEW c WITH (path = '/c') AS SELECT CASE WHEN $n = 'x' THEN 0 ELSE CAST($n AS INTEGER) END AS n;
        CREATE VIEW d WITH (path = '/d') AS SELECT TRY_CAST($n AS INTEGER) AS n;";
    std::fs::write(dir.path().join("casts.sql"), sql).expect("written");
    let world = World::with(windows_view(Vec::new(), Vec::new()), catalog(Some(dir.path())), |_| {});
    for (path, remedy) in [
        ("/a?n=abc", "give n as a whole number"),
        ("/a?n=", "give n as a whole number"),
        ("/a?n=1&dia=ontem", "give dia as a value of type DATE"),
        ("/b?d=123.45", "give d as a value of type DECIMAL(4,2)"),
        ("/b?n=abc&d=1", "give n in the type that the statement expects"),
        ("/c?n=abc", "give n in the type that the statement expects"),
    ] {
        problem(&world.get(path).await, 400, "invalid_parameter", remedy);
    }
    assert_eq!(world.body("/a?n=1&dia=2025-05-14").await, "[]");
    assert_eq!(world.body("/b?n=&d=1").await, r#"[{"soma":null}]"#);
    assert_eq!(world.body("/c?n=7").await, r#"[{"n":7}]"#);
    assert_eq!(world.body("/d?n=x").await, r#"[{"n":null}]"#);
}

#[tokio::test]
async fn what_takes_no_parameters_says_so() {
    let world = world();
    for path in ["/healthz", "/readyz", "/metrics"] {
        problem(&world.get(&format!("{path}?x=1")).await, 400, "unknown_parameter", "takes no parameters");
        assert_eq!(world.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn wrong_addresses_and_methods() {
    let world = world();
    for path in [
        "/nada",
        "/vendas",
        "/vendas/resumo/",
        "/assets/nada.js",
        "/assets/../Cargo.toml",
        "/metricas/produtos_mais_vistos/nada",
    ] {
        problem(&world.get(path).await, 404, "not_found", "GET /metricas");
    }
    problem(&world.get("/vendas").await, 404, "not_found", "/vendas/resumo");
    for path in ["/metricas/nada", "/metricas/nada/ao_vivo"] {
        problem(&world.get(path).await, 404, "unknown_metric", "produtos_mais_vistos");
    }
    problem(&world.get("/metricas/%FF").await, 404, "not_found", "GET /metricas");
    for path in ["/vendas/resumo", "/metricas", "/healthz", "/"] {
        let answer = world.ask(Request::post(path).body(Body::from("{}")).expect("a request")).await;
        problem(&answer, 405, "method_not_allowed", "Allow header");
        assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{path}");
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let request = Request::get("/healthz").header("content-length", "65537").body(Body::from(vec![b' '; 65_537]));
    problem(&world().ask(request.expect("a request")).await, 413, "body_too_large", "at most 65536 bytes");
}

#[tokio::test]
async fn before_recovery_and_without_a_feed() {
    let world = World::new(View::default());
    for path in
        ["/vendas/resumo", "/metricas", "/metricas/produtos_mais_vistos", "/metricas/produtos_mais_vistos/ao_vivo"]
    {
        let answer = world.get(path).await;
        problem(&answer, 503, "starting", "/readyz");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    world.show(View { ready: true, ..View::default() });
    for path in ["/vendas/resumo", "/metricas/ticket_medio", "/metricas/ticket_medio/ao_vivo"] {
        problem(&world.get(path).await, 503, "unavailable", "ask again");
    }
    assert_eq!(world.body("/metricas").await, "[]");
}

/// A topic that does not exist yet, or whose broker is away, is the only one without answers.
#[tokio::test]
async fn a_topic_that_waits_says_so() {
    let reason = "topic eventos_clientes does not exist in Kafka yet";
    let waiting = [("eventos_clientes".to_owned(), reason.to_owned())];
    let world = World::new(View { ready: true, topics_waiting: waiting.clone().into(), ..View::default() });
    for path in ["/vendas/resumo", "/metricas/ticket_medio", "/metricas/ticket_medio/ao_vivo"] {
        problem(&world.get(path).await, 503, "topic_waiting", "create the topic");
    }
    // What earlier runs have archived of it is served.
    let earlier = windows_view(vec![views("2025-05-14T22:30:00Z", &[("p1", 1)])], Vec::new());
    world.show(View { topics_waiting: waiting.into(), ..earlier });
    assert_eq!(world.get("/metricas/produtos_mais_vistos").await.status, 200);
    assert_eq!(world.get("/vendas/resumo").await.status, 200);
}

#[tokio::test]
async fn queries_are_bounded() {
    let view = || windows_view((0..10).map(|_| views("2025-05-14T22:30:00Z", &[("p1", 1)])).collect(), Vec::new());
    let dir = tempfile::tempdir().expect("a folder");
    let sql = "CREATE VIEW lenta WITH (path = '/lenta') AS SELECT sum(value % 7) AS n FROM range(1, 1000000000000);";
    std::fs::write(dir.path().join("lenta.sql"), sql).expect("written");
    let world =
        World::with(view(), catalog(Some(dir.path())), |config| config.limits.timeout = Duration::from_millis(50));
    problem(&world.get("/lenta").await, 503, "query_timeout", "shorter period");
    let world = World::with(view(), catalog(None), |config| config.limits.memory_bytes = 16);
    problem(&world.get("/metricas/produtos_mais_vistos").await, 503, "query_memory", "shorter period");
}

/// A query that fails inside says nothing of its inside.
#[tokio::test]
async fn internal_errors_stay_inside() {
    let dir = tempfile::tempdir().expect("a folder");
    let sql = "CREATE VIEW quebra WITH (path = '/quebra') AS SELECT 1 / (count(*) - count(*)) AS x FROM produtos_mais_vistos;";
    std::fs::write(dir.path().join("quebra.sql"), sql).expect("written");
    let world = World::with(windows_view(Vec::new(), Vec::new()), catalog(Some(dir.path())), |_| {});
    let answer = world.get("/quebra").await;
    problem(&answer, 500, "internal", "X-Correlation-Id");
    assert!(!answer.body.contains("ivide") && !answer.body.contains("quebra"), "{}", answer.body);
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
}

/// Wrong catalogs stop the start, with the place and the remedy.
#[test]
fn wrong_catalogs() {
    let cases = [
        ("CREATE VIEW x WITH (path = '/metricas/x') AS SELECT 1 AS x;", "reserved for the API"),
        ("CREATE VIEW x WITH (path = '/avisos') AS SELECT 1 AS x;", "reserved for the API"),
        ("CREATE VIEW x WITH (path = '/x') AS SELECT presso FROM vendas;", "presso"),
        ("CREATE VIEW x WITH (path = '/x') AS SELECT sum(regiao) AS n FROM vendas WHERE quantidade > $limite;", "sum"),
        ("CREATE TABLE livro (a TEXT) WITH (connector = 'file');", "livro is a table of the engine"),
        ("CREATE VIEW x WITH (path = '/x') AS SELECT * FROM nada;", "there is no table nada"),
        ("CREATE VIEW x WITH (path = '/x', limite = 0) AS SELECT 1 AS x;", "limite = 0 is out of range"),
    ];
    for (sql, message) in cases {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("x.sql"), sql).expect("written");
        let catalog = catalog(Some(dir.path()));
        let mut registry = prometheus_client::registry::Registry::default();
        let telemetry = vitral_api::Telemetry::register(&mut registry);
        let (_sender, view) = tokio::sync::watch::channel(Default::default());
        let (_, reconciliations) = tokio::sync::watch::channel(nothing_reconciled());
        let inputs = vitral_api::ApiInputs {
            catalog: catalog.into(),
            view,
            reconciliations,
            histories: tokio::sync::watch::channel(Default::default()).1,
            clock: std::sync::Arc::new(vitral_schemas::time::SystemClock),
            registry: registry.into(),
            telemetry,
            shutdown: Default::default(),
        };
        let config = vitral_api::ApiConfig::new(Default::default(), dir.path().to_owned());
        match vitral_api::router(config, inputs) {
            Err(ApiError::Catalog(errors)) => {
                let text = errors.to_string();
                assert!(text.contains(message) && text.contains("x.sql:1"), "{text}");
            }
            other => panic!("{sql}: {:?}", other.map(|_| ())),
        }
    }
}
