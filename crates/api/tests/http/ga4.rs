//! What shops send to Google Analytics 4, as events of ours.

use serde_json::{Value, json};

use crate::write::{Shop, errors, fields, is_problem};

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
    assert_eq!(errors(&problem), [(1, "preco", "tipo"), (2, "preco", "valor")]);
}

/// One event with these parameters.
fn sent(time: Value, params: Value) -> Value {
    json!({ "client_id": "c", "timestamp_micros": time, "events": [{ "name": "purchase", "params": params }] })
}

#[tokio::test]
async fn items_that_are_no_items_are_named() {
    let shop = Shop::new();
    let good = json!({ "item_id": "a", "price": 1 });
    for (items, path, what) in [
        (json!("x"), "events[0].params.items", "is not a list"),
        (json!({}), "events[0].params.items", "is not a list"),
        (json!([good, [{}]]), "events[0].params.items[1]", "is not an object"),
        (json!([good, null]), "events[0].params.items[1]", "is not an object"),
        (json!([good, { "item_id": {} }]), "events[0].params.items[1].item_id", "is neither a text nor a number"),
    ] {
        let body = sent(Value::Null, json!({ "transaction_id": "T1", "items": items }));
        let problem = is_problem(&shop.post("/eventos", &body).await, 400, "invalid_items");
        let index = u64::from(path.contains("[1]"));
        assert_eq!(errors(&problem), [(index, path, "tipo")], "{body}");
        assert_eq!(problem["erros"][0]["detalhe"], format!("{path} {what}"), "{body}");
    }
    let problem = is_problem(&shop.post("/eventos", sent(Value::Null, json!([]))).await, 400, "invalid_items");
    assert_eq!(errors(&problem), [(0, "events[0].params", "tipo")]);
    assert_eq!(shop.events().len(), 0);
}

#[tokio::test]
async fn a_time_that_is_none_is_not_missing() {
    let shop = Shop::new();
    for time in [json!("ontem"), json!(1.5), json!(true), json!(-1), json!(i64::MAX)] {
        let body = sent(time.clone(), json!({ "items": [{ "item_id": "a", "price": 1 }] }));
        let problem = is_problem(&shop.post("/eventos", body).await, 400, "invalid_items");
        assert_eq!(errors(&problem), [(0, "timestamp", "tempo")], "{time}");
        let shown = time.as_str().map_or_else(|| time.to_string(), str::to_owned);
        assert!(problem["erros"][0]["detalhe"].as_str().is_some_and(|detail| detail.contains(&shown)), "{problem}");
    }
    assert_eq!(shop.events().len(), 0);
}
