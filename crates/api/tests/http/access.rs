//! Who may ask, and how often; what becomes of those who may not.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
use tower::ServiceExt as _;
use vitral_access::Limit;
use vitral_schemas::health::Phase;
use vitral_store::{Location, audit_trail};

use crate::keyed::{JSON, Keyed, OWN_PAGE, bearer, text};
use crate::world::Answer;

const PATIENCE: Duration = Duration::from_secs(20);
const SILENCES: &str = "/alertas/marca_dagua_parada/silencios";
const UNTIL: &str = r#"{"ate": "2025-05-15T12:00:00Z"}"#;

fn is_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(answer.body.contains(&format!("\"code\":\"{code}\"")), "{code}: {}", answer.body);
}

#[tokio::test]
async fn nothing_is_told_without_credentials() {
    let keyed = Keyed::new().await;
    for path in [
        "/metricas",
        "/metricas/produtos_mais_vistos",
        "/metricas/produtos_mais_vistos/ao_vivo",
        "/livro",
        "/avisos",
        "/metrics",
        "/interno/visao",
        "/nada",
    ] {
        let answer = keyed.world.get(path).await;
        is_problem(&answer, 401, "missing_credentials");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"vitral\""), "{path}");
        assert_eq!(answer.header("ratelimit-limit"), None);
    }
    for path in ["/", "/assets/page.css", "/healthz", "/readyz", "/entrar"] {
        assert_eq!(keyed.world.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_key_is_shown_in_either_way() {
    let keyed = Keyed::new().await;
    let key = keyed.key(&["*:read"]).await;
    let basic = format!("Basic {}", BASE64_STANDARD.encode(text(&key).replacen('.', ":", 1)));
    for authorization in [bearer(&key), basic] {
        assert_eq!(keyed.get("/metricas", &authorization).await.status, 200);
    }
    for authorization in ["Bearer x", "Bearer vk_a.b", "Basic eDp5", "Digest x", "Bearer eyJhbGciOiJub25lIn0.e30."] {
        is_problem(&keyed.get("/metricas", authorization).await, 401, "invalid_credentials");
    }
    // Which of two is meant is not guessed.
    let (shown, again) = (bearer(&key), bearer(&key));
    let twice = [("authorization", shown.as_str()), ("authorization", again.as_str())];
    let twice = keyed.ask(Method::GET, "/metricas", &twice, Body::empty()).await;
    is_problem(&twice, 401, "invalid_credentials");
    assert!(twice.body.contains("Authorization is given more than once"), "{}", twice.body);
    keyed.revoke(&key).await;
    is_problem(&keyed.get("/metricas", &bearer(&key)).await, 401, "invalid_credentials");
}

#[tokio::test]
async fn scopes_are_held_against_what_is_asked() {
    let keyed = Keyed::new().await;
    let (reader, writer) = (keyed.key(&["*:read"]).await, keyed.key(&["eventos:write"]).await);
    let (metrics, admin) = (keyed.key(&["metrics:read"]).await, keyed.key(&["admin"]).await);
    for (key, status) in [(&reader, 200), (&writer, 403), (&metrics, 200), (&admin, 200)] {
        assert_eq!(keyed.get("/metrics", &bearer(key)).await.status, status);
    }
    // Its counts are of all rows.
    let filters = [("regiao".to_owned(), ["SP".to_owned()].into())].into_iter().collect();
    let of_some = keyed.key_with(&["*:read"], filters).await;
    is_problem(&keyed.get("/metrics", &bearer(&of_some)).await, 403, "forbidden");
    is_problem(&keyed.get("/vendas/resumo", &bearer(&writer)).await, 403, "forbidden");
    for (key, status) in [(&reader, 403), (&writer, 403), (&admin, 201)] {
        let lines = [JSON, ("authorization", &bearer(key)), ("x-forwarded-for", "192.0.2.7")];
        let answer = keyed.ask_from("192.0.2.8", Method::POST, SILENCES, &lines, UNTIL).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
}

#[tokio::test]
async fn only_those_who_are_known_hear_what_is_wrong() {
    let keyed = Keyed::new().await;
    let health = std::sync::Arc::clone(&keyed.world.sender.borrow().health);
    health.topic("devolucoes", |topic| topic.phase = Phase::Waiting("the topic does not exist in Kafka yet".into()));
    assert_eq!(keyed.world.body("/readyz").await, r#"{"pronto":true}"#);
    let key = keyed.key(&["metrics:read"]).await;
    assert!(keyed.get("/readyz", &bearer(&key)).await.body.contains("devolucoes"));
    is_problem(&keyed.get("/readyz", "Bearer vk_a.b").await, 401, "invalid_credentials");
}

#[tokio::test]
async fn each_key_may_ask_so_often() {
    let limit = Limit { requests: 3, per: Duration::from_secs(3600) };
    let keyed = Keyed::with(Some(limit), |_| {}).await;
    let (mine, other) = (keyed.key(&["*:read"]).await, keyed.key(&["livro:read"]).await);
    for remaining in ["2", "1", "0"] {
        let answer = keyed.get("/metricas", &bearer(&mine)).await;
        assert_eq!((answer.status.as_u16(), answer.header("ratelimit-limit")), (200, Some("3")));
        assert_eq!(answer.header("ratelimit-remaining"), Some(remaining));
        assert!(answer.header("ratelimit-reset").is_some_and(|reset| reset.parse::<u32>().is_ok()));
    }
    let answer = keyed.get("/metricas", &bearer(&mine)).await;
    is_problem(&answer, 429, "too_many_requests");
    let seconds = |name: &str| answer.header(name).and_then(|text| text.parse::<u32>().ok()).expect("seconds");
    assert!((1..=1200).contains(&seconds("retry-after")) && seconds("ratelimit-reset") > 1200);
    assert_eq!(answer.header("ratelimit-remaining"), Some("0"));
    assert_eq!(keyed.get("/metricas", &bearer(&other)).await.status, 200);
    // What is refused for its scope was asked too.
    is_problem(&keyed.get("/metrics", &bearer(&other)).await, 403, "forbidden");
    assert_eq!(keyed.get("/metricas", &bearer(&other)).await.header("ratelimit-remaining"), Some("0"));
}

#[tokio::test]
async fn secrets_cannot_be_tried_at_will() {
    let keyed = Keyed::with(None, |config| config.trusted_proxies = vec!["10.0.0.0/8".to_owned()]).await;
    let key = keyed.key(&["*:read"]).await;
    let wrong = format!("Bearer {}.wrong", key.id);
    let get = async |address: &str, lines: &[(&str, &str)]| {
        keyed.ask_from(address, Method::GET, "/metricas", lines, Body::empty()).await
    };
    for _ in 0..20 {
        is_problem(&get("192.0.2.1", &[("authorization", &wrong)]).await, 401, "invalid_credentials");
    }
    let refused = get("192.0.2.1", &[("authorization", &bearer(&key))]).await;
    is_problem(&refused, 429, "too_many_failures");
    assert!(refused.header("retry-after").is_some());
    // Whatever way they are tried, and through which proxy.
    let pasted = keyed.ask_from("192.0.2.1", Method::POST, "/entrar", &[JSON], r#"{"chave":"vk_a.b"}"#).await;
    is_problem(&pasted, 429, "too_many_failures");
    let proxied = [("authorization", bearer(&key)), ("x-forwarded-for", "192.0.2.1".to_owned())];
    let proxied = proxied.each_ref().map(|(name, value)| (*name, value.as_str()));
    is_problem(&get("10.0.0.9", &proxied).await, 429, "too_many_failures");
    // An address that only says so is another.
    assert_eq!(get("192.0.2.2", &proxied).await.status, 200);
    assert_eq!(get("192.0.2.2", &[("authorization", &bearer(&key))]).await.status, 200);
}

#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let keyed = Keyed::with(None, |config| config.stream_check = Duration::from_millis(50)).await;
    let key = keyed.key(&["*:read"]).await;
    let request = Request::get("/metricas/produtos_mais_vistos/ao_vivo").header("host", "localhost");
    let request = request.header("cookie", keyed.session(&key).await).body(Body::empty()).expect("a request");
    let response = keyed.world.router.clone().oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let mut pieces = response.into_body().into_data_stream();
    let first = pieces.next().await.expect("a message").expect("whole");
    assert!(String::from_utf8_lossy(&first).contains("produtos_mais_vistos"));
    keyed.revoke(&key).await;
    let rest = async { while pieces.next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, rest).await.expect("it ends");
}

/// Rows of `auditoria`: who, what, with which result, and how often.
async fn audited(store: &Location, action: &str) -> Vec<(String, String, String)> {
    let Some(trail) = audit_trail(store).await.expect("read") else { return Vec::new() };
    let session = SessionContext::new();
    session.register_table("auditoria", trail).expect("registered");
    let sql = format!(
        "SELECT principal || '' AS p, resultado || '' AS r, coalesce(depois, '') AS d FROM auditoria WHERE acao = '{action}'"
    );
    let batches = session.sql(&sql).await.expect("planned").collect().await.expect("rows");
    let rows = batches.iter().flat_map(|batch| {
        let text = |column: usize, row: usize| {
            arrow::util::display::array_value_to_string(batch.column(column), row).expect("a text")
        };
        (0..batch.num_rows()).map(move |row| (text(0, row), text(1, row), text(2, row))).collect::<Vec<_>>()
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn denials_are_written_down_once_a_minute() {
    let keyed = Keyed::new().await;
    let key = keyed.key(&["eventos:write"]).await;
    for _ in 0..15 {
        is_problem(&keyed.get("/metrics", &bearer(&key)).await, 403, "forbidden");
        is_problem(&keyed.get("/metrics", "Bearer vk_a.b").await, 401, "invalid_credentials");
        is_problem(&keyed.world.get("/metrics").await, 401, "missing_credentials");
    }
    keyed.session(&key).await;
    let deadline = Instant::now() + PATIENCE;
    let (mut denied, mut entered) = (Vec::new(), Vec::new());
    while (denied.len() < 2 || entered.is_empty()) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
        denied = audited(&keyed.store, "negar").await;
        entered = audited(&keyed.store, "entrar").await;
    }
    denied.sort();
    let [(address, invalid, times), (principal, forbidden, _)] = &denied[..] else { panic!("{denied:?}") };
    assert_eq!(
        (address.as_str(), invalid.as_str(), forbidden.as_str()),
        ("http:127.0.0.1", "invalid_credentials", "forbidden")
    );
    assert!(principal.contains(&key.id) && times.starts_with("{\"vezes\":"), "{denied:?}");
    assert!(entered.len() == 1 && entered[0].0.contains(&key.id), "{entered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_are_written_down() {
    let keyed = Keyed::new().await;
    let key = keyed.key(&["*:read"]).await;
    for accept in ["text/csv", "application/json", "text/csv"] {
        let lines = [("authorization", bearer(&key)), ("accept", accept.to_owned())];
        let lines = lines.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(keyed.ask(Method::GET, "/vendas/resumo", &lines, Body::empty()).await.status, 200);
    }
    let deadline = Instant::now() + PATIENCE;
    let mut exported = Vec::new();
    while exported.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
        exported = audited(&keyed.store, "exportar").await;
    }
    let [(principal, result, times)] = &exported[..] else { panic!("{exported:?}") };
    assert!(principal.contains(&key.id) && result == "ok", "{exported:?}");
    assert!(times.is_empty() || times == "{\"vezes\":2}", "{exported:?}");
}

#[tokio::test]
async fn a_silence_is_audited_under_its_key() {
    let keyed = Keyed::new().await;
    let key = keyed.key(&["admin"]).await;
    let lines = [JSON, OWN_PAGE, ("authorization", &bearer(&key))];
    assert_eq!(keyed.ask(Method::POST, SILENCES, &lines, UNTIL).await.status, 201);
    let silenced = audited(&keyed.store, "silenciar").await;
    assert!(silenced.len() == 1 && silenced[0].0.contains(&key.id), "{silenced:?}");
}
