//! Who is let in, and what they see.

use std::sync::Arc;

use tokio_postgres::Client;
use vitral_access::{Access, AccessConfig, AccessMode, CreatedKey, ExposeSecret as _, NewKey, row_filters, scopes};
use vitral_schemas::time::SystemClock;
use vitral_store::Location;

use crate::world::{World, code, code_of, connect, said, text, texts};

struct Guarded {
    world: World,
    access: Access,
    _files: tempfile::TempDir,
}

async fn guarded() -> Guarded {
    let files = tempfile::tempdir().expect("a folder");
    let store = Location::folder(files.path()).expect("a store");
    let config = AccessConfig { mode: AccessMode::Keys, ..AccessConfig::default() };
    let access = Access::open(config, &store, Arc::new(SystemClock), None).await.expect("access");
    let world = World::guarded(access.clone(), store, |_| {}).await;
    Guarded { world, access, _files: files }
}

impl Guarded {
    async fn key(&self, of: &[&str], seen: &[&str]) -> CreatedKey {
        let new = NewKey {
            name: "painel".to_owned(),
            scopes: scopes(of.iter().copied()).expect("scopes"),
            filters: row_filters(seen.iter().copied()).expect("filters"),
            expires_ms: None,
        };
        self.access.keys().expect("keys").create(&new).await.expect("a key")
    }

    async fn client(&self, id: &str, secret: &str) -> Result<Client, tokio_postgres::Error> {
        connect(self.world.config(id).password(secret)).await
    }

    async fn client_of(&self, key: &CreatedKey) -> Client {
        self.client(&key.id, key.secret.expose_secret()).await.unwrap_or_else(|error| panic!("{}", said(&error)))
    }
}

#[tokio::test]
async fn a_key_is_user_and_password() {
    let guarded = guarded().await;
    let key = guarded.key(&["*:read"], &[]).await;
    let client = guarded.client_of(&key).await;
    assert_eq!(text(&client, "SELECT count(*) FROM vendas").await, "2");
}

#[tokio::test]
async fn a_wrong_user_and_a_wrong_password_are_told_the_same() {
    let guarded = guarded().await;
    let key = guarded.key(&["*:read"], &[]).await;
    let told = async |id: &str, secret: &str| {
        let error = guarded.client(id, secret).await.err().expect("not let in");
        (code_of(&error), said(&error).replace(id, "USER"))
    };
    let wrong_password = told(&key.id, "wrong").await;
    assert_eq!(wrong_password.0, "28P01");
    assert_eq!(told("nobody", "wrong").await, wrong_password);
    guarded.access.keys().expect("keys").revoke(&key.id).await.expect("revoked");
    let secret = key.secret.expose_secret().to_owned();
    assert_eq!(told(&key.id, &secret).await, wrong_password);
    let error = connect(&guarded.world.config("ana")).await.err().expect("without a password");
    assert!(error.code().is_none_or(|code| code.code() == "28P01"), "{error}");
}

#[tokio::test]
async fn what_may_not_be_read_is_not_there() {
    let guarded = guarded().await;
    let key = guarded.key(&["por_loja:read"], &[]).await;
    let client = guarded.client_of(&key).await;
    assert_eq!(text(&client, "SELECT sum(total) FROM por_loja").await, "30.50");
    for sql in ["SELECT * FROM vendas", "SELECT * FROM auditoria", "SELECT * FROM livro"] {
        assert_eq!(code(&client, sql).await, "42P01", "{sql}");
    }
    let listed = "SELECT relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname = 'public'";
    assert_eq!(texts(&client, listed).await, [Some("por_loja".to_owned())]);
    let listed = "SELECT table_name FROM information_schema.tables";
    assert_eq!(texts(&client, listed).await, [Some("por_loja".to_owned())]);
}

#[tokio::test]
async fn rows_of_others_are_not_seen() {
    let guarded = guarded().await;
    let key = guarded.key(&["*:read"], &["loja=A"]).await;
    let client = guarded.client_of(&key).await;
    assert_eq!(texts(&client, "SELECT DISTINCT loja FROM vendas").await, [Some("A".to_owned())]);
    assert_eq!(text(&client, "SELECT sum(total) FROM por_loja").await, "10.50");
    assert_eq!(code(&client, "SELECT * FROM livro").await, "42P01");
}
