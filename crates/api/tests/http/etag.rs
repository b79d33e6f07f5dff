//! Versions of answers: who has one gets nothing twice.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};

use crate::world::{Answer, SALE, World, archived, catalog, topic_view, view_of, views, windows_view};

async fn ask(world: &World, method: Method, path: &str, head: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in head {
        request = request.header(*name, *value);
    }
    world.ask(request.body(Body::empty()).expect("a request")).await
}

async fn get(world: &World, path: &str, head: &[(&str, &str)]) -> Answer {
    ask(world, Method::GET, path, head).await
}

fn shop() -> World {
    let catalog = catalog(None);
    let topic = catalog.topic("eventos_clientes").expect("the topic");
    let open = vec![views("2025-05-14T22:30:00Z", &[("p1", 2)])];
    let windows = crate::world::Windows { published: Vec::new(), open };
    World::new(view_of(topic_view(vec![archived(topic, &[SALE], "contada")], Vec::new()), windows))
}

#[tokio::test]
async fn an_answer_that_is_the_same_is_not_sent_again() {
    let world = shop();
    for path in ["/vendas/resumo", "/metricas/produtos_mais_vistos", "/metricas", "/livro", "/openapi.json"] {
        let first = get(&world, path, &[]).await;
        let version = first.header("etag").unwrap_or_else(|| panic!("{path} has no version")).to_owned();
        assert!(version.starts_with('"') && version.ends_with('"'), "{version} is strong");
        for known in [version.as_str(), &format!("\"x\", W/{version}"), "*"] {
            let again = get(&world, path, &[("if-none-match", known)]).await;
            assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path} {known}");
            assert!(again.header("etag").is_some() && again.header("content-type").is_none(), "{path}");
            assert_eq!(again.header("cache-control"), first.header("cache-control"), "{path}");
            assert_eq!(again.header("vitral-read"), first.header("vitral-read"), "{path}");
        }
        assert_eq!(get(&world, path, &[("if-none-match", "\"x\"")]).await.body, first.body, "{path}");
    }
}

#[tokio::test]
async fn other_rows_have_another_version() {
    let world = shop();
    let path = "/metricas/produtos_mais_vistos";
    let version = get(&world, path, &[]).await.header("etag").expect("a version").to_owned();
    world.show(windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &[("p1", 3)])]));
    let changed = get(&world, path, &[("if-none-match", &version)]).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(changed.header("etag"), Some(version.as_str()));
    // Another format is another answer.
    let csv = get(&world, path, &[("accept", "text/csv")]).await;
    assert_ne!(csv.header("etag"), changed.header("etag"));
    assert_eq!(csv.header("vary"), Some("Accept, Accept-Encoding"));
    assert_eq!(csv.header("cache-control"), Some("private, no-cache"));
}

#[tokio::test]
async fn compressed_bytes_have_their_own_version() {
    let rows = [("p1", 1); 30];
    let world = World::new(windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &rows)]));
    let path = "/metricas/produtos_mais_vistos";
    let plain = get(&world, path, &[]).await;
    let version = plain.header("etag").expect("a version").trim_matches('"').to_owned();
    for encoding in ["gzip", "zstd"] {
        let compressed = get(&world, path, &[("accept-encoding", encoding)]).await;
        assert_eq!(compressed.header("content-encoding"), Some(encoding));
        let own = format!("\"{version}-{encoding}\"");
        assert_eq!(compressed.header("etag"), Some(own.as_str()));
        let again = get(&world, path, &[("accept-encoding", encoding), ("if-none-match", &own)]).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
        assert_eq!(again.header("etag"), Some(own.as_str()));
    }
}

#[tokio::test]
async fn the_head_alone() {
    let world = shop();
    for path in ["/vendas/resumo", "/metricas/produtos_mais_vistos", "/livro"] {
        let (whole, head) = (get(&world, path, &[]).await, ask(&world, Method::HEAD, path, &[]).await);
        assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""), "{path}");
        for name in ["etag", "content-type", "vitral-read"] {
            assert_eq!(head.header(name), whole.header(name), "{path}: {name}");
        }
        assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()), "{path}");
    }
}

#[tokio::test]
async fn problems_have_no_version() {
    let world = shop();
    let refused = get(&world, "/vendas/resumo?limite=0", &[("if-none-match", "*")]).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!((refused.header("etag"), refused.header("cache-control")), (None, Some("no-store")));
}
