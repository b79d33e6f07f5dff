//! Signing in with a browser against a small provider.

mod idp;

use std::collections::BTreeMap;

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use url::Url;
use vitral_access::{Access, Begun, Credentials, Denied, Session, SignInError};
use vitral_schemas::time::Clock as _;

use self::idp::{CLIENT, Code, Idp, REDIRECT, SigningPair, open};

/// The parameters with which the browser comes to the provider.
fn asked(begun: &Begun) -> BTreeMap<String, String> {
    Url::parse(&begun.url).expect("a URL").query_pairs().into_owned().collect()
}

/// Somebody signs in at the provider, which gives a code for these claims.
fn signed_in(idp: &Idp, pair: &SigningPair, begun: &Begun, change: impl FnOnce(&mut Value)) -> String {
    let asked = asked(begun);
    let mut claims = idp.claims();
    claims["aud"] = CLIENT.into();
    claims["nonce"] = asked["nonce"].as_str().into();
    change(&mut claims);
    let answer = json!({ "id_token": pair.sign(&claims), "access_token": "opaque", "token_type": "Bearer" });
    give(idp, begun, answer)
}

fn give(idp: &Idp, begun: &Begun, answer: Value) -> String {
    let asked = asked(begun);
    let code = Code { challenge: asked["code_challenge"].clone(), answer };
    idp.codes.lock().expect("its codes").insert("c0de".to_owned(), code);
    format!("code=c0de&state={}", asked["state"])
}

async fn begun(access: &Access) -> Begun {
    served(access.sign_in().expect("a client").begin("/painel?de=2025-05-01")).await.expect("begun")
}

/// Servers move their work between threads.
fn served<T: Future + Send>(future: T) -> T {
    future
}

async fn finish(access: &Access, begun: &Begun, query: &str) -> Result<String, SignInError> {
    let finished = served(access.sign_in().expect("a client").finish(&begun.state, query)).await?;
    assert_eq!(finished.back_to, "/painel?de=2025-05-01");
    let scopes: Vec<&str> = finished.principal.scopes().iter().collect();
    Ok(format!("{} {}", finished.principal.id(), scopes.join(" ")))
}

#[tokio::test]
async fn somebody_signs_in_and_has_a_session() {
    let (pair, dir) = (SigningPair::new("a"), tempfile::tempdir().expect("a folder"));
    let idp = Idp::start(vec![pair.public.clone()]).await;
    let (access, clock) = open(idp.config(), dir.path()).await;
    let begun = begun(&access).await;
    let asked = asked(&begun);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT),
        ("scope", "openid vendas"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(asked[name], value);
    }
    assert!(begun.url.starts_with(&format!("{}/authorize?", idp.issuer)), "{}", begun.url);
    assert!(!begun.state.contains(&asked["state"]) && begun.lifetime_seconds == 600);

    let query = signed_in(&idp, &pair, &begun, |_| ());
    let finished = access.sign_in().expect("a client").finish(&begun.state, &query).await.expect("signed in");
    assert_eq!(finished.principal.id(), "oidc:maria");
    let cookie = access.sessions().make(&Session::Principal(finished.principal.clone())).expect("a session");
    assert_eq!(access.authenticate(Credentials::Cookie(&cookie)).await, Ok(finished.principal));
    // Another process of the same store knows it, and it ends.
    let (other, _) = open(idp.config(), dir.path()).await;
    assert!(other.authenticate(Credentials::Cookie(&cookie)).await.is_ok());
    clock.set_ms(clock.now_ms() + 8 * 3_600_000);
    assert_eq!(access.authenticate(Credentials::Cookie(&cookie)).await, Err(Denied::Expired));
    // And so does the way there.
    assert!(matches!(access.sign_in().expect("a client").finish(&begun.state, &query).await, Err(SignInError::State)));
}

#[tokio::test]
async fn a_code_is_of_use_once() {
    let (pair, dir) = (SigningPair::new("a"), tempfile::tempdir().expect("a folder"));
    let idp = Idp::start(vec![pair.public.clone()]).await;
    let (access, _) = open(idp.config(), dir.path()).await;
    let begun = begun(&access).await;
    let query = signed_in(&idp, &pair, &begun, |_| ());
    assert_eq!(finish(&access, &begun, &query).await.expect("signed in"), "oidc:maria vendas:read");
    let error = finish(&access, &begun, &query).await.expect_err("used").to_string();
    assert!(error.contains("invalid_grant"), "{error}");
}

#[tokio::test]
async fn what_another_browser_or_provider_has_begun_is_refused() {
    let (pair, dir) = (SigningPair::new("a"), tempfile::tempdir().expect("a folder"));
    let idp = Idp::start(vec![pair.public.clone()]).await;
    let (access, clock) = open(idp.config(), dir.path()).await;
    let (mine, theirs) = (begun(&access).await, begun(&access).await);
    let refused = |outcome: Result<String, SignInError>| matches!(outcome, Err(SignInError::State));
    // Somebody else's code, brought to a browser that began another sign-in.
    let query = signed_in(&idp, &pair, &theirs, |_| ());
    assert!(refused(finish(&access, &mine, &query).await));
    let own = signed_in(&idp, &pair, &mine, |_| ());
    assert!(refused(finish(&access, &mine, "code=c0de").await), "without a state");
    assert!(refused(finish(&access, &mine, &own.replace("code=", "kode=")).await), "without a code");
    assert!(refused(finish(&access, &mine, &format!("{own}&iss=https%3A%2F%2Fevil.example")).await));
    let forged = Begun { state: format!("{}A", mine.state), ..mine.clone() };
    assert!(refused(finish(&access, &forged, &own).await));
    // A session's cookie is not one of a sign-in.
    let session = access.sessions().make(&Session::Key("vk_a".to_owned())).expect("a session");
    assert!(refused(finish(&access, &Begun { state: session, ..mine.clone() }, &own).await));
    // The code of another sign-in does not fit the verifier.
    let swapped = give(&idp, &theirs, json!({})).replace(&asked(&theirs)["state"], &asked(&mine)["state"]);
    let error = finish(&access, &mine, &swapped).await.expect_err("another verifier").to_string();
    assert!(error.contains("invalid_grant"), "{error}");
    let denied = format!("error=access_denied&error_description=n%C3%A3o&state={}", asked(&mine)["state"]);
    let error = finish(&access, &mine, &denied).await.expect_err("refused").to_string();
    assert!(error.contains("access_denied: não"), "{error}");
    clock.set_ms(clock.now_ms() + 600_000);
    assert!(refused(finish(&access, &mine, &own).await), "too late");
}

#[tokio::test]
async fn an_identity_is_believed_if_all_of_it_is_right() {
    let (pair, dir) = (SigningPair::new("a"), tempfile::tempdir().expect("a folder"));
    let idp = Idp::start(vec![pair.public.clone()]).await;
    let (access, _) = open(idp.config(), dir.path()).await;
    for (name, value) in [
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("aud", json!("vitral")),
        ("azp", json!("another")),
        ("iss", json!("https://evil.example")),
    ] {
        let begun = begun(&access).await;
        let query = signed_in(&idp, &pair, &begun, |claims| claims[name] = value.clone());
        let outcome = finish(&access, &begun, &query).await;
        assert!(matches!(outcome, Err(SignInError::Denied(Denied::Wrong))), "{name} {value}: {outcome:?}");
    }
    // Signed with what only the two know: not what was agreed.
    let begun = begun(&access).await;
    let mut claims = idp.claims();
    claims["aud"] = CLIENT.into();
    claims["nonce"] = asked(&begun)["nonce"].as_str().into();
    let secret = EncodingKey::from_secret(idp::CLIENT_SECRET.as_bytes()).expect("a secret");
    let answer = json!({ "id_token": encode(&Header::default(), &claims, &secret).expect("signed") });
    let outcome = finish(&access, &begun, &give(&idp, &begun, answer)).await;
    assert!(matches!(outcome, Err(SignInError::Denied(Denied::Wrong))), "{outcome:?}");
    let outcome = finish(&access, &begun, &give(&idp, &begun, json!({ "access_token": "x" }))).await;
    assert!(matches!(outcome, Err(SignInError::Refused(_))), "{outcome:?}");
}

#[tokio::test]
async fn scopes_may_be_in_the_access_token_alone() {
    let (pair, dir) = (SigningPair::new("a"), tempfile::tempdir().expect("a folder"));
    let idp = Idp::start(vec![pair.public.clone()]).await;
    let (access, _) = open(idp.config(), dir.path()).await;
    let of_api = |sub: &str| {
        let mut claims = idp.claims();
        claims["sub"] = sub.into();
        claims["scope"] = "estoque:read".into();
        pair.sign(&claims)
    };
    for (access_token, expected) in [
        (of_api("maria"), "oidc:maria estoque:read"),
        // Of another person, or one that only the provider can read.
        (of_api("root"), "oidc:maria "),
        ("opaque".to_owned(), "oidc:maria "),
    ] {
        let begun = begun(&access).await;
        let mut claims = idp.claims();
        claims["aud"] = CLIENT.into();
        claims["nonce"] = asked(&begun)["nonce"].as_str().into();
        claims.as_object_mut().expect("claims").remove("scope");
        let answer = json!({ "id_token": pair.sign(&claims), "access_token": access_token });
        let query = give(&idp, &begun, answer);
        assert_eq!(finish(&access, &begun, &query).await.expect("signed in"), expected);
    }
}

#[tokio::test]
async fn nobody_is_sent_to_another_place_afterwards() {
    let (pair, dir) = (SigningPair::new("a"), tempfile::tempdir().expect("a folder"));
    let idp = Idp::start(vec![pair.public]).await;
    let (access, _) = open(idp.config(), dir.path()).await;
    for elsewhere in ["https://evil.example", "//evil.example", "/\\evil.example", "", "painel"] {
        let outcome = access.sign_in().expect("a client").begin(elsewhere).await;
        assert!(matches!(outcome, Err(SignInError::BackTo(_))), "{elsewhere}: {outcome:?}");
    }
}
