//! Notifiers over HTTP against receivers of this process: they conform, sign, and know what is
//! worth another attempt.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vitral_connect::conformance::notifier_conforms;
use vitral_connect::{ConnectError, Connection, Event, Notification, Notifier, RetryHint, Secret};
use vitral_connect_notify::{HttpTarget, notifier};

const KEY: &str = "0123456789abcdef";

#[derive(Debug, Clone, Default)]
struct Request {
    target: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Answers every request with the same head, and keeps what came.
struct Receiver {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    async fn answering(head: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Some(request) = read(stream, head).await {
                    kept.lock().expect("no panic").push(request);
                }
            }
        });
        Self { address, requests }
    }

    fn notifier(&self, format: &str) -> Box<dyn Notifier> {
        let mut connection = Connection::to(format!("http://{}/base", self.address));
        connection.options.insert("format".to_owned(), format.to_owned());
        for (key, value) in [("path", "hook/hush"), ("token", "tok"), ("signing_key", KEY)] {
            connection.secrets.insert(key.to_owned(), Secret::new(value.to_owned()));
        }
        let target = HttpTarget::new(&connection, &["127.0.0.1".to_owned()]).expect("a target");
        notifier(target).expect("a notifier")
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }

    fn ids(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.headers["idempotency-key"].clone()).collect()
    }
}

async fn read(mut stream: TcpStream, head: &str) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = text.split("\r\n");
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    while bytes.len() < end + 4 + length {
        stream.read_buf(&mut bytes).await.ok()?;
    }
    let body = String::from_utf8(bytes[end + 4..].to_vec()).ok()?;
    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwhy?");
    stream.write_all(answer.as_bytes()).await.ok()?;
    Some(Request { target, headers, body })
}

fn fired() -> Notification {
    Notification {
        id: "ruptura/p1/1/disparo".to_owned(),
        title: "Disparado: ruptura, p1".to_owned(),
        event: Event::Fired,
        subject: "ruptura".to_owned(),
        key: "p1".to_owned(),
        rows: r#"[{"preco":12.50}]"#.to_owned(),
        ..Notification::default()
    }
}

async fn failure(head: &'static str) -> ConnectError {
    let receiver = Receiver::answering(head).await;
    receiver.notifier("webhook").deliver(&fired()).await.expect_err(head)
}

#[tokio::test]
async fn every_format_conforms() {
    for format in ["webhook", "slack", "alertmanager"] {
        let receiver = Receiver::answering("200 OK").await;
        notifier_conforms(&receiver.notifier(format), async || receiver.ids()).await;
    }
}

#[tokio::test]
async fn a_webhook_is_signed_and_whole() {
    let receiver = Receiver::answering("204 No Content").await;
    receiver.notifier("webhook").deliver(&fired()).await.expect("accepted");
    let request = &receiver.requests()[0];
    assert_eq!(request.target, "/base/hook/hush");
    assert_eq!(request.headers["authorization"], "Bearer tok");
    assert!(request.body.contains(r#""linhas":[{"preco":12.50}]"#), "{}", request.body);
    // What a receiver does: the time and the body under the key.
    let (time, signed) = request.headers["vitral-signature"].split_once(",v1=").expect("two parts");
    let time = time.strip_prefix("t=").expect("a time");
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    let own = hmac::sign(&key, format!("{time}.{}", request.body).as_bytes());
    let own: String = own.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(own, signed);
    assert!((chrono::Utc::now().timestamp() - time.parse::<i64>().expect("seconds")).abs() < 60);
}

#[tokio::test]
async fn alertmanager_has_an_address_of_its_own() {
    let receiver = Receiver::answering("200 OK").await;
    receiver.notifier("alertmanager").deliver(&fired()).await.expect("accepted");
    let request = &receiver.requests()[0];
    assert_eq!(request.target, "/base/hook/hush/api/v2/alerts");
    let alerts: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(alerts[0]["labels"]["alertname"], "ruptura");
}

#[tokio::test]
async fn what_is_worth_another_attempt() {
    for head in ["503 Service Unavailable", "429 Too Many Requests", "408 Request Timeout", "502 Bad Gateway"] {
        assert_eq!(failure(head).await.retry_hint(), RetryHint::Outage, "{head}");
    }
    assert_eq!(failure("500 Oops\r\nretry-after: 9").await.retry_hint(), RetryHint::Outage, "it says so");
    let of_the_message = [
        "400 Bad Request",
        "413 Content Too Large",
        "422 Unprocessable Content",
        "431 Request Header Fields Too Large",
    ];
    // It is not away, and may be corrected.
    let of_the_receiver = [
        "500 Internal Server Error",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "410 Removed",
        "301 Moved Permanently",
    ];
    let refused = of_the_message.map(|head| (head, RetryHint::Permanent));
    let passing = of_the_receiver.map(|head| (head, RetryHint::Passing));
    for (head, hint) in refused.into_iter().chain(passing) {
        let error = failure(head).await;
        assert_eq!(error.retry_hint(), hint, "{head}");
        let text = error.to_string();
        assert!(text.contains("why?") && text.contains(&head[..3]) && !text.contains("hush"), "{text}");
    }
}

#[tokio::test]
async fn nothing_is_followed_to_another_host() {
    let other = Receiver::answering("200 OK").await;
    let head: &'static str =
        Box::leak(format!("307 Temporary Redirect\r\nlocation: http://{}/", other.address).into_boxed_str());
    assert_eq!(failure(head).await.retry_hint(), RetryHint::Passing);
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_receiver_that_is_away_is_waited_for() {
    let receiver = Receiver::answering("200 OK").await;
    let notifier = receiver.notifier("webhook");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = listener.local_addr().expect("an address");
    drop(listener);
    let mut connection = Connection::to(format!("http://{nobody}"));
    connection.secrets.insert("path".to_owned(), Secret::new("hush".to_owned()));
    let target = HttpTarget::new(&connection, &["127.0.0.1".to_owned()]).expect("a target");
    let error = vitral_connect_notify::notifier(target).expect("a notifier").deliver(&fired()).await.expect_err("away");
    assert!(error.is_outage() && !error.to_string().contains("hush"), "{error}");
    notifier.deliver(&fired()).await.expect("the other is there");
}
