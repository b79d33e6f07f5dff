//! Signing in with a browser at an OIDC provider, from the first page to the first answer.

#[path = "../../../access/tests/idp/mod.rs"]
mod idp;

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;

use self::idp::{CLIENT, Code, Idp, SigningPair, open};
use crate::world::{Answer, World, catalog, windows_view};

/// From the provider's page, which is another site.
async fn get(world: &World, path: &str, cookie: &str) -> Answer {
    let request = Request::get(path).header("cookie", cookie).header("sec-fetch-site", "cross-site");
    world.ask(request.body(Body::empty()).expect("a request")).await
}

/// The cookies that an answer sets, and how.
fn cookies(answer: &Answer) -> BTreeMap<String, (String, String)> {
    let lines = answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().expect("a text"));
    let pairs = lines.map(|line| {
        let (pair, how) = line.split_once("; ").expect("attributes");
        let (name, value) = pair.split_once('=').expect("a value");
        (name.to_owned(), (value.to_owned(), how.to_owned()))
    });
    pairs.collect()
}

#[tokio::test]
async fn somebody_comes_back_from_the_provider_and_is_known() {
    let (pair, dir) = (SigningPair::new("a"), tempfile::tempdir().expect("a folder"));
    let idp = Idp::start(vec![pair.public.clone()]).await;
    let (access, _clock) = open(idp.config(), dir.path()).await;
    let world = World::with(windows_view(Vec::new(), Vec::new()), catalog(None), |config| config.access = access);

    let begun = world.get("/entrar").await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.body);
    let (at, query) = begun.header("location").expect("a way").split_once('?').expect("a query");
    assert_eq!(at, format!("{}/authorize", idp.issuer));
    let asked: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let (state, how) = cookies(&begun).remove("vitral_entrada").expect("a cookie");
    assert_eq!(how, "Path=/entrar; Max-Age=600; HttpOnly; SameSite=Lax");

    let mut claims = idp.claims();
    claims["aud"] = CLIENT.into();
    claims["nonce"] = asked["nonce"].as_str().into();
    let answer = json!({ "id_token": pair.sign(&claims), "access_token": "opaque", "token_type": "Bearer" });
    let code = Code { challenge: asked["code_challenge"].clone(), answer };
    idp.codes.lock().expect("its codes").insert("c0de".to_owned(), code);
    let back = format!("/entrar/volta?code=c0de&state={}", asked["state"]);

    let elsewhere = get(&world, &back, "").await;
    assert!(elsewhere.status == 400 && elsewhere.body.contains("invalid_sign_in"), "{}", elsewhere.body);
    let state = format!("vitral_entrada={state}");
    let refused = format!("/entrar/volta?error=access_denied&state={}", asked["state"]);
    let refused = get(&world, &refused, &state).await;
    assert!(refused.status == 401 && refused.body.contains("sign_in_refused"), "{}", refused.body);

    let known = get(&world, &back, &state).await;
    assert_eq!(known.status, StatusCode::OK, "{}", known.body);
    assert!(known.body.contains("http-equiv=\"refresh\" content=\"0;url=/\"") && !known.body.contains("<script"));
    let set = cookies(&known);
    assert!(set["vitral_entrada"].1.contains("Max-Age=0"), "{set:?}");
    let (session, how) = &set["vitral_sessao"];
    assert_eq!(how, "Path=/; Max-Age=28800; HttpOnly; SameSite=Strict");
    let request = Request::get("/metricas").header("cookie", format!("vitral_sessao={session}"));
    let answer = world.ask(request.body(Body::empty()).expect("a request")).await;
    assert_eq!((answer.status.as_u16(), answer.header("vitral-principal")), (200, Some("oidc:maria")));
}
