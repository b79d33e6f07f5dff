//! The same through the API of the stream's process.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vitral_api::{ApiConfig, ApiInputs, ServeConfig, Telemetry};
use vitral_catalog::DomainSettings;
use vitral_follow::{HttpStream, LiveStates, NotLive, StreamAddress};
use vitral_panes::view::ViewReceiver;
use vitral_query::remote::LivePart;
use vitral_schemas::reconciliation;
use vitral_schemas::time::SystemClock;
use vitral_store::{Layout, Location};

use crate::world::{Shop, end, wait_until};

async fn serve(shop: &Shop, view: ViewReceiver, shutdown: CancellationToken) -> String {
    let mut registry = Registry::default();
    let telemetry = Telemetry::register(&mut registry);
    let files = std::env::temp_dir();
    let found = arrow::array::RecordBatch::new_empty(reconciliation::schema());
    let inputs = ApiInputs {
        catalog: Arc::clone(&shop.catalog),
        view,
        reconciliations: tokio::sync::watch::channel(Arc::new(found)).1,
        histories: tokio::sync::watch::channel(Arc::default()).1,
        clock: Arc::new(SystemClock),
        registry: Arc::new(registry),
        telemetry: telemetry.clone(),
        shutdown: shutdown.clone(),
    };
    let router = vitral_api::router(ApiConfig::new(DomainSettings::default(), files), inputs).expect("a router");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(vitral_api::serve(listener, router, ServeConfig::default(), telemetry, shutdown));
    format!("http://{address}")
}

fn part(answer: Result<Option<LivePart>, NotLive>) -> LivePart {
    answer.expect("an answer").expect("news")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_once_there_is_something_newer() {
    let (shop, dir) = (Shop::new(), tempfile::tempdir().expect("a folder"));
    let store = Location::folder(dir.path()).expect("a store");
    let mut asking = HttpStream::new(StreamAddress::Stored(store.clone()), None).expect("a client");
    let unknown = asking.next(None).await.expect_err("no stream was there");
    assert!(unknown.reason().contains("serve.stream_url"), "{unknown:?}");

    let (stream, mut view) = shop.start(dir.path());
    wait_until(&mut view, |view| view.ready).await;
    let shutdown = CancellationToken::new();
    let url = serve(&shop, view.clone(), shutdown.clone()).await;
    Layout::of(&store).set_stream_address(&url).await.expect("noted");
    let first = part(asking.next(None).await);
    assert!(first.topics.contains_key("eventos") && first.versions.contains_key("contagem"));

    let mut known = first.epoch;
    shop.produce(0..8);
    let read = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let newer = match asking.next(Some(&known)).await.expect("an answer") {
                Some(part) => part,
                None => continue,
            };
            assert_ne!(newer.epoch, known, "what is known is not sent again");
            known = newer.epoch.clone();
            if newer.topics["eventos"].completeness.read == 8 {
                return newer;
            }
        }
    });
    let read = read.await.expect("in time");
    assert_eq!(
        read.metrics["contagem"].starts.len(),
        read.rows(read.metrics["contagem"].open).expect("rows").batches.len()
    );

    end(stream).await;
    shutdown.cancel();
    let away = async {
        loop {
            if let Err(reason) = asking.next(None).await {
                return reason;
            }
        }
    };
    let reason = tokio::time::timeout(Duration::from_secs(60), away).await.expect("in time");
    assert!(matches!(reason, NotLive::Away(_)), "{reason:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_know_the_question_is_of_another_version() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move { axum::serve(listener, axum::Router::new()).await });
    let url = format!("http://{address}").parse().expect("a URL");
    let mut asking = HttpStream::new(StreamAddress::Given(url), None).expect("a client");
    let reason = asking.next(None).await.expect_err("a refusal");
    assert!(matches!(&reason, NotLive::OtherVersion(words) if words.contains("/interno/visao")), "{reason:?}");
}

/// A process that starts shows what is stored before those who ask it have lost patience.
#[tokio::test]
async fn a_stream_that_does_not_answer_is_not_waited_for_at_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let url = format!("http://{}", listener.local_addr().expect("its address")).parse().expect("a URL");
    let mut asking = HttpStream::new(StreamAddress::Given(url), None).expect("a client");
    // Connections wait to be accepted. Later answers have 25 seconds.
    let reason = tokio::time::timeout(Duration::from_secs(15), asking.next(None)).await.expect("in time");
    assert!(matches!(reason, Err(NotLive::Away(_))));
}
