//! The API's description of itself, held against what the API does.

mod schemas;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use self::schemas::{resolved, wrong};
use crate::world::{SALE, Windows, World, archived, built_in, topic_view, view_of, views, whole_catalog};

/// Pages for browsers, their files, and what processes tell each other.
const NOT_DESCRIBED: [&str; 3] = ["/", "/assets/{*path}", "/docs/{versao}/{arquivo}"];
/// The sources in which routes are written down by their paths.
const SOURCES: [&str; 3] =
    [include_str!("../../src/router.rs"), include_str!("../../src/docs_page.rs"), include_str!("../../src/sign_in.rs")];

fn shop() -> World {
    let topic = built_in().topic("eventos_clientes").expect("the topic");
    let windows = Windows {
        published: vec![views("2025-05-14T22:00:00Z", &[("p1", 4)])],
        open: vec![views("2025-05-14T22:30:00Z", &[("p1", 2), ("p2", 1)])],
    };
    let events = topic_view(vec![archived(topic, &[SALE], "contada")], Vec::new());
    World::with(view_of(events, windows), whole_catalog(None), |_| {})
}

async fn description(world: &World) -> Value {
    world.json("/openapi.json").await
}

/// Every operation, with its method and its path.
fn operations(description: &Value) -> Vec<(Method, &str, &Value)> {
    let paths = description["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("an item").iter();
        methods.map(move |(method, operation)| {
            (method.to_uppercase().parse::<Method>().expect("a method"), path.as_str(), operation)
        })
    });
    all.collect()
}

/// A path with something for each of its parameters.
fn filled(path: &str) -> String {
    path.replace("{nome}", "produtos_mais_vistos").replace("{alerta}", "marca_dagua_parada").replace("{id}", "o1")
}

/// A value that a parameter takes by its schema.
fn sample(schema: &Value) -> String {
    if let Some(first) = schema["enum"].get(0).and_then(Value::as_str) {
        return first.to_owned();
    }
    match (schema["type"].as_str(), schema["format"].as_str(), schema["pattern"].as_str()) {
        (Some("integer"), ..) => schema["minimum"].as_i64().unwrap_or_default().to_string(),
        (_, Some("date-time"), _) => "2025-05-14T22%3A00%3A00Z".to_owned(),
        (.., Some(_)) => "brl".to_owned(),
        _ => "p1".to_owned(),
    }
}

/// The status and the type alone: live streams have no end.
async fn head(world: &World, method: Method, path: &str, body: &str) -> (StatusCode, String, Body) {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    let request = request.header("content-type", "application/json").body(Body::from(body.to_owned()));
    let response = world.router.clone().oneshot(request.expect("a request")).await.expect("an answer");
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().expect("a text").to_owned());
    (response.status(), kind.unwrap_or_default(), response.into_body())
}

#[tokio::test]
async fn it_is_whole() {
    let world = shop();
    let found = description(&world).await;
    assert_eq!(found["openapi"], "3.1.0");
    assert_eq!(found["info"]["license"]["identifier"], "Apache-2.0");
    assert!(found["servers"][0]["url"].is_string() && found["security"].is_array());
    let tags: BTreeSet<_> = found["tags"].as_array().expect("tags").iter().map(|tag| tag["name"].as_str()).collect();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&found) {
        assert!(ids.insert(operation["operationId"].as_str().expect("an id")), "{method} {path}");
        assert!(tags.contains(&operation["tags"][0].as_str()), "{method} {path}");
        for text in ["summary", "description"] {
            assert!(operation[text].as_str().is_some_and(|text| text.len() > 3), "{method} {path} has no {text}");
        }
        let responses = operation["responses"].as_object().expect("responses");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
        assert!(responses.keys().any(|status| status.starts_with('4')), "{method} {path}");
    }
    let mut used = BTreeSet::new();
    references(&found, &mut used);
    for reference in &used {
        assert!(!resolved(&found, &json!({ "$ref": reference })).is_null(), "{reference} leads nowhere");
    }
    for kind in ["schemas", "responses", "headers"] {
        for name in found["components"][kind].as_object().expect("components").keys() {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "{kind} {name} is not used");
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_is_in_it() {
    let found = description(&shop()).await;
    let described: BTreeSet<_> = operations(&found).into_iter().map(|(_, path, _)| path).collect();
    let routes = SOURCES.iter().flat_map(|source| source.split(".route(\"").skip(1));
    let routes: Vec<_> = routes.filter_map(|rest| rest.split('"').next()).collect();
    assert!(routes.len() > 10, "{routes:?}");
    for route in routes.iter().filter(|route| !NOT_DESCRIBED.contains(route)) {
        assert!(described.contains(route), "{route} is not described");
    }
    let catalog = built_in();
    for endpoint in &catalog.endpoints {
        assert!(described.contains(endpoint.path.as_str()), "{} is not described", endpoint.path);
    }
    let names = catalog.metrics.iter().map(|metric| &metric.name);
    for name in names.chain(catalog.keyed.iter().map(|keyed| &keyed.name)) {
        for path in [format!("/metricas/{name}"), format!("/metricas/{name}/ao_vivo")] {
            assert!(described.contains(path.as_str()), "{path} is not described");
        }
    }
    for (_, entrance) in catalog.entrances() {
        assert!(described.contains(entrance.path.as_str()), "{} is not described", entrance.path);
    }
}

#[tokio::test]
async fn every_path_answers_as_it_says() {
    let world = shop();
    let found = description(&world).await;
    for (method, path, operation) in operations(&found) {
        let (status, kind, body) = head(&world, method.clone(), &filled(path), "{}").await;
        let responses = &operation["responses"];
        let described = &responses[status.as_str()];
        assert!(!described.is_null(), "{method} {path}: {status} is not described");
        if status == StatusCode::NOT_FOUND {
            // Something answers, and knows no such id.
            let text = to_bytes(body, usize::MAX).await.expect("a body");
            assert!(!String::from_utf8_lossy(&text).contains("use one of /"), "{method} {path}: {text:?}");
        }
        if !kind.is_empty() {
            let kinds = resolved(&found, described)["content"].as_object().expect("content");
            let plain = kind.split(';').next().unwrap_or_default();
            assert!(kinds.contains_key(plain), "{method} {path}: {status} {kind} is not described");
        }
        let other = if method == Method::GET { Method::DELETE } else { Method::PUT };
        let request = Request::builder().method(other).uri(filled(path)).body(Body::empty()).expect("a request");
        let refused = world.ask(request).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(refused.header("allow").is_some(), "{path} does not say what is allowed");
    }
}

#[tokio::test]
async fn every_parameter_is_taken() {
    let world = shop();
    let found = description(&world).await;
    let mut taken = 0;
    // What a provider of identities sends back is known to it alone.
    let is_asked = |(method, path, _): &(Method, &str, &Value)| *method == Method::GET && !path.starts_with("/entrar");
    for (_, path, operation) in operations(&found).into_iter().filter(is_asked) {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let named: BTreeMap<_, _> = parameters
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| (parameter["name"].as_str().expect("a name"), &parameter["schema"]))
            .collect();
        // Where a cursor leads is known by a page before.
        for (name, schema) in named.iter().filter(|(name, _)| **name != "cursor") {
            let asked = format!("{}?{name}={}", filled(path), sample(schema));
            let (status, ..) = head(&world, Method::GET, &asked, "").await;
            assert_ne!(status, StatusCode::BAD_REQUEST, "{asked}");
            taken += 1;
        }
        let (status, ..) = head(&world, Method::GET, &format!("{}?nada=1", filled(path)), "").await;
        let is_refused =
            [StatusCode::BAD_REQUEST, StatusCode::SERVICE_UNAVAILABLE, StatusCode::SEE_OTHER, StatusCode::NOT_FOUND];
        assert!(is_refused.contains(&status), "{path} takes a parameter that it does not know: {status}");
    }
    assert!(taken > 40, "{taken}");
}

#[tokio::test]
async fn answers_are_what_it_says() {
    let world = shop();
    std::fs::write(world.files.path().join("produtos.csv"), "id_produto,nome\np1,Caneca\n").expect("written");
    let found = description(&world).await;
    let mut seen = 0;
    for (_, path, operation) in operations(&found).into_iter().filter(|(method, ..)| *method == Method::GET) {
        let (status, kind, body) = head(&world, Method::GET, &filled(path), "").await;
        let response = resolved(&found, &operation["responses"][status.as_str()]);
        let schema = &response["content"][kind.as_str()]["schema"];
        if !kind.ends_with("json") || schema.is_null() {
            continue;
        }
        let text = to_bytes(body, usize::MAX).await.expect("a body");
        let value: Value = serde_json::from_slice(&text).expect("JSON");
        let faults = wrong(&found, schema, &value, "");
        assert!(faults.is_empty(), "{path} {status}: {faults:?} in {}", String::from_utf8_lossy(&text));
        seen += usize::from(status == StatusCode::OK);
    }
    assert!(seen > 10, "{seen}");
    // What is described is not just anything.
    let row = &found["components"]["schemas"]["Linha_vendas_resumo"];
    let good = json!({ "id_produto": "p1", "nome": null, "total_vendido": 1, "receita": 10.05, "pedidos": 1 });
    assert_eq!(wrong(&found, row, &good, ""), Vec::<String>::new());
    for (name, value) in [("receita", json!(10.055)), ("total_vendido", json!("1")), ("nome", json!(1))] {
        let mut bad = good.clone();
        bad[name] = value;
        assert_eq!(wrong(&found, row, &bad, "").len(), 1, "{bad}");
    }
}

#[tokio::test]
async fn the_description_is_the_one_in_docs() {
    let text = shop().body("/openapi.json").await;
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("VITRAL_WRITE_OPENAPI").is_some() {
        std::fs::write(&kept, &text).expect("written");
    }
    let known = std::fs::read_to_string(&kept).unwrap_or_default();
    assert!(known == text, "docs/openapi.json is not what the API says of itself; `just api-write` writes it again");
}

#[tokio::test]
async fn the_page_asks_nobody_else() {
    let world = shop();
    let page = world.get("/docs").await;
    assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    let files: Vec<_> = page.body.split('"').filter(|part| part.starts_with("/docs/")).collect();
    assert_eq!(files.len(), 7, "{}", page.body);
    for file in &files {
        let answer = world.get(file).await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    }
    assert_eq!(world.get("/docs/0/swagger-ui.css").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.get("/docs/../openapi.json").await.status, StatusCode::NOT_FOUND);
}
