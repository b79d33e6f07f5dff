//! Which names the API answers to, and what every answer forbids.

use axum::body::Body;
use axum::http::Request;

use crate::world::{World, catalog, windows_view};

async fn status(world: &World, uri: &str, host: &str) -> u16 {
    let request = Request::get(uri).header("host", host).body(Body::empty()).expect("a request");
    world.ask(request).await.status.as_u16()
}

#[tokio::test]
async fn a_name_of_somebody_else_is_refused() {
    let world = World::new(windows_view(Vec::new(), Vec::new()));
    for path in ["/", "/livro", "/metrics", "/metricas/produtos_mais_vistos/ao_vivo", "/nada"] {
        let request = Request::get(path).header("host", "evil.example").body(Body::empty()).expect("a request");
        let answer = world.ask(request).await;
        assert_eq!(answer.status, 421, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.body.contains("unknown_host") && answer.body.contains("api.hosts"), "{}", answer.body);
    }
    assert_eq!(status(&world, "/livro", "localhost:8080").await, 200);
    assert_eq!(status(&world, "/livro", "127.0.0.1:8080").await, 200);
    assert_eq!(status(&world, "http://evil.example/livro", "localhost").await, 421);
    assert_eq!(status(&world, "http://localhost/livro", "evil.example").await, 200);
}

#[tokio::test]
async fn names_of_the_configuration_are_answered() {
    let hosts = vec!["painel.loja.example".to_owned()];
    let world =
        World::with(windows_view(Vec::new(), Vec::new()), catalog(None), |config| config.hosts.clone_from(&hosts));
    assert_eq!(status(&world, "/livro", "Painel.loja.example:443").await, 200);
    assert_eq!(status(&world, "/livro", "loja.example").await, 421);
}

#[tokio::test]
async fn every_answer_forbids_other_sites_to_use_it() {
    let world = World::new(windows_view(Vec::new(), Vec::new()));
    for path in ["/", "/vendas/resumo", "/metricas", "/nada", "/readyz"] {
        let answer = world.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    }
}
