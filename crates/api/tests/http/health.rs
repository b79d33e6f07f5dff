//! Liveness, readiness, telemetry, and what every answer carries.

use axum::body::Body;
use axum::http::Request;
use vitral_panes::view::View;
use vitral_schemas::health::{Phase, Retrying, TopicHealth};
use vitral_schemas::position::{Offset, PartitionId};

use crate::world::{World, views, windows_view};

#[tokio::test]
async fn readiness() {
    let world = World::new(View::default());
    assert_eq!(world.get("/healthz").await.status, 200);
    let answer = world.get("/readyz").await;
    let expected = r#"{"pronto":false,"problemas":[{"assunto":"process","codigo":"starting","detalhe":"what is stored has not been read yet"}]}"#;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (503, expected));
    world.show(windows_view(Vec::new(), Vec::new()));
    assert_eq!(world.body("/readyz").await, r#"{"pronto":true}"#);
    world.shutdown.cancel();
    assert_eq!(world.get("/readyz").await.status, 503);
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let world = World::new(windows_view(Vec::new(), Vec::new()));
    let health = std::sync::Arc::clone(&world.sender.borrow().health);
    let long_ago = std::time::Instant::now().checked_sub(std::time::Duration::from_secs(600)).expect("a time");
    health.topic("eventos_clientes", |topic| topic.phase = Phase::Serving);
    health.topic("devolucoes", |topic| topic.phase = Phase::Waiting("the topic does not exist in Kafka yet".into()));
    // Others are served meanwhile.
    let expected = r#"{"pronto":true,"problemas":[{"assunto":"devolucoes","codigo":"waiting","detalhe":"the topic does not exist in Kafka yet"}]}"#;
    assert_eq!(world.body("/readyz").await, expected);
    type Change = fn(&mut TopicHealth, std::time::Instant);
    let cases: [(&str, Change, Change); 3] = [
        ("not_committing", |topic, then| topic.uncommitted = Some(then), |topic, _| topic.uncommitted = None),
        (
            "retrying",
            |topic, then| topic.retrying = Some(Retrying { since: then, attempts: 9, reason: "403 Forbidden".into() }),
            |topic, _| topic.recovered(),
        ),
        (
            "partition_stuck",
            |topic, then| topic.reads(PartitionId(3), Offset(7), Some(Offset(9)), then),
            |topic, _| topic.reads(PartitionId(3), Offset(9), Some(Offset(9)), std::time::Instant::now()),
        ),
    ];
    for (code, begin, end) in cases {
        health.topic("eventos_clientes", |topic| begin(topic, long_ago));
        let answer = world.get("/readyz").await;
        assert_eq!(answer.status, 503, "{code}");
        assert!(answer.body.contains(&format!("\"codigo\":\"{code}\"")), "{code}: {}", answer.body);
        health.topic("eventos_clientes", |topic| end(topic, long_ago));
        assert_eq!(world.get("/readyz").await.status, 200, "{code}");
    }
    health.task("hourly check", |task| task.down = Some((long_ago, "it panicked".into())));
    assert_eq!(world.get("/readyz").await.status, 503);
    assert_eq!(world.get("/healthz").await.status, 200, "a restart would not help");
}

#[tokio::test]
async fn telemetry() {
    let world = World::new(windows_view(Vec::new(), Vec::new()));
    world.get("/metricas/produtos_mais_vistos").await;
    world.get("/metricas/nada").await;
    world.get("/nada").await;
    let strange = Request::builder().method("BREW").uri("/metricas").body(Body::empty()).expect("a request");
    world.ask(strange).await;
    let answer = world.get("/metrics").await;
    assert!(answer.header("content-type").is_some_and(|text| text.starts_with("application/openmetrics-text")));
    for line in [
        r#"vitral_http_requests_total{method="GET",route="/metricas/{nome}",status="200"} 1"#,
        r#"vitral_http_requests_total{method="GET",route="/metricas/{nome}",status="404"} 1"#,
        r#"vitral_http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"vitral_http_requests_total{method="other",route="/metricas",status="405"} 1"#,
        r#"vitral_http_request_seconds_count{route="/metricas/{nome}"} 2"#,
        "vitral_http_live_streams 0",
        "# EOF",
    ] {
        assert!(answer.body.contains(line), "{line} is not in\n{}", answer.body);
    }
}

#[tokio::test]
async fn correlation_ids() {
    let world = World::new(View::default());
    let ask = async |id: &str| {
        let request = Request::get("/healthz").header("x-correlation-id", id).body(Body::empty()).expect("a request");
        world.ask(request).await.header("x-correlation-id").map(str::to_owned).expect("an id")
    };
    assert_eq!(ask("pedido-7_a.b").await, "pedido-7_a.b");
    assert_ne!(ask("two words").await, "two words");
    assert_ne!(ask(&"x".repeat(65)).await.len(), 65);
    let answer = world.get("/healthz").await;
    assert_eq!(answer.header("x-correlation-id").map(str::len), Some(36));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn compression_for_those_who_ask() {
    let rows = [("p1", 1); 20];
    let world = World::new(windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &rows)]));
    let path = "/metricas/produtos_mais_vistos";
    assert_eq!(world.get(path).await.header("content-encoding"), None);
    let encoding = async |path: &str, accepted: &str| {
        let request = Request::get(path).header("accept-encoding", accepted).body(Body::empty()).expect("a request");
        world.ask(request).await.header("content-encoding").map(str::to_owned)
    };
    assert_eq!(encoding(path, "br, gzip").await.as_deref(), Some("gzip"));
    assert_eq!(encoding(path, "zstd;q=1, gzip;q=0.5").await.as_deref(), Some("zstd"));
    // What fits into one packet would not arrive sooner.
    assert_eq!(encoding("/healthz", "gzip").await, None);
}
