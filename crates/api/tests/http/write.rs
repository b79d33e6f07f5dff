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

struct Shop {
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

fn fields(message: &MemoryMessage) -> Value {
    serde_json::from_slice(message.payload.as_ref().expect("a payload")).expect("JSON")
}

impl Shop {
    fn new() -> Self {
        let broker = broker();
        let publisher = Arc::new(broker.clone());
        let view = windows_view(Vec::new(), Vec::new());
        let world = World::with(view, whole_catalog(None), |config| config.publisher = Some(publisher));
        Self { world, broker }
    }

    async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.post_with(path, &[], body).await
    }

    async fn post_with(&self, path: &str, lines: &[(&str, &str)], body: impl ToString) -> Answer {
        let mut request = Request::builder().method(Method::POST).uri(path).header("content-type", "application/json");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        self.world.ask(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    fn events(&self) -> Vec<MemoryMessage> {
        messages(&self.broker, EVENTS)
    }
}

fn event(user: &str) -> Value {
    json!({ "id_usuario": user, "tipo_evento": "compra", "timestamp": "2025-05-14T22:30:00Z", "preco": "10.50" })
}

fn is_problem(answer: &Answer, status: u16, code: &str) -> Value {
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
    let said: Vec<_> = problem["erros"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| {
            (
                error["indice"].as_u64().expect("a place"),
                error["campo"].as_str(),
                error["codigo"].as_str().expect("a code"),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            (1, Some("timestamp"), "campo_ausente"),
            (2, Some("timestamp"), "tempo"),
            (3, Some("quantidade"), "valor"),
            (4, Some("preco"), "valor"),
            (5, Some("moeda"), "valor"),
            (6, Some("timestamp"), "futuro"),
            (7, None, "json"),
            (8, Some("id_produto"), "tamanho"),
        ]
    );
    assert!(problem["erros"][0]["detalhe"].as_str().is_some_and(|detail| detail.contains("timestamp")));
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
    assert_eq!(shop.events().len(), 0);
    // More than other requests may have is taken here.
    let some = json!((0..900).map(|number| event(&format!("u{number}"))).collect::<Vec<_>>());
    assert_eq!(shop.post("/eventos", some).await.status, 202);
    assert_eq!(shop.events().len(), 900);
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

/// A number with no more digits than it needs.
fn money(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[tokio::test]
async fn google_s_own_examples_become_events() {
    let examples = [
        (include_str!("ga4/view_item.json"), "visualizacao"),
        (include_str!("ga4/add_to_cart.json"), "adicao_carrinho"),
        (include_str!("ga4/remove_from_cart.json"), "remocao_carrinho"),
        (include_str!("ga4/begin_checkout.json"), "inicio_checkout"),
        (include_str!("ga4/purchase.json"), "compra"),
        (include_str!("ga4/refund.json"), "reembolso"),
        (include_str!("ga4/search.json"), "busca"),
        (include_str!("ga4/view_search_results.json"), "busca"),
    ];
    for (body, kind) in examples {
        let shop = Shop::new();
        let answer = shop.post("/eventos", body).await;
        assert_eq!(answer.status, 202, "{kind}: {}", answer.body);
        let [message] = shop.events().try_into().expect("one message");
        let event = fields(&message);
        assert_eq!(event["tipo_evento"], kind);
        assert_eq!(event["id_usuario"], "XXXXXXXXXX.YYYYYYYYYY");
        assert_eq!(event["timestamp"], "2025-05-14T22:20:00.123456Z");
        let has_items = body.contains("SKU_12345");
        assert_eq!(event["id_produto"], if has_items { json!("SKU_12345") } else { Value::Null });
        if !has_items {
            continue;
        }
        assert_eq!((&event["quantidade"], &event["categoria"]), (&json!(3), &json!("Apparel")));
        // The price is what is left after the discount; three of each.
        let (price, discount) = if kind == "reembolso" { ("10.01", "null") } else { ("12.23", "6.66") };
        assert_eq!(
            (money(&event["preco"]), money(&event["desconto"])),
            (price.to_owned(), discount.to_owned()),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn an_order_is_a_message_for_each_item_and_counts_once() {
    let shop = Shop::new();
    let item = |id: &str, price: Value| json!({ "item_id": id, "price": price, "quantity": 1 });
    let order = |items: Value| {
        json!({ "client_id": "c", "user_id": "u9", "timestamp_micros": 1_747_261_200_000_000_i64, "events": [{
            "name": "purchase",
            "params": { "transaction_id": "T1", "currency": "BRL", "value": 21.3, "items": items },
        }] })
    };
    // More digits than a float has.
    let body = order(json!([item("a", 0.1.into()), item("b", 20.into()), item("c", Value::Null)])).to_string();
    let body = body.replace("\"price\":20,", "\"price\":1234567890123456.78,");
    assert_eq!(shop.post("/eventos", &body).await.status, 202);
    let found: Vec<Value> = shop.events().iter().map(fields).collect();
    let of = |name: &str| -> Vec<String> { found.iter().map(|event| money(&event[name])).collect() };
    assert_eq!(of("id_pedido"), ["T1"; 3]);
    assert_eq!(of("preco"), ["0.1", "1234567890123456.78", "null"]);
    assert_eq!(of("id_evento"), ["ga4/T1/1", "ga4/T1/2", "ga4/T1/3"]);
    assert_eq!(of("id_usuario"), ["u9"; 3]);

    // Without items, the order has its value; without a time, it is of now.
    let mut whole = order(Value::Null);
    whole.as_object_mut().expect("an object").remove("timestamp_micros");
    let other = Shop::new();
    assert_eq!(other.post("/eventos", &whole).await.status, 202);
    let event = fields(&other.events()[0]);
    assert_eq!(
        (money(&event["valor_total"]), &event["timestamp"]),
        ("21.3".to_owned(), &json!("2025-05-14T22:30:30Z"))
    );

    // Each item is held to the rules, by its place.
    let wrong = order(json!([item("a", 1.into()), item("b", "caro".into()), item("c", 1.005.into())]));
    let problem = is_problem(&other.post("/eventos", &wrong).await, 400, "invalid_items");
    let said: Vec<_> =
        problem["erros"].as_array().expect("errors").iter().map(|error| (&error["indice"], &error["campo"])).collect();
    assert_eq!(said, [(&json!(1), &json!("preco")), (&json!(2), &json!("preco"))]);
}
