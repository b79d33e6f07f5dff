//! Messages that are posted: what is sent to the broker, what is refused, and what is said of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use vitral_access::NewKey;
use vitral_connect::memory::{MemoryBroker, MemoryMessage};
use vitral_query::RowFilters;
use vitral_schemas::position::PartitionId;

use crate::keyed::{JSON, Keyed, bearer};
use crate::world::{Answer, World, whole_catalog, windows_view};

const EVENTS: &str = "eventos_clientes";

pub(crate) struct Shop {
    world: World,
    broker: MemoryBroker,
}

fn broker() -> MemoryBroker {
    let broker = MemoryBroker::new();
    broker.create_topic(EVENTS, 3);
    broker.create_topic("atualizacoes_estoque", 1);
    broker
}

/// Every message of a topic, partition by partition.
fn messages(broker: &MemoryBroker, topic: &str) -> Vec<MemoryMessage> {
    let partitions = 0..i32::try_from(broker.partition_count(topic)).expect("few");
    let of = |partition| broker.messages(topic, PartitionId(partition)).into_iter().map(|(_, message)| message);
    partitions.flat_map(of).collect()
}

pub(crate) fn fields(message: &MemoryMessage) -> Value {
    serde_json::from_slice(message.payload.as_ref().expect("a payload")).expect("JSON")
}

impl Shop {
    pub(crate) fn new() -> Self {
        let broker = broker();
        let publisher = Arc::new(broker.clone());
        let view = windows_view(Vec::new(), Vec::new());
        let world = World::with(view, whole_catalog(None), |config| config.publisher = Some(publisher));
        Self { world, broker }
    }

    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.post_with(path, &[], body).await
    }

    async fn post_with(&self, path: &str, lines: &[(&str, &str)], body: impl ToString) -> Answer {
        let mut request = Request::builder().method(Method::POST).uri(path).header("content-type", "application/json");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        self.world.ask(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    pub(crate) fn events(&self) -> Vec<MemoryMessage> {
        messages(&self.broker, EVENTS)
    }
}

fn event(user: &str) -> Value {
    json!({ "id_usuario": user, "tipo_evento": "compra", "timestamp": "2025-05-14T22:30:00Z", "preco": "10.50" })
}

pub(crate) fn is_problem(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(body["code"], code, "{}", answer.body);
    body
}

#[tokio::test]
async fn what_is_accepted_is_where_the_answer_says() {
    let shop = Shop::new();
    let mut with_id = event("u1");
    with_id["id_evento"] = "e1".into();
    let body = json!([with_id, event("u2"), event("u1")]);
    let answer = shop.post_with("/eventos", &[("x-correlation-id", "c-7")], &body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let accepted: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(accepted["aceitos"], 3);
    for (index, item) in accepted["itens"].as_array().expect("items").iter().enumerate() {
        assert_eq!((&item["indice"], &item["topico"]), (&json!(index), &json!(EVENTS)));
        let partition = PartitionId(i32::try_from(item["particao"].as_i64().expect("a number")).expect("small"));
        let found = shop.broker.messages(EVENTS, partition);
        let is_it = |(offset, _): &&(vitral_schemas::position::Offset, MemoryMessage)| item["deslocamento"] == offset.0;
        let (_, message) = found.iter().find(is_it).expect("it is there");
        assert_eq!(message.key.as_deref(), body[index]["id_usuario"].as_str().map(str::as_bytes));
        assert_eq!(message.header("vitral.correlation_id"), Some("c-7"));
        assert_eq!(fields(message)["preco"], "10.50");
    }
    // Those without an id have been given one each.
    let ids: BTreeSet<String> = shop.events().iter().map(|event| fields(event)["id_evento"].to_string()).collect();
    assert!(ids.len() == 3 && ids.contains("\"e1\""), "{ids:?}");

    // One object is an item too; stock has no ids.
    let level = json!({ "id_produto": 7, "id_armazem": "a", "nivel_estoque": 5, "timestamp": "2025-05-14T22:30:00Z" });
    assert_eq!(shop.post("/estoque", &level).await.status, 202);
    let [message] = messages(&shop.broker, "atualizacoes_estoque").try_into().expect("one message");
    assert_eq!((message.key.as_deref(), fields(&message)), (Some(&b"7"[..]), level));
}

#[tokio::test]
async fn each_bad_item_is_named_and_nothing_is_sent() {
    let shop = Shop::new();
    let changed = |field: &str, value: Value| {
        let mut event = event("u1");
        event[field] = value;
        event
    };
    let body = json!([
        event("u1"),
        changed("timestamp", Value::Null),
        changed("timestamp", "ontem".into()),
        changed("quantidade", 0.into()),
        changed("preco", "1.005".into()),
        changed("moeda", "reais".into()),
        changed("timestamp", "2025-05-15T22:30:00Z".into()),
        7,
        changed("id_produto", "x".repeat(257).into()),
    ]);
    let problem = is_problem(&shop.post("/eventos", &body).await, 400, "invalid_items");
    assert_eq!(
        errors(&problem),
        [
            (1, "timestamp", "campo_ausente"),
            (2, "timestamp", "tempo"),
            (3, "quantidade", "valor"),
            (4, "preco", "valor"),
            (5, "moeda", "valor"),
            (6, "timestamp", "futuro"),
            (7, "none", "json"),
            (8, "id_produto", "tamanho"),
        ]
    );
    assert!(problem["erros"][0]["detalhe"].as_str().is_some_and(|detail| detail.contains("timestamp")));
    assert_eq!(shop.events().len(), 0);
}

/// The items, fields and codes of what is wrong.
pub(crate) fn errors(problem: &Value) -> Vec<(u64, &str, &str)> {
    let mut found = Vec::new();
    for error in problem["erros"].as_array().expect("errors") {
        let field = error["campo"].as_str().unwrap_or("none");
        found.push((error["indice"].as_u64().expect("a place"), field, error["codigo"].as_str().expect("a code")));
    }
    found
}

#[tokio::test]
async fn everything_that_is_wrong_with_an_item_is_named() {
    let shop = Shop::new();
    let wrong = json!({
        "id_usuario": 7, "tipo_evento": "compra", "timestamp": "2025-05-15T22:30:00Z", "id_produto": {},
        "quantidade": 0, "preco": "1.005", "valor_total": -1, "moeda": "reais",
    });
    let problem = is_problem(&shop.post("/eventos", json!([event("u1"), wrong, {}])).await, 400, "invalid_items");
    assert_eq!(
        errors(&problem),
        [
            (1, "id_usuario", "tipo"),
            (1, "id_produto", "tipo"),
            (1, "preco", "valor"),
            (1, "moeda", "valor"),
            (1, "timestamp", "futuro"),
            (1, "quantidade", "valor"),
            (1, "valor_total", "valor"),
            (2, "id_usuario", "campo_ausente"),
            (2, "tipo_evento", "campo_ausente"),
            (2, "timestamp", "campo_ausente"),
        ]
    );
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.starts_with("2 items are")), "{problem}");

    // However many there are: the first of each item, and a thousand more.
    let many = is_problem(&shop.post("/eventos", json!(vec![json!({}); 1_000])).await, 400, "invalid_items");
    let named: BTreeSet<u64> = errors(&many).iter().map(|(index, ..)| *index).collect();
    assert_eq!((named.len(), errors(&many).len()), (1_000, 2_000));
    assert_eq!(shop.events().len(), 0);
}

#[tokio::test]
async fn bodies_that_are_no_items_are_refused() {
    let shop = Shop::new();
    for body in ["", "{", "7", "[]", "null", "[{}", "[1,2] 3"] {
        is_problem(&shop.post("/eventos", body).await, 400, "invalid_body");
    }
    let many = vec![event("u1"); 1_001];
    is_problem(&shop.post("/eventos", json!(many)).await, 400, "invalid_body");
    let large = json!([{ "id_usuario": "x".repeat(1 << 20) }]);
    is_problem(&shop.post("/eventos", large).await, 413, "body_too_large");
    is_problem(&shop.post("/eventos?a=b", event("u1")).await, 400, "unknown_parameter");
    is_problem(&shop.world.get("/eventos").await, 405, "method_not_allowed");
    let form = Request::post("/eventos").header("content-type", "text/plain").body(Body::from("{}"));
    let answer = shop.world.ask(form.expect("a request")).await;
    assert_eq!(answer.status, 415, "{}", answer.body);
    let packed = shop.post_with("/eventos", &[("content-encoding", "gzip")], event("u1")).await;
    let problem = is_problem(&packed, 415, "unsupported_media_type");
    assert!(problem["remedio"].as_str().is_some_and(|remedy| remedy.contains("without Content-Encoding")));
    assert_eq!(shop.events().len(), 0);
    let plain = shop.post_with("/eventos", &[("content-encoding", "identity")], event("u1")).await;
    assert_eq!(plain.status, 202, "{}", plain.body);
    // More than other requests may have is taken here.
    let some = json!((0..900).map(|number| event(&format!("u{number}"))).collect::<Vec<_>>());
    assert_eq!(shop.post("/eventos", some).await.status, 202);
    assert_eq!(shop.events().len(), 901);
}

#[tokio::test]
async fn a_request_that_is_repeated_has_the_same_ids() {
    let shop = Shop::new();
    let body = json!([event("u1"), event("u2")]);
    let key = [("idempotency-key", "pedido-77")];
    for _ in 0..2 {
        assert_eq!(shop.post_with("/eventos", &key, &body).await.status, 202);
    }
    // Another process knows nothing of the first, and gives the same ids.
    let other = Shop::new();
    assert_eq!(other.post_with("/eventos", &key, &body).await.status, 202);
    let ids = |shop: &Shop| -> Vec<String> {
        let mut ids: Vec<_> =
            shop.events().iter().map(|event| fields(event)["id_evento"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&shop), ["pedido-77/0", "pedido-77/0", "pedido-77/1", "pedido-77/1"]);
    assert_eq!(ids(&other), ["pedido-77/0", "pedido-77/1"]);

    is_problem(&shop.post_with("/eventos", &key, event("u3")).await, 422, "idempotency_key_reused");
    assert_eq!(shop.events().len(), 4);
    // What was not valid is not remembered: it can be corrected under its key.
    let key = [("idempotency-key", "pedido-78")];
    is_problem(&shop.post_with("/eventos", &key, json!({ "id_usuario": "u1" })).await, 400, "invalid_items");
    assert_eq!(shop.post_with("/eventos", &key, event("u1")).await.status, 202);
    for wrong in ["", "a b", &"x".repeat(129)] {
        let lines = [("idempotency-key", wrong)];
        is_problem(&shop.post_with("/eventos", &lines, event("u1")).await, 400, "invalid_idempotency_key");
    }
}

#[tokio::test]
async fn a_broker_that_is_away_is_said_with_what_may_be_there() {
    let shop = Shop::new();
    shop.broker.set_away(true);
    let answer = shop.post("/eventos", json!([event("u1"), event("u2")])).await;
    let problem = is_problem(&answer, 503, "broker_unavailable");
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(
        problem["itens"],
        json!([
            { "indice": 0, "estado": "nao_enviado" },
            { "indice": 1, "estado": "nao_enviado" },
        ])
    );
    shop.broker.set_away(false);
    assert_eq!(shop.post("/eventos", event("u1")).await.status, 202);

    let world = World::with(windows_view(Vec::new(), Vec::new()), whole_catalog(None), |_| {});
    let without = Shop { world, broker: broker() };
    is_problem(&without.post("/eventos", event("u1")).await, 503, "no_broker");
}

#[tokio::test]
async fn scopes_and_row_filters_hold_for_writing() {
    let broker = broker();
    let publisher = Arc::new(broker.clone());
    let keyed = Keyed::with(None, |config| config.publisher = Some(publisher)).await;
    let key = async |scopes: &[&str], filters: RowFilters| {
        let scopes = scopes.iter().copied().collect();
        let new = NewKey { name: "loja".to_owned(), scopes, filters, expires_ms: None };
        bearer(&keyed.access.keys().expect("keys").create(&new).await.expect("a key"))
    };
    let post = async |authorization: &str, body: Value| {
        let lines = [JSON, ("authorization", authorization)];
        keyed.ask(Method::POST, "/eventos", &lines, body.to_string()).await
    };
    let reader = key(&["*:read"], RowFilters::default()).await;
    is_problem(&post(&reader, event("u1")).await, 403, "forbidden");
    let writer = key(&["eventos:write"], RowFilters::default()).await;
    assert_eq!(post(&writer, event("u1")).await.status, 202);

    let south = RowFilters::from_iter([("regiao".to_owned(), BTreeSet::from(["Sul".to_owned()]))]);
    let south = key(&["eventos:write"], south).await;
    let of = |region: Value| {
        let mut event = event("u1");
        event["regiao"] = region;
        event
    };
    assert_eq!(post(&south, of("Sul".into())).await.status, 202);
    let problem =
        is_problem(&post(&south, json!([of("Sul".into()), of("Norte".into()), event("u1")])).await, 403, "forbidden");
    let places: Vec<_> = problem["erros"].as_array().expect("errors").iter().map(|error| &error["indice"]).collect();
    assert_eq!(places, [&json!(1), &json!(2)]);
    // What is not valid either is a matter of the request, not of rights.
    let mixed = json!([of("Norte".into()), { "id_usuario": "u1" }]);
    is_problem(&post(&south, mixed).await, 400, "invalid_items");
    let elsewhere = RowFilters::from_iter([("loja".to_owned(), BTreeSet::from(["a".to_owned()]))]);
    let elsewhere = key(&["eventos:write"], elsewhere).await;
    is_problem(&post(&elsewhere, event("u1")).await, 403, "forbidden");
    assert_eq!(messages(&broker, EVENTS).len(), 2);
}
