//! A small service on this machine, and what is not spoken to.

use std::sync::Arc;

use arrow::array::StringArray;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vitral_connect::RetryHint;
use vitral_connect::conformance::{found_by_key_alone, lookup_conforms};
use vitral_schemas::diagnostic::Position;
use vitral_schemas::lookup::{LookupOrigin, NamedConnection, OnFailure};
use vitral_schemas::topic::{Column, ColumnKind};

use super::*;

fn table(path: &str) -> LookupTable {
    let connection = NamedConnection { name: "crm".to_owned(), position: Position::file("a.sql") };
    LookupTable {
        name: "perfis".to_owned(),
        columns: vec![Column::new("chave", ColumnKind::Text), Column::new("valor", ColumnKind::Text)],
        key: "chave".to_owned(),
        origin: LookupOrigin::Http { connection, path: path.to_owned() },
        cache_ms: 0,
        timeout_ms: 1_000,
        retries: 0,
        on_failure: OnFailure::Null,
    }
}

/// What the service makes of a request's path and body: a status and a body.
type Service = fn(&str, &str) -> (u16, String);

async fn serve(service: Service) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, service));
        }
    });
    format!("http://{address}/api")
}

async fn answer(mut stream: TcpStream, service: Service) {
    let mut request = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).await.expect("a request");
        if count == 0 {
            return;
        }
        request.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase();
        let length = length.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        let path = head.split(' ').nth(1).expect("a path");
        let (status, body) = service(path, body);
        let answer =
            format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        return stream.write_all(answer.as_bytes()).await.expect("answered");
    }
}

fn lookup(url: &str, path: &str) -> HttpLookup {
    let allowed = ["127.0.0.1".to_owned()];
    HttpLookup::new(&table(path), path, &Connection::to(url), &allowed).expect("a look-up")
}

async fn error(service: Service, path: &str) -> ConnectError {
    let lookup = lookup(&serve(service).await, path);
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    lookup.get(&keys).await.expect_err("an error")
}

#[tokio::test]
async fn a_service_that_takes_many_keys_conforms() {
    let service: Service = |path, body| {
        assert_eq!(path, "/api/perfis");
        let keys: Value = serde_json::from_str(body).expect("JSON");
        let keys = keys["keys"].as_array().expect("keys");
        let known = keys.iter().filter_map(|key| match key.as_str() {
            Some("a") => Some(json!({ "chave": "a", "valor": "1", "outra": [1] })),
            Some("b") => Some(json!({ "chave": "b", "valor": "2" })),
            _ => None,
        });
        (200, Value::from(known.collect::<Vec<_>>()).to_string())
    };
    lookup_conforms(&lookup(&serve(service).await, "/perfis"), "valor").await;
}

#[tokio::test]
async fn a_service_that_takes_one_key_conforms() {
    let service: Service = |path, _| match path {
        "/api/usuarios/a/perfil" => (200, json!({ "valor": "1" }).to_string()),
        "/api/usuarios/b/perfil" => (200, json!({ "valor": "2" }).to_string()),
        _ => (404, "{}".to_owned()),
    };
    let lookup = lookup(&serve(service).await, "/usuarios/{key}/perfil");
    lookup_conforms(&lookup, "valor").await;
    found_by_key_alone(&lookup).await;
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["../usuarios/a", "a?x=1", ".."]));
    let rows = lookup.get(&keys).await.expect("rows");
    assert_eq!(rows.column(0).null_count(), 3, "a key's signs lead nowhere else");
}

#[tokio::test]
async fn a_row_that_cannot_be_used_costs_no_other_its_answer() {
    let service: Service = |_, _| {
        (200, r#"[{"chave": "a", "valor": [1]}, {"chave": "b", "valor": 1234567890123456.78}, 7, {"chave": "c", "valor": "x"}]"#.to_owned())
    };
    let lookup = lookup(&serve(service).await, "/perfis");
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let rows = lookup.get(&keys).await.expect("rows");
    let values: Vec<_> = rows.column(1).as_string::<i32>().iter().collect();
    assert_eq!(values, [None, Some("1234567890123456.78"), Some("x")]);
}

#[tokio::test]
async fn an_error_of_keys_is_told_from_one_of_the_service() {
    let of_keys = async |service: Service, path: &str| error(service, path).await.is_of_keys();
    for path in ["/perfis/{key}", "/perfis"] {
        assert!(of_keys(|_, _| (400, String::new()), path).await, "a bad request, {path}");
        assert!(of_keys(|_, _| (422, String::new()), path).await, "what cannot be processed, {path}");
        assert!(of_keys(|_, _| (200, "<html>".to_owned()), path).await, "no JSON, {path}");
        assert!(!of_keys(|_, _| (401, String::new()), path).await, "a wrong token, {path}");
        assert!(!of_keys(|_, _| (503, String::new()), path).await, "an outage, {path}");
        assert!(!of_keys(|_, _| (429, String::new()), path).await, "too many requests, {path}");
    }
    assert!(of_keys(|_, _| (200, "[1]".to_owned()), "/perfis/{key}").await, "no object");
    let lookup = lookup("http://127.0.0.1:1", "/perfis/{key}");
    assert_eq!(lookup.portion().keys, 1, "each key has its own time and attempts");
}

#[tokio::test]
async fn what_fails_says_whether_it_may_pass() {
    let busy = error(|_, _| (503, String::new()), "/perfis").await;
    assert_eq!((busy.retry_hint(), busy.to_string().contains("503")), (RetryHint::Passing, true));
    let refused = error(|_, _| (403, String::new()), "/perfis").await;
    assert_eq!(refused.retry_hint(), RetryHint::Permanent);
    let odd = error(|_, _| (200, r#"{"chave": "a"}"#.to_owned()), "/perfis").await;
    assert!(odd.to_string().contains("perfis") && odd.to_string().contains("array"), "{odd}");
    let moved = error(|_, _| (302, String::new()), "/perfis").await;
    assert!(moved.to_string().contains("302"), "redirects are not followed: {moved}");
}

#[test]
fn hosts_that_are_not_allowed_or_not_private_are_refused() {
    let refused = |url: &str, words: &str| {
        let allowed = ["api.example.com".to_owned(), "localhost".to_owned()];
        let error = HttpLookup::new(&table("/x"), "/x", &Connection::to(url), &allowed).expect_err(words).to_string();
        assert!(error.contains(words) && !error.contains("hush"), "{error}");
    };
    refused("https://other.example.com", "http.allowed_hosts");
    refused("http://api.example.com", "https://");
    refused("https://user:hush@api.example.com", "secrets.authorization");
    refused("ftp://localhost", "https://");
    let local = Connection::to("http://localhost:1");
    HttpLookup::new(&table("/x"), "/x", &local, &["LOCALHOST".to_owned()]).expect("allowed");
}
