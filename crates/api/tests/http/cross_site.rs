//! What pages of other sites may make a browser send, what sessions of browsers are, and how much
//! anybody may send.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use futures::stream;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use vitral_api::ServeConfig;

use crate::keyed::{JSON, Keyed, OWN_PAGE, bearer, text};
use crate::world::{Answer, World, catalog, windows_view};

const BODY: usize = 100 << 20;
const SILENCES: &str = "/alertas/marca_dagua_parada/silencios";
const UNTIL: &str = r#"{"ate": "2025-05-15T12:00:00Z"}"#;
const OTHER_PAGE: (&str, &str) = ("origin", "https://painel.example");

fn is_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert!(answer.body.contains(&format!("\"code\":\"{code}\"")), "{code}: {}", answer.body);
}

#[tokio::test]
async fn a_session_is_a_cookie_that_no_script_and_no_other_site_can_use() {
    let keyed = Keyed::with(None, |config| config.hosts = vec!["painel.loja.example".to_owned()]).await;
    let key = keyed.key(&["admin"]).await;
    let page = keyed.world.get("/entrar").await;
    assert!(page.header("content-security-policy").is_some_and(|policy| !policy.contains("unsafe-inline")));
    assert!(page.body.contains("/assets/shared/sign_in.js") && !page.body.contains("<script>"), "{}", page.body);
    let body = serde_json::json!({ "chave": text(&key) }).to_string();
    let enter = async |lines: &[(&str, &str)]| keyed.ask(Method::POST, "/entrar", lines, body.clone()).await;
    let answer = enter(&[JSON, OWN_PAGE]).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (204, ""));
    let cookie = answer.header("set-cookie").expect("a cookie");
    let (value, attributes) = cookie.split_once(';').expect("attributes");
    assert!(value.starts_with("vitral_sessao=") && !cookie.contains(key.id.trim_start_matches("vk_")), "{cookie}");
    assert_eq!(attributes.trim(), "Path=/; Max-Age=28800; HttpOnly; SameSite=Strict");
    let secure = [JSON, ("host", "painel.loja.example"), ("origin", "https://painel.loja.example")];
    let cookie = enter(&secure).await.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.ends_with("; SameSite=Strict; Secure"), "{cookie}");

    let session = ("cookie", value);
    let get = async |lines: &[(&str, &str)]| keyed.ask(Method::GET, "/metricas", lines, Body::empty()).await;
    let answer = get(&[session]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("vitral-principal").is_some_and(|name| name.contains(&key.id)));
    assert_eq!(get(&[session, ("sec-fetch-site", "same-origin")]).await.status, 200);
    is_problem(&get(&[session, ("sec-fetch-site", "cross-site")]).await, 403, "foreign_origin");
    is_problem(&get(&[session, ("host", "evil.example")]).await, 421, "unknown_host");
    is_problem(&get(&[("cookie", "vitral_sessao=eyJ9.x")]).await, 401, "invalid_credentials");
    let post = async |lines: &[(&str, &str)]| keyed.ask(Method::POST, SILENCES, lines, UNTIL).await;
    assert_eq!(post(&[session, JSON, OWN_PAGE]).await.status, 201);
    is_problem(&post(&[session, JSON]).await, 403, "foreign_origin");
    is_problem(&post(&[session, JSON, OTHER_PAGE]).await, 403, "foreign_origin");
    is_problem(&post(&[session, JSON, ("origin", "null")]).await, 403, "foreign_origin");
    keyed.revoke(&key).await;
    is_problem(&get(&[session]).await, 401, "invalid_credentials");
}

#[tokio::test]
async fn who_signs_in_shows_a_key_and_is_signed_out_again() {
    let keyed = Keyed::new().await;
    let key = keyed.key(&["*:read"]).await;
    let enter =
        async |lines: &[(&str, &str)], body: &str| keyed.ask(Method::POST, "/entrar", lines, body.to_owned()).await;
    let good = serde_json::json!({ "chave": text(&key) }).to_string();
    is_problem(&enter(&[JSON, OWN_PAGE], r#"{"chave":"vk_a.b"}"#).await, 401, "invalid_credentials");
    is_problem(&enter(&[JSON, OWN_PAGE], r#"{"key":"x"}"#).await, 400, "invalid_body");
    // Nobody is signed in by another site as somebody else.
    is_problem(&enter(&[JSON, OTHER_PAGE], &good).await, 403, "foreign_origin");
    let form = [("content-type", "application/x-www-form-urlencoded"), ("content-length", "9"), OWN_PAGE];
    is_problem(&enter(&form, "chave=abc").await, 415, "unsupported_media_type");
    let session = keyed.session(&key).await;
    is_problem(&keyed.ask(Method::POST, "/sair", &[("cookie", &session)], "").await, 403, "foreign_origin");
    let answer = keyed.ask(Method::POST, "/sair", &[("cookie", &session), OWN_PAGE], "").await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.starts_with("vitral_sessao=; Path=/; Max-Age=0;")));
    // Without access control there is nobody to sign in.
    let world = World::new(windows_view(Vec::new(), Vec::new()));
    assert_eq!(world.get("/entrar").await.header("location"), Some("/"));
}

#[tokio::test]
async fn pages_that_the_configuration_names_may_ask() {
    let keyed = Keyed::with(None, |config| config.cors_origins = vec![OTHER_PAGE.1.to_owned()]).await;
    let key = keyed.key(&["admin"]).await;
    let asked = [
        OTHER_PAGE,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,idempotency-key"),
    ];
    let answer = keyed.ask(Method::OPTIONS, SILENCES, &asked, Body::empty()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(OTHER_PAGE.1));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    let allowed = answer.header("access-control-allow-headers").expect("headers");
    assert!(allowed.contains("authorization") && allowed.contains("idempotency-key"), "{allowed}");
    let credentials = ("authorization", bearer(&key));
    let credentials = (credentials.0, credentials.1.as_str());
    assert_eq!(keyed.ask(Method::POST, SILENCES, &[OTHER_PAGE, JSON, credentials], UNTIL).await.status, 201);
    let answer = keyed.ask(Method::GET, "/livro", &[OTHER_PAGE, credentials], Body::empty()).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(OTHER_PAGE.1));
    let readable = answer.header("access-control-expose-headers").expect("headers").to_owned();
    let names = answer.headers.keys().map(|name| name.as_str());
    let own: Vec<_> = names.filter(|name| name.starts_with("vitral-")).collect();
    assert!(own.len() > 3 && own.iter().all(|name| readable.contains(name)), "{readable}");
    assert!(readable.contains("etag") && readable.contains("link"), "{readable}");
    // What is refused may be read too.
    let answer = keyed.ask(Method::GET, "/livro", &[OTHER_PAGE], Body::empty()).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (401, Some(OTHER_PAGE.1)));
    let answer =
        keyed.ask(Method::GET, "/livro", &[("origin", "https://evil.example"), credentials], Body::empty()).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn without_access_control_other_pages_change_nothing_either() {
    let world = World::with(windows_view(Vec::new(), Vec::new()), catalog(None), |_| {});
    let request = axum::http::Request::post(SILENCES).header("origin", "https://evil.example");
    let request = request.header("content-type", "application/json").body(Body::from(UNTIL)).expect("a request");
    is_problem(&world.ask(request).await, 403, "foreign_origin");
    let answer = world.get("/livro").await;
    for (name, value) in [("cross-origin-opener-policy", "same-origin"), ("permissions-policy", "geolocation=()")] {
        assert!(answer.header(name).is_some_and(|found| found.contains(value)), "{name}");
    }
    assert_eq!(answer.header("strict-transport-security"), None);
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let keyed = Keyed::new().await;
    let key = keyed.key(&["admin"]).await;
    let polled = Arc::new(AtomicUsize::new(0));
    let endless = || {
        let polled = Arc::clone(&polled);
        Body::from_stream(stream::repeat_with(move || {
            polled.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(vec![b' '; 16 << 10])
        }))
    };
    let credentials = bearer(&key);
    let lines = [JSON, ("authorization", credentials.as_str())];
    let declared = [lines[0], lines[1], ("content-length", "104857600")];
    is_problem(&keyed.ask(Method::POST, SILENCES, &declared, endless()).await, 413, "body_too_large");
    assert_eq!(polled.load(Ordering::SeqCst), 0, "nothing of it was read");
    let chunked = [lines[0], lines[1], ("transfer-encoding", "chunked")];
    is_problem(&keyed.ask(Method::POST, SILENCES, &chunked, endless()).await, 413, "body_too_large");
    assert!(polled.load(Ordering::SeqCst) <= 5, "64 KiB and one piece");
    // Nobody who is not known makes it read at all.
    let polled_before = polled.load(Ordering::SeqCst);
    is_problem(&keyed.ask(Method::POST, SILENCES, &[JSON], endless()).await, 401, "missing_credentials");
    assert_eq!(polled.load(Ordering::SeqCst), polled_before);
}

/// Over a real connection, and by a client that does not listen.
#[tokio::test]
async fn a_client_that_sends_on_is_cut_off() {
    let keyed = Keyed::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(keyed.world.serve(listener, ServeConfig::default()));
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    let head = format!("POST {SILENCES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    let head = format!("{head}Content-Length: {BODY}\r\n\r\n");
    connection.write_all(head.as_bytes()).await.expect("sent");
    let piece = vec![b' '; 64 << 10];
    let mut sent = 0;
    while sent < BODY && connection.write_all(&piece).await.is_ok() {
        sent += piece.len();
    }
    assert!(sent < BODY / 2, "{sent} bytes, most of them waiting in sockets");
    keyed.world.shutdown.cancel();
    server.await.expect("no panic").expect("no error");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let keyed = Keyed::with(None, |config| config.body = Duration::from_millis(50)).await;
    let key = keyed.key(&["admin"]).await;
    let never = Body::from_stream(stream::pending::<std::io::Result<Vec<u8>>>());
    let answer = keyed.ask(Method::POST, SILENCES, &[JSON, ("authorization", &bearer(&key))], never).await;
    is_problem(&answer, 408, "slow_body");
}
