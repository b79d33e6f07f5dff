//! Keys of a store: what they open, in which process, and for how long.

mod idp;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vitral_access::{
    Access, AccessConfig, AccessMode, CreatedKey, Credentials, Denied, ExposeSecret as _, Keys, NewKey, row_filters,
    scopes,
};
use vitral_query::Principal;
use vitral_schemas::time::{Clock as _, SystemClock};
use vitral_store::{Location, audit_trail};

use self::idp::open;

fn config() -> AccessConfig {
    AccessConfig { mode: AccessMode::Keys, ..AccessConfig::default() }
}

fn new(expires_ms: Option<i64>) -> NewKey {
    NewKey {
        name: "painel".to_owned(),
        scopes: scopes(["vendas:read"]).expect("a scope"),
        filters: row_filters(["loja=A"]).expect("a filter"),
        expires_ms,
    }
}

async fn created(access: &Access, expires_ms: Option<i64>) -> CreatedKey {
    access.keys().expect("keys").create(&new(expires_ms)).await.expect("created")
}

fn bearer(key: &CreatedKey) -> String {
    format!("{}.{}", key.id, key.secret.expose_secret())
}

async fn of(access: &Access, bearer: &str) -> Result<Principal, Denied> {
    access.authenticate(Credentials::Bearer(bearer)).await
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn a_key_opens_what_it_is_for_and_no_more() {
    let dir = folder();
    let (access, _) = open(config(), dir.path()).await;
    let key = created(&access, None).await;
    let principal = of(&access, &bearer(&key)).await.expect("let in");
    assert_eq!(principal.id(), format!("painel ({})", key.id));
    assert!(principal.scopes().may_read("vendas") && !principal.scopes().may_read("livro"));
    assert!(!principal.scopes().has("eventos:write") && !principal.scopes().has("admin"));
    assert_eq!(principal.filters().iter().map(|(column, _)| column).collect::<Vec<_>>(), ["loja"]);
    let basic = Credentials::Basic { user: &key.id, secret: key.secret.expose_secret() };
    assert_eq!(access.authenticate(basic).await.as_ref(), Ok(&principal));
    assert_eq!(access.principal_of_key(&key.id).await, Ok(principal));
    // Nobody gets more than is written: what is not a scope cannot be given.
    for raised in ["*:write", "vendas:read admin", "admin "] {
        let wrong = NewKey { scopes: [raised].into_iter().collect(), ..new(None) };
        assert!(access.keys().expect("keys").create(&wrong).await.is_err(), "{raised}");
    }
}

#[tokio::test]
async fn an_unknown_id_and_a_wrong_secret_are_told_the_same() {
    let dir = folder();
    let (access, clock) = open(config(), dir.path()).await;
    let key = created(&access, Some(clock.now_ms() + 1_000)).await;
    let revoked = created(&access, None).await;
    access.keys().expect("keys").revoke(&revoked.id).await.expect("revoked");
    clock.set_ms(clock.now_ms() + 2_000);
    assert_eq!(of(&access, &bearer(&key)).await, Err(Denied::Expired));
    assert_eq!(of(&access, &bearer(&revoked)).await, Err(Denied::Revoked));
    let secret = key.secret.expose_secret();
    for wrong in [
        format!("{}.{}", key.id, revoked.secret.expose_secret()),
        format!("{}.{secret}", revoked.id),
        format!("{}.", key.id),
        format!("vk_aaaaaaaaaaaaaaaa.{secret}"),
        format!(".{secret}"),
        key.id.clone(),
        "x".repeat(1 << 20),
    ] {
        assert_eq!(of(&access, &wrong).await, Err(Denied::Wrong));
    }
    assert_eq!(access.authenticate(Credentials::None).await, Err(Denied::Missing));
    assert_eq!(access.principal_of_key("vk_aaaaaaaaaaaaaaaa").await, Err(Denied::Wrong));
}

#[tokio::test]
async fn sql_users_are_not_told_which_users_there_are() {
    let dir = folder();
    let (access, _) = open(config(), dir.path()).await;
    let key = created(&access, None).await;
    let real = access.scram(&key.id).await;
    let (one, again, other) = (access.scram("root").await, access.scram("root").await, access.scram("maria").await);
    assert_eq!(one, again);
    assert_ne!(one, other);
    assert_eq!((real.salt.len(), real.iterations), (one.salt.len(), one.iterations));
    let (second, _) = open(config(), dir.path()).await;
    assert_eq!(second.scram("root").await, one, "after a restart, and in another process");
    assert_eq!(second.scram(&key.id).await, real);
}

#[tokio::test]
async fn keys_survive_a_restart_and_hold_no_secret() {
    let dir = folder();
    let (access, _) = open(config(), dir.path()).await;
    let key = created(&access, None).await;
    drop(access);
    let (access, _) = open(config(), dir.path()).await;
    assert!(of(&access, &bearer(&key)).await.is_ok());
    for file in walk(&dir.path().join("access")) {
        let text = std::fs::read_to_string(&file).expect("text");
        assert!(!text.contains(key.secret.expose_secret()), "{}", file.display());
    }
    let file = dir.path().join("access/keys").join(format!("{}.json", key.id));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).expect("a file").permissions());
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn another_process_sees_new_and_revoked_keys_within_ten_seconds() {
    let dir = folder();
    let (serving, _) = open(config(), dir.path()).await;
    let store = Location::folder(dir.path()).expect("a store");
    let command = Keys::of(&store, Arc::new(SystemClock));
    let key = command.create(&new(None)).await.expect("created");
    let awaited = async |expected: bool| {
        while of(&serving, &bearer(&key)).await.is_ok() != expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), awaited(true)).await.expect("it is known");
    let session = serving.session_of_key(&bearer(&key)).await.expect("a session");
    assert!(serving.authenticate(Credentials::Cookie(&session)).await.is_ok());
    command.revoke(&key.id).await.expect("revoked");
    tokio::time::timeout(Duration::from_secs(10), awaited(false)).await.expect("it is refused");
    assert_eq!(of(&serving, &bearer(&key)).await, Err(Denied::Revoked));
    // The session of a key ends with it.
    assert_eq!(serving.authenticate(Credentials::Cookie(&session)).await, Err(Denied::Revoked));
    assert_eq!(serving.principal_of_key(&key.id).await, Err(Denied::Revoked));
    // Again, by two at once, is not an error; what does not exist is one.
    command.revoke(&key.id).await.expect("still revoked");
    let error = command.revoke("vk_aaaaaaaaaaaaaaaa").await.expect_err("none").to_string();
    assert!(error.contains("vitral keys list"), "{error}");
}

#[tokio::test]
async fn keys_that_cannot_be_read_are_believed_for_a_minute() {
    let dir = folder();
    let (access, clock) = open(config(), dir.path()).await;
    let key = created(&access, None).await;
    let began_ms = clock.now_ms();
    clock.set_ms(began_ms + 60_000);
    assert!(of(&access, &bearer(&key)).await.is_ok());
    clock.set_ms(began_ms + 60_001);
    assert!(matches!(of(&access, &bearer(&key)).await, Err(Denied::Unavailable(_))));
    assert!(matches!(access.principal_of_key(&key.id).await, Err(Denied::Unavailable(_))));
    access.keys().expect("keys").refresh().await.expect("read again");
    assert!(of(&access, &bearer(&key)).await.is_ok());
}

#[tokio::test]
async fn a_file_that_is_not_a_key_keeps_nobody_else_out() {
    let dir = folder();
    let (access, _) = open(config(), dir.path()).await;
    let key = created(&access, None).await;
    let file = |id: &str| dir.path().join("access/keys").join(format!("{id}.json"));
    std::fs::write(file("vk_bbbbbbbbbbbbbbbb"), "{").expect("written");
    std::fs::copy(file(&key.id), file("root")).expect("copied");
    let (access, _) = open(config(), dir.path()).await;
    assert!(of(&access, &bearer(&key)).await.is_ok());
    assert_eq!(access.keys().expect("keys").list().await.expect("listed").len(), 1);
    assert_eq!(access.principal_of_key("root").await, Err(Denied::Wrong));
    // Without its file there is not such a key.
    std::fs::remove_file(file(&key.id)).expect("removed");
    access.keys().expect("keys").refresh().await.expect("read");
    assert_eq!(of(&access, &bearer(&key)).await, Err(Denied::Wrong));
}

#[tokio::test]
async fn what_is_done_with_keys_is_in_the_audit_trail() {
    let dir = folder();
    let store = Location::folder(dir.path()).expect("a store");
    assert!(audit_trail(&store).await.expect("read").is_none());
    let (access, _) = open(config(), dir.path()).await;
    let key = created(&access, None).await;
    access.keys().expect("keys").revoke(&key.id).await.expect("revoked");
    access.keys().expect("keys").list().await.expect("listed");
    let commits = std::fs::read_dir(dir.path().join("auditoria/_delta_log")).expect("a table");
    let rows = commits
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|end| end == "json")));
    assert!(rows.count() >= 3, "one row for each act");
}

#[tokio::test]
async fn processes_of_a_store_know_each_other() {
    let (dir, elsewhere) = (folder(), folder());
    let ((one, _), (other, _)) = (open(config(), dir.path()).await, open(config(), dir.path()).await);
    let (stranger, _) = open(config(), elsewhere.path()).await;
    let shown = one.internal_secret().expect("a secret").expose_secret().to_owned();
    assert!(other.internal(&shown) && one.internal(&shown));
    assert!(!stranger.internal(&shown) && !one.internal("") && !one.internal(&shown[1..]));
    let named = AccessConfig { internal_key: Some("0123456789abcdef".into()), ..config() };
    let (named, _) = open(named, elsewhere.path()).await;
    assert!(named.internal("0123456789abcdef") && !named.internal(&shown));
    // What is shown to processes opens nothing else.
    assert_eq!(of(&one, &shown).await, Err(Denied::Wrong));
}

#[tokio::test]
async fn while_it_is_off_everybody_may_do_everything() {
    let dir = folder();
    let (access, _) = open(AccessConfig::default(), dir.path()).await;
    for access in [access, Access::off()] {
        assert!(!access.is_on() && access.keys().is_none() && access.sign_in().is_none());
        assert_eq!(access.authenticate(Credentials::None).await, Ok(Principal::anonymous()));
        assert_eq!(of(&access, "anything").await, Ok(Principal::anonymous()));
        assert!(access.rates().check(&Principal::anonymous()).await.is_allowed);
        assert!(!access.internal("anything") && access.internal_secret().is_none());
    }
    assert!(!dir.path().join("access").exists(), "nothing is made that nobody needs");
}
