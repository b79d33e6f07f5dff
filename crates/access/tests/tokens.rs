//! Bearer tokens of an OIDC provider: which are taken, and when the provider is asked.

mod idp;

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::AlgorithmParameters;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use vitral_access::{Access, Credentials, Denied};

use self::idp::{Idp, SigningPair, open};

async fn shown(access: &Access, token: &str) -> Result<String, Denied> {
    let principal = access.authenticate(Credentials::Bearer(token)).await?;
    Ok(format!("{} {}", principal.id(), principal.scopes().iter().collect::<Vec<_>>().join(" ")))
}

fn with(claims: &Value, change: &Value) -> Value {
    let mut changed = claims.clone();
    for (name, value) in change.as_object().expect("claims") {
        match value {
            Value::Null => drop(changed.as_object_mut().expect("claims").remove(name)),
            value => changed[name] = value.clone(),
        }
    }
    changed
}

#[tokio::test]
async fn a_token_is_taken_if_all_of_it_is_right() {
    let (pair, dir) = (SigningPair::new("a"), tempfile::tempdir().expect("a folder"));
    let idp = Idp::start(vec![pair.public.clone()]).await;
    let (access, _) = open(idp.config(), dir.path()).await;
    let claims = idp.claims();
    let ours = Ok("oidc:maria vendas:read".to_owned());
    assert_eq!(shown(&access, &pair.sign(&claims)).await, ours);
    let now = claims["exp"].as_i64().expect("a time") - 300;
    let cases = [
        (json!({ "aud": ["other", "vitral"] }), ours.clone()),
        // Clocks differ by 30 s at most.
        (json!({ "exp": now - 10 }), ours.clone()),
        (json!({ "nbf": now + 10 }), ours.clone()),
        (json!({ "nbf": null }), ours),
        // A scope of another form is not one; without scopes nothing may be read.
        (json!({ "scope": "root *:write openid" }), Ok("oidc:maria ".to_owned())),
        (json!({ "scope": null }), Ok("oidc:maria ".to_owned())),
        (json!({ "exp": now - 60 }), Err(Denied::Expired)),
        (json!({ "exp": null }), Err(Denied::Wrong)),
        (json!({ "exp": "never" }), Err(Denied::Wrong)),
        (json!({ "nbf": now + 60 }), Err(Denied::Wrong)),
        (json!({ "aud": "other" }), Err(Denied::Wrong)),
        (json!({ "aud": [] }), Err(Denied::Wrong)),
        (json!({ "aud": null }), Err(Denied::Wrong)),
        (json!({ "iss": "https://evil.example" }), Err(Denied::Wrong)),
        (json!({ "iss": null }), Err(Denied::Wrong)),
        (json!({ "sub": null }), Err(Denied::Wrong)),
        (json!({ "much": "a".repeat(16 << 10) }), Err(Denied::Wrong)),
    ];
    for (change, expected) in cases {
        assert_eq!(shown(&access, &pair.sign(&with(&claims, &change))).await, expected, "{change}");
    }
    for wrong in ["", "a.b.c", "a.b", "....", "é.é.é"] {
        assert_eq!(shown(&access, wrong).await, Err(Denied::Wrong), "{wrong}");
    }
}

#[tokio::test]
async fn signatures_that_anybody_can_make_are_refused() {
    let (pair, dir) = (SigningPair::new("a"), tempfile::tempdir().expect("a folder"));
    let idp = Idp::start(vec![pair.public.clone()]).await;
    let (access, _) = open(idp.config(), dir.path()).await;
    let claims = with(&idp.claims(), &json!({ "scope": "admin" }));
    let token = pair.sign(&claims);
    assert_eq!(shown(&access, &token).await, Ok("oidc:maria admin".to_owned()));

    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    for none in ["none", "None", "NONE", ""] {
        let header = json!({ "alg": none, "kid": "a", "typ": "JWT" });
        let unsigned = format!("{}.{}.", part(&header), part(&claims));
        assert_eq!(shown(&access, &unsigned).await, Err(Denied::Wrong), "{none}");
    }
    // The public key, which everybody has, as a shared secret.
    let AlgorithmParameters::RSA(public) = &pair.public.algorithm else { panic!("an RSA key") };
    let modulus = BASE64_URL_SAFE_NO_PAD.decode(&public.n).expect("its bytes");
    let jwk = serde_json::to_vec(&pair.public).expect("JSON");
    for secret in [public.n.as_bytes(), &modulus, &jwk] {
        let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::HS256) };
        let forged = encode(&header, &claims, &EncodingKey::from_secret(secret).expect("a secret")).expect("signed");
        assert_eq!(shown(&access, &forged).await, Err(Denied::Wrong));
    }
    // Another algorithm of the same kind is not the one that is configured.
    let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::RS512) };
    assert_eq!(shown(&access, &encode(&header, &claims, &pair.private).expect("signed")).await, Err(Denied::Wrong));
    // A key that the token brings along.
    let own = SigningPair::new("a");
    let header = Header { kid: Some("a".to_owned()), jwk: Some(own.public.clone()), ..Header::new(Algorithm::RS256) };
    assert_eq!(shown(&access, &encode(&header, &claims, &own.private).expect("signed")).await, Err(Denied::Wrong));
    // Claims that were changed afterwards.
    let parts: Vec<&str> = token.split('.').collect();
    let raised = part(&with(&claims, &json!({ "sub": "root" })));
    assert_eq!(shown(&access, &format!("{}.{raised}.{}", parts[0], parts[2])).await, Err(Denied::Wrong));
    assert_eq!(shown(&access, &format!("{}.{}.", parts[0], parts[1])).await, Err(Denied::Wrong));
}

#[tokio::test]
async fn the_provider_is_asked_when_a_key_is_unknown_but_not_for_each_token() {
    let (old, new) = (SigningPair::new("old"), SigningPair::new("new"));
    let dir = tempfile::tempdir().expect("a folder");
    let idp = Idp::start(vec![old.public.clone()]).await;
    let (access, clock) = open(idp.config(), dir.path()).await;
    let began_ms = vitral_schemas::time::Clock::now_ms(&*clock);
    assert_eq!(idp.fetches(), 0, "a start does not need the provider");
    let claims = idp.claims();
    let (by_old, by_new) = (old.sign(&claims), new.sign(&claims));
    // Many at once: one asks, all others wait for it.
    let all = futures::future::join_all((0..50).map(|_| shown(&access, &by_old))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(idp.fetches(), 1);

    // The provider signs with another key now; within half a minute it is not asked again.
    *idp.shown.lock().expect("its keys") = vec![new.public.clone()];
    for _ in 0..20 {
        assert_eq!(shown(&access, &by_new).await, Err(Denied::Wrong));
    }
    assert_eq!(idp.fetches(), 1);
    clock.set_ms(began_ms + 31_000);
    let all = futures::future::join_all((0..50).map(|_| shown(&access, &by_new))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(idp.fetches(), 2);
    assert_eq!(shown(&access, &by_old).await, Err(Denied::Wrong), "a key that was taken back");
    assert_eq!(idp.fetches(), 2);

    // After an hour it is asked again in the background; nobody waits for it.
    clock.set_ms(began_ms + 31_000 + 3_600_000);
    assert!(shown(&access, &by_new).await.is_ok());
    for _ in 0..200 {
        if idp.fetches() == 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(idp.fetches(), 3);
}

#[tokio::test]
async fn a_provider_that_is_away_lets_in_those_whose_key_is_known() {
    let (pair, dir) = (SigningPair::new("a"), tempfile::tempdir().expect("a folder"));
    let idp = Idp::start(vec![pair.public.clone()]).await;
    idp.is_down.store(true, Ordering::SeqCst);
    let (access, clock) = open(idp.config(), dir.path()).await;
    let began_ms = vitral_schemas::time::Clock::now_ms(&*clock);
    let token = pair.sign(&idp.claims());
    for _ in 0..2 {
        let denied = shown(&access, &token).await.expect_err("nobody can say");
        assert!(matches!(&denied, Denied::Unavailable(reason) if reason.contains("OIDC")), "{denied}");
    }
    idp.is_down.store(false, Ordering::SeqCst);
    clock.set_ms(began_ms + 31_000);
    assert!(shown(&access, &token).await.is_ok());
    idp.is_down.store(true, Ordering::SeqCst);
    clock.set_ms(began_ms + 31_000 + 23 * 3_600_000);
    assert!(shown(&access, &token).await.is_ok());
    // A day later a key that was taken back must not open anything any more.
    clock.set_ms(began_ms + 31_000 + 25 * 3_600_000);
    assert!(matches!(shown(&access, &token).await, Err(Denied::Unavailable(_))));
}

#[tokio::test]
async fn filters_come_from_the_claim_that_is_named_for_them() {
    let (pair, dir) = (SigningPair::new("a"), tempfile::tempdir().expect("a folder"));
    let idp = Idp::start(vec![pair.public.clone()]).await;
    let mut config = idp.config();
    config.oidc.as_mut().expect("a provider").filters_claim = Some("filtros".to_owned());
    let (access, _) = open(config, dir.path()).await;
    let token = pair.sign(&with(&idp.claims(), &json!({ "filtros": { "loja": ["A", "B"] } })));
    let principal = access.authenticate(Credentials::Bearer(&token)).await.expect("a principal");
    let seen: Vec<_> = principal.filters().iter().map(|(column, values)| (column, values.len())).collect();
    assert_eq!(seen, [("loja", 2)]);
    assert_eq!(
        shown(&access, &pair.sign(&idp.claims())).await,
        Err(Denied::Wrong),
        "without it every row would be seen"
    );
}
