//! A real Alertmanager: what fires is there once, and no longer when that is resolved.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vitral_connect::{Connection, Event, Notification, Notifier};
use vitral_connect_notify::{HttpTarget, notifier};

fn real_alertmanager() -> Option<String> {
    let Ok(url) = std::env::var("VITRAL_TEST_ALERTMANAGER") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "VITRAL_TEST_ALERTMANAGER is not set: run scripts/services start alertmanager"
        );
        eprintln!("left out: VITRAL_TEST_ALERTMANAGER is not set (scripts/services start alertmanager)");
        return None;
    };
    Some(url)
}

/// The alerts of a name that fire there.
async fn active(url: &str, name: &str) -> Vec<serde_json::Value> {
    let address = url.strip_prefix("http://").expect("a URL of http");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET /api/v2/alerts?filter=alertname={name} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    serde_json::from_str(body).expect("an array")
}

#[tokio::test]
async fn an_alert_is_there_once_until_it_is_resolved() {
    let Some(url) = real_alertmanager() else { return };
    let target = HttpTarget::new(&connection(&url), &["127.0.0.1".to_owned()]).expect("a target");
    let notifier = notifier(target).expect("a notifier");
    let name = format!("ruptura_{}", std::process::id());
    let now_ms = chrono::Utc::now().timestamp_millis();
    let fired = Notification {
        id: format!("{name}/p1/1/disparo"),
        title: "Disparado".to_owned(),
        event: Event::Fired,
        subject: name.clone(),
        key: "São Paulo".to_owned(),
        severity: "critical".to_owned(),
        since_ms: now_ms - 60_000,
        at_ms: now_ms - 1_000,
        ..Notification::default()
    };
    // The second time is an attempt whose answer was lost.
    for _ in 0..2 {
        notifier.deliver(&fired).await.expect("accepted");
    }
    let found = active(&url, &name).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let (labels, annotations) = (&found[0]["labels"], &found[0]["annotations"]);
    assert_eq!((&labels["chave"], &labels["severity"]), (&"São Paulo".into(), &"critical".into()));
    assert_eq!(annotations["id"], fired.id);
    let id = format!("{name}/p1/1/resolucao");
    let resolved = Notification { id, event: Event::Resolved, at_ms: now_ms, ..fired };
    notifier.deliver(&resolved).await.expect("accepted");
    assert_eq!(active(&url, &name).await, Vec::<serde_json::Value>::new());
}

fn connection(url: &str) -> Connection {
    let mut connection = Connection::to(url);
    connection.options.insert("format".to_owned(), "alertmanager".to_owned());
    connection
}
