//! The same rows as CSV, for who asks for it.

use axum::body::Body;
use axum::http::Request;

use crate::world::{Event, SALE, World, archived, catalog, topic_view, view_of, views, windows_view};

async fn get(world: &World, path: &str, accept: &str) -> crate::world::Answer {
    world.ask(Request::get(path).header("accept", accept).body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn arrays_as_csv() {
    let catalog = catalog(None);
    let topic = catalog.topic("eventos_clientes").expect("the topic");
    let sales = [
        Event { product: Some("p2, grande"), total: Some(123_456_789_012_345), ..SALE },
        Event { product: Some("p1"), quantity: Some(2), ..SALE },
    ];
    let world =
        World::new(view_of(topic_view(vec![archived(topic, &sales, "contada")], Vec::new()), Default::default()));
    let answer = get(&world, "/vendas/resumo", "text/csv").await;
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    assert_eq!(answer.header("vitral-counted"), Some("15"));
    let expected =
        "id_produto,nome,total_vendido,receita,pedidos\r\np1,,2,20.00,1\r\n\"p2, grande\",,1,1234567890123.45,1\r\n";
    assert_eq!(answer.body, expected);
    let json = get(&world, "/vendas/resumo", "application/json").await;
    assert_eq!(json.header("content-type"), Some("application/json"), "the formats are not mixed up");
    assert!(json.body.starts_with('['));
    let refused = get(&world, "/vendas/resumo", "application/xml").await;
    assert_eq!(refused.status, 406);
    assert!(refused.body.contains("not_acceptable") && refused.body.contains("text/csv"), "{}", refused.body);
    let empty = get(&world, "/vendas/resumo?regiao=Norte", "text/csv").await;
    assert_eq!(empty.body, "id_produto,nome,total_vendido,receita,pedidos\r\n");
}

#[tokio::test]
async fn metrics_as_csv_with_their_completeness_in_headers() {
    let world = World::new(windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &[("p1", 2), ("p2", 1)])]));
    let answer = get(&world, "/metricas/produtos_mais_vistos?limite=1", "text/csv").await;
    assert_eq!(
        answer.body,
        "janela_inicio,janela_fim,id_produto,nome,visualizacoes,provisoria\r\n\
         2025-05-14T22:30:00Z,2025-05-14T22:31:00Z,p1,,2,true\r\n"
    );
    assert_eq!((answer.header("vitral-read"), answer.header("vitral-late")), (Some("20"), Some("1")));
    assert!(answer.header("link").is_some_and(|link| link.contains("rel=\"next\"")));
}
