//! The same rows in every format that a client may like best.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type};
use arrow::ipc::reader::StreamReader;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::Value;
use tower::ServiceExt;

use crate::world::{Event, SALE, World, archived, catalog, topic_view, view_of, views};

const ARROW: &str = "application/vnd.apache.arrow.stream";

/// Bytes that are not text.
async fn bytes(world: &World, path: &str, accept: &str) -> (axum::http::HeaderMap, Vec<u8>) {
    let request = Request::get(path).header("host", "localhost").header("accept", accept);
    let request = request.body(Body::empty()).expect("a request");
    let response = world.router.clone().oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), 200, "{path}");
    let (head, body) = response.into_parts();
    (head.headers, to_bytes(body, usize::MAX).await.expect("a body").to_vec())
}

fn batches(bytes: &[u8]) -> (arrow::datatypes::SchemaRef, Vec<RecordBatch>) {
    let reader = StreamReader::try_new(bytes, None).expect("a stream");
    let schema = reader.schema();
    (schema, reader.collect::<Result<_, _>>().expect("batches"))
}

fn shop() -> World {
    let catalog = catalog(None);
    let topic = catalog.topic("eventos_clientes").expect("the topic");
    let sales = [
        Event { product: Some("p\"2\""), total: Some(123_456_789_012_345), ..SALE },
        Event { product: Some("p1"), quantity: Some(2), ..SALE },
    ];
    let open = vec![views("2025-05-14T22:30:00Z", &[("p1", 2), ("p2", 1)])];
    let windows = crate::world::Windows { published: Vec::new(), open };
    World::new(view_of(topic_view(vec![archived(topic, &sales, "contada")], Vec::new()), windows))
}

#[tokio::test]
async fn lines_of_json() {
    let world = shop();
    for path in ["/vendas/resumo", "/metricas/produtos_mais_vistos"] {
        let (head, body) = bytes(&world, path, "application/x-ndjson").await;
        assert_eq!(head["content-type"], "application/x-ndjson");
        assert!(head["vitral-read"] == "20" && head["vary"] == "Accept, Accept-Encoding", "{head:?}");
        let text = String::from_utf8(body).expect("text");
        assert!(text.ends_with("}\n"), "{text}");
        let whole = world.json(path).await;
        let rows = if whole.is_array() { whole } else { whole["linhas"].clone() };
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        assert_eq!(Value::from(lines), rows);
    }
    let (_, body) = bytes(&world, "/vendas/resumo", "application/x-ndjson").await;
    assert!(String::from_utf8_lossy(&body).contains(r#""receita":1234567890123.45"#), "money is exact");
    let (_, none) = bytes(&world, "/vendas/resumo?regiao=Norte", "application/x-ndjson").await;
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_stream_of_batches() {
    let world = shop();
    let (head, body) = bytes(&world, "/vendas/resumo", &format!("{ARROW}, application/json;q=0.9")).await;
    assert_eq!(head["content-type"], ARROW);
    let (schema, rows) = batches(&body);
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id_produto", "nome", "total_vendido", "receita", "pedidos"]);
    let row = &rows[0];
    assert_eq!(row.column(0).as_string::<i32>().value(1), "p\"2\"");
    assert!(row.column(1).is_null(0) && matches!(schema.field(3).data_type(), DataType::Decimal128(_, 2)));
    assert_eq!(row.column(3).as_primitive::<Decimal128Type>().value(1), 123_456_789_012_345);
    let (none, rows) = batches(&bytes(&world, "/vendas/resumo?regiao=Norte", ARROW).await.1);
    assert_eq!((none, rows.iter().map(RecordBatch::num_rows).sum::<usize>()), (schema, 0), "columns are there");
    let (head, body) = bytes(&world, "/metricas/produtos_mais_vistos?limite=1", ARROW).await;
    assert!(head["link"].to_str().expect("text").contains("rel=\"next\"") && head["vitral-late"] == "1");
    assert_eq!(batches(&body).1[0].num_rows(), 1);
}

#[tokio::test]
async fn names_stand_next_to_ids() {
    let world = shop();
    let file = "id_produto,nome,categoria\np1,Caneca,casa\np2,Bule,casa\n";
    std::fs::write(world.files.path().join("produtos.csv"), file).expect("written");
    let sales = world.body("/vendas/resumo").await;
    assert!(sales.contains(r#"{"id_produto":"p1","nome":"Caneca","#), "{sales}");
    assert!(sales.contains(r#"{"id_produto":"p\"2\"","nome":null,"#), "{sales}");
    for path in ["/produtos/mais_vendidos", "/produtos/mais_vistos", "/metricas/produtos_mais_vistos"] {
        let body = world.body(path).await;
        assert!(body.contains(r#""id_produto":"p1","nome":"Caneca","#), "{path}: {body}");
    }
    // Pages go on where they ended, whatever stands between their columns.
    let first = world.get("/vendas/resumo?limite=1").await;
    let next = first.header("link").and_then(|link| link.split(['<', '>']).nth(1)).expect("a next page").to_owned();
    assert!(world.body(&next).await.contains(r#""id_produto":"p\"2\"","nome":null"#));
}

#[tokio::test]
async fn a_file_of_names_that_is_broken_takes_no_answer_away() {
    let world = shop();
    std::fs::write(world.files.path().join("produtos.csv"), "outra\nx\n").expect("written");
    assert!(world.body("/vendas/resumo").await.contains(r#"{"id_produto":"p1","nome":null,"total_vendido":2"#));
}
