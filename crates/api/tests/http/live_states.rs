//! What other processes hear: to whom, and when.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use secrecy::ExposeSecret as _;
use tower::ServiceExt as _;
use vitral_panes::view::View;
use vitral_query::remote::LivePart;

use crate::keyed::{Keyed, bearer};
use crate::world::{World, views, windows_view};

const PATH: &str = "/interno/visao";
const PATIENCE: Duration = Duration::from_secs(20);

fn shop(count: i64) -> View {
    windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &[("p1", count)])])
}

async fn part(router: &Router, path: &str) -> (StatusCode, Option<LivePart>) {
    let request = Request::get(path).header("host", "localhost").body(Body::empty()).expect("a request");
    let answer = router.clone().oneshot(request).await.expect("an answer");
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    (status, LivePart::read(&body).ok())
}

#[tokio::test]
async fn only_processes_of_the_installation_are_told() {
    let keyed = Keyed::new().await;
    let reader = keyed.key(&["*:read"]).await;
    let secret = keyed.access.internal_secret().expect("a secret").expose_secret().to_owned();
    // Who may read all that is served hears nothing beyond that.
    for (shown, status) in [(format!("Bearer {secret}"), 200), (bearer(&reader), 403), ("Bearer x".to_owned(), 401)] {
        // By whatever name they call it.
        let lines = [("authorization", shown.as_str()), ("host", "stream:8080")];
        assert_eq!(keyed.ask(Method::GET, PATH, &lines, Body::empty()).await.status, status);
    }
    // And processes may do nothing but that.
    assert_eq!(keyed.get("/metricas/produtos_mais_vistos", &format!("Bearer {secret}")).await.status, 403);

    // Without access control it is this machine's alone, under its names.
    let world = World::new(shop(1));
    let request = Request::get(PATH).header("host", "rebound.example.com").body(Body::empty()).expect("a request");
    assert_eq!(world.ask(request).await.status, 421);
    assert_eq!(part(&world.router, PATH).await.0, 200);
}

#[tokio::test]
async fn what_is_known_is_answered_once_it_is_old() {
    let world = World::new(shop(1));
    let (_, first) = part(&world.router, PATH).await;
    let first = first.expect("a part");
    assert_eq!(first.metrics["produtos_mais_vistos"].starts.len(), 1);
    let (_, again) = part(&world.router, PATH).await;
    assert_eq!(again.expect("a part").epoch, first.epoch, "the same view is the same part");

    let path = format!("{PATH}?desde={}", first.epoch);
    let world = Arc::new(world);
    let waiting = tokio::spawn({
        let world = Arc::clone(&world);
        async move { part(&world.router, &path).await }
    });
    tokio::task::yield_now().await;
    world.show(shop(2));
    let (status, newer) = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic");
    assert_eq!(status, 200);
    assert_ne!(newer.expect("a part").epoch, first.epoch);

    // Of another process of the stream.
    let (_, other) = part(&world.router, &format!("{PATH}?desde=x-1")).await;
    assert!(other.is_some());
    let (status, _) = part(&world.router, &format!("{PATH}?outro=1")).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn without_news_a_question_ends_unanswered() {
    let world = World::new(shop(1));
    let known = part(&world.router, PATH).await.1.expect("a part").epoch;
    let path = format!("{PATH}?desde={known}");
    let World { router, sender, shutdown, .. } = world;
    // From here on nothing can be new.
    drop(sender);
    assert_eq!(part(&router, &path).await.0, 304);
    shutdown.cancel();
    assert!([304, 503].contains(&part(&router, &path).await.0.as_u16()));
}
