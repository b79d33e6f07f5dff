//! What alerts have seen, and silences, which only this machine may ask for.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use vitral_catalog::WATERMARK_ALERT;
use vitral_store::alerts::{Episodes, Silences, Transition, TransitionKind, episode_rows};
use vitral_store::{Location, audit_trail};

use crate::world::{Answer, World, catalog, ms, windows_view};

const PATH: &str = "/alertas/marca_dagua_parada/silencios";
const LOCAL: &str = "127.0.0.1:50000";
const UNTIL: &str = r#"{"ate": "2025-05-15T12:00:00Z", "motivo": "manutenção"}"#;

fn transition(key: &str, kind: TransitionKind) -> Transition {
    Transition {
        alert: "ruptura".to_owned(),
        key: key.to_owned(),
        episode: i64::from(key.as_bytes()[1]),
        number: 1,
        kind,
        at_ms: ms("2025-05-14T22:20:00Z"),
        since_ms: ms("2025-05-14T22:18:00Z"),
        severity: "warning".to_owned(),
        rows: 2,
        content: r#"[{"n":0}]"#.to_owned(),
        versions: "{}".to_owned(),
        destinations: Vec::new(),
        hush: None,
        id: format!("ruptura/{key}/1/disparo"),
    }
}

async fn post(world: &World, path: &str, peer: Option<&str>, head: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::post(path).body(Body::from(body.to_owned())).expect("a request");
    for (name, value) in head {
        let name = axum::http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    if let Some(peer) = peer {
        request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().expect("an address")));
    }
    world.ask(request).await
}

#[tokio::test]
async fn what_fires_comes_first() {
    let seen = [transition("p1", TransitionKind::Resolved), transition("p2", TransitionKind::Fired)];
    let rows = episode_rows(Episodes::of(&seen, &[]).all()).expect("rows");
    let (_sender, receiver) = tokio::sync::watch::channel(Arc::new(rows));
    let world = World::with(windows_view(Vec::new(), Vec::new()), catalog(None), |config| config.alerts = receiver);
    let shown = world.json("/alertas").await;
    assert_eq!((&shown[0]["chave"], &shown[0]["estado"]), (&"p2".into(), &"disparado".into()));
    assert_eq!((&shown[0]["desde"], &shown[0]["linhas"]), (&"2025-05-14T22:18:00Z".into(), &2.into()));
    assert_eq!((&shown[1]["chave"], &shown[1]["estado"]), (&"p1".into(), &"resolvido".into()));
    // Pages go on in the same order, which is not a column.
    let first = world.get("/alertas?limite=1").await;
    let next = first.header("link").and_then(|link| link.split(['<', '>']).nth(1)).expect("a next page").to_owned();
    let second = world.json(&next).await;
    assert_eq!((&second[0]["chave"], second.as_array().map(Vec::len)), (&"p1".into(), Some(1)));
    let pending = world.json("/alertas?estado=pendente").await;
    assert_eq!(pending.as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn only_this_machine_may_ask_for_silence() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Location::folder(dir.path()).expect("a store");
    let kept = store.clone();
    let world =
        World::with(windows_view(Vec::new(), Vec::new()), catalog(None), |config| config.store = Some(store.clone()));
    let json = ("content-type", "application/json");
    for (peer, head) in [
        (None, vec![json]),
        (Some("192.0.2.7:50000"), vec![json]),
        (Some(LOCAL), vec![json, ("x-forwarded-for", "192.0.2.7")]),
    ] {
        let answer = post(&world, PATH, peer, &head, UNTIL).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
        assert!(answer.body.contains("only_local"), "{}", answer.body);
    }
    for (path, head, body, status, word) in [
        (PATH, ("content-type", "text/plain"), "", StatusCode::BAD_REQUEST, "invalid_body"),
        (PATH, json, "{}", StatusCode::BAD_REQUEST, "ate"),
        (PATH, json, r#"["p1", "2025-05-15T00:00:00Z", "x"]"#, StatusCode::BAD_REQUEST, "begin with {"),
        (PATH, json, r#"{"ate": "amanhã"}"#, StatusCode::BAD_REQUEST, "RFC 3339"),
        (PATH, json, r#"{"ate": "2025-05-14T00:00:00Z"}"#, StatusCode::BAD_REQUEST, "within the next"),
        (PATH, json, r#"{"ate": "2026-05-14T00:00:00Z"}"#, StatusCode::BAD_REQUEST, "within the next"),
        (PATH, json, r#"{"ate": "2025-05-15T00:00:00Z", "tudo": true}"#, StatusCode::BAD_REQUEST, "tudo"),
        ("/alertas/nada/silencios", json, UNTIL, StatusCode::NOT_FOUND, "marca_dagua_parada"),
    ] {
        let answer = post(&world, path, Some(LOCAL), &[head], body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert!(answer.body.contains(word), "{word}: {}", answer.body);
    }
    assert!(audit_trail(&kept).await.expect("read").is_none(), "nothing was kept");

    let answer = post(&world, PATH, Some(LOCAL), &[json], UNTIL).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    assert!(answer.body.contains("2025-05-15T12:00:00Z"), "{}", answer.body);
    let mut silences = Silences::of(&kept);
    silences.refresh().await.expect("read");
    assert!(silences.cover(WATERMARK_ALERT, "eventos_clientes", ms("2025-05-15T00:00:00Z")));
    assert!(audit_trail(&kept).await.expect("read").is_some());
}
