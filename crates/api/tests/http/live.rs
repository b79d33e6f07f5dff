//! Live streams: the first message at once, one for each change, and an end.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures::StreamExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::world::{World, catalog, ms, views, windows_view};

const PATH: &str = "/metricas/produtos_mais_vistos/ao_vivo";

pub async fn open(world: &World, path: &str) -> BodyDataStream {
    let request = Request::get(path)
        .header("host", "localhost")
        .header("accept-encoding", "gzip")
        .body(Body::empty())
        .expect("a request");
    let response = world.router.clone().oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(!response.headers().contains_key("content-encoding"));
    response.into_body().into_data_stream()
}

/// The next message, or `None` where the stream ends.
pub async fn message(stream: &mut BodyDataStream) -> Option<Value> {
    let chunk = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("in time")?;
    let text = String::from_utf8(chunk.expect("a chunk").to_vec()).expect("text");
    let data = text.strip_prefix("data: ").and_then(|text| text.strip_suffix("\n\n")).expect("one event");
    Some(serde_json::from_str(data).expect("JSON"))
}

fn rows(message: &Value) -> Vec<(&str, i64, bool)> {
    let rows = message["linhas"].as_array().expect("rows");
    rows.iter()
        .map(|row| {
            let product = row["id_produto"].as_str().expect("a product");
            (product, row["visualizacoes"].as_i64().expect("a count"), row["provisoria"].as_bool().expect("a state"))
        })
        .collect()
}

#[tokio::test]
async fn the_newest_window_at_once_and_at_each_change() {
    let older = views("2025-05-14T22:29:00Z", &[("old", 9)]);
    let newest = |count| views("2025-05-14T22:30:00Z", &[("p1", count)]);
    let world = World::new(windows_view(Vec::new(), vec![older.clone(), newest(1)]));
    let mut stream = open(&world, PATH).await;
    let first = message(&mut stream).await.expect("a message");
    assert_eq!(first["nome"], "produtos_mais_vistos");
    assert_eq!(first["completude"]["lidas"], 20);
    assert_eq!(rows(&first), [("p1", 1, true)]);

    // The same rows again, and a change of an older window, are not a change; then one is.
    world.show(windows_view(Vec::new(), vec![older, newest(1)]));
    world.show(windows_view(Vec::new(), vec![views("2025-05-14T22:29:00Z", &[("old", 10)]), newest(1)]));
    assert!(futures::poll!(std::pin::pin!(stream.next())).is_pending());
    world.show(windows_view(Vec::new(), vec![newest(2)]));
    assert_eq!(rows(&message(&mut stream).await.expect("a message")), [("p1", 2, true)]);

    // The next minute.
    world.clock.set_ms(ms("2025-05-14T22:31:01Z"));
    world.show(windows_view(Vec::new(), vec![newest(3), views("2025-05-14T22:31:00Z", &[("p2", 1), ("p1", 1)])]));
    assert_eq!(rows(&message(&mut stream).await.expect("a message")), [("p2", 1, true), ("p1", 1, true)]);
}

#[tokio::test]
async fn a_window_of_the_future_waits_for_its_time() {
    let now = views("2025-05-14T22:30:00Z", &[("p1", 1)]);
    let future = views("2025-05-14T22:31:00Z", &[("fast clock", 1)]);
    let world = World::new(windows_view(Vec::new(), vec![now, future]));
    world.clock.set_ms(ms("2025-05-14T22:31:00Z") - 20);
    let mut stream = open(&world, PATH).await;
    assert_eq!(rows(&message(&mut stream).await.expect("a message")), [("p1", 1, true)]);
    world.clock.set_ms(ms("2025-05-14T22:31:00Z"));
    assert_eq!(rows(&message(&mut stream).await.expect("a message")), [("fast clock", 1, true)]);
}

#[tokio::test]
async fn published_windows_when_none_is_open() {
    let world = World::new(windows_view(Vec::new(), Vec::new()));
    let mut stream = open(&world, PATH).await;
    assert_eq!(rows(&message(&mut stream).await.expect("a message")), []);
    let published =
        vec![views("2025-05-14T20:00:00Z", &[("p1", 4), ("p2", 4)]), views("2025-05-14T19:00:00Z", &[("p3", 1)])];
    world.show(windows_view(published, vec![views("2025-05-14T23:00:00Z", &[("future", 1)])]));
    assert_eq!(rows(&message(&mut stream).await.expect("a message")), [("p1", 4, false), ("p2", 4, false)]);
}

#[tokio::test]
async fn streams_end_at_shutdown_and_with_the_view() {
    let view = || windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &[("p1", 1)])]);
    let world = World::new(view());
    let mut stream = open(&world, PATH).await;
    assert!(message(&mut stream).await.is_some());
    world.shutdown.cancel();
    assert!(message(&mut stream).await.is_none());

    let world = World::new(view());
    let mut stream = open(&world, PATH).await;
    assert!(message(&mut stream).await.is_some());
    let World { sender, .. } = world;
    drop(sender);
    assert!(message(&mut stream).await.is_none());
}

#[tokio::test]
async fn streams_are_bounded() {
    let view = windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &[("p1", 1)])]);
    let world = World::with(view, catalog(None), |config| config.live_streams_max = 2);
    let (first, mut second) = (open(&world, PATH).await, open(&world, PATH).await);
    let refused = world.get(PATH).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.body.contains("too_many_streams"), "{}", refused.body);
    assert!(refused.header("retry-after").is_some());
    assert!(world.body("/metrics").await.contains("vitral_http_live_streams 2"));
    drop(first);
    let mut third = open(&world, PATH).await;
    assert!(message(&mut third).await.is_some() && message(&mut second).await.is_some());
}
