//! What became of an order: its rows, the numbers that they count in, and when these were proved.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use serde_json::{Value, json};
use vitral_panes::view::View;
use vitral_schemas::reconciliation;

use crate::keyed::{Keyed, bearer};
use crate::world::{Event, SALE, Windows, World, archived, built_in, events, times, topic_view, view_of, views};

const PATH: &str = "/pedidos/o1/rastro";

fn seen(order: &'static str, time: &'static str) -> Event {
    Event { kind: "visualizacao", order: Some(order), time, ..SALE }
}

/// Of order o1 a view that is published, a late one, and one that is not committed yet.
fn view() -> View {
    let topic = built_in().topic("eventos_clientes").expect("the topic");
    let counted = [seen("o1", "2025-05-14T22:16:10Z"), seen("o2", "2025-05-14T22:16:20Z")];
    let archive =
        vec![archived(topic, &counted, "contada"), archived(topic, &[seen("o1", "2025-05-14T20:00:00Z")], "atrasada")];
    let tail = vec![events(topic, &[seen("o1", "2025-05-14T22:30:10Z")])];
    let windows = Windows {
        published: vec![views("2025-05-14T22:16:00Z", &[("p1", 2), ("p2", 5)])],
        open: vec![views("2025-05-14T22:30:00Z", &[("p1", 1)])],
    };
    view_of(topic_view(archive, tail), windows)
}

fn reconciled() -> RecordBatch {
    let minute = |minute: i64| crate::world::ms("2025-05-14T22:00:00Z") + minute * 60_000;
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; 2])) };
    let number = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value; 2])) };
    let column = |name: &str| -> ArrayRef {
        match name {
            "instante" => times([minute(25), minute(26)].into_iter()),
            "de" => times([minute(10), minute(20)].into_iter()),
            "ate" => times([minute(20), minute(22)].into_iter()),
            "publicada_ate" => times([minute(22); 2].into_iter()),
            "metrica" => text("produtos_mais_vistos"),
            "origem" => text("continua"),
            "veredito" => text("igual"),
            "reparada" => Arc::new(BooleanArray::from(vec![false; 2])),
            _ => number(0),
        }
    };
    let columns = reconciliation::schema().fields().iter().map(|field| column(field.name())).collect();
    RecordBatch::try_new(reconciliation::schema(), columns).expect("rows")
}

#[tokio::test]
async fn every_row_of_an_order_has_its_verdict_and_its_numbers() {
    let world = World::new(view());
    world.reconciliations.send_replace(Arc::new(reconciled()));
    let found: Value = world.json(PATH).await;
    let rows = found["linhas"].as_array().expect("rows");
    let described: Vec<_> = rows.iter().map(|row| (&row["veredito"], &row["deslocamento"], &row["gravada"])).collect();
    assert_eq!(
        described,
        [
            (&json!("contada"), &json!(0), &json!(true)),
            (&json!("atrasada"), &json!(0), &json!(true)),
            (&json!("contada"), &Value::Null, &json!(false)),
        ]
    );
    assert_eq!(rows[0]["campos"]["id_pedido"], "o1");
    assert_eq!(rows[0]["campos"]["preco"].to_string(), "10.0");
    assert_eq!(rows[0]["instante"], "2025-05-14T22:16:10Z");
    assert_eq!(
        rows[0]["numeros"],
        json!([{
            "metrica": "produtos_mais_vistos",
            "janela_inicio": "2025-05-14T22:16:00Z",
            "janela_fim": "2025-05-14T22:17:00Z",
            "chave": { "id_produto": "p1" },
            "valores": { "visualizacoes": 2 },
            "provisoria": false,
            "prova": { "instante": "2025-05-14T22:25:00Z", "veredito": "igual", "origem": "continua" },
            "url": "/metricas/produtos_mais_vistos?de=2025-05-14T22%3A16%3A00Z&ate=2025-05-14T22%3A16%3A01Z&id_produto=p1",
        }])
    );
    let page = world.json(rows[0]["numeros"][0]["url"].as_str().expect("an address")).await;
    assert_eq!(page["linhas"].as_array().map(Vec::len), Some(1), "{page}");
    // What is late counts in nothing; what is not published is not proved.
    assert_eq!(rows[1]["numeros"], json!([]));
    let [open] = rows[2]["numeros"].as_array().expect("numbers").as_slice() else { panic!("one number") };
    assert_eq!((&open["provisoria"], &open["prova"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn what_is_not_there_is_said_with_where_it_was_looked_for() {
    let world = World::new(view());
    let answer = world.get("/pedidos/nenhum/rastro").await;
    assert_eq!(answer.status, 404);
    for words in ["nenhum", "eventos_clientes (id_evento, id_pedido)", "/livro", "\"code\":\"not_found\""] {
        assert!(answer.body.contains(words), "{words}: {}", answer.body);
    }
    assert_eq!(world.get("/pedidos/o1/rastro?limite=1").await.status, 400);
}

#[tokio::test]
async fn rows_are_for_those_who_may_read_them() {
    let keyed = Keyed::new().await;
    keyed.world.show(view());
    let trace = async |scopes: &[&str]| {
        let key = keyed.key(scopes).await;
        keyed.get(PATH, &bearer(&key)).await
    };
    assert_eq!(trace(&["vendas:read"]).await.status, 403);
    let numbers = |answer: &crate::world::Answer| {
        let found: Value = serde_json::from_str(&answer.body).expect("JSON");
        found["linhas"][0]["numeros"].as_array().map(Vec::len)
    };
    assert_eq!(numbers(&trace(&["rastro:read"]).await), Some(1));
    // The topic's rows are not its metrics.
    assert_eq!(numbers(&trace(&["eventos_clientes:read"]).await), Some(0));
}
