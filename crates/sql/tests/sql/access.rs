//! Who is let in, and what they see.

use std::sync::Arc;
use std::time::Duration;

use datafusion::prelude::SessionContext;
use tokio_postgres::Client;
use vitral_access::{
    Access, AccessConfig, AccessMode, CreatedKey, ExposeSecret as _, Limit, NewKey, row_filters, scopes,
};
use vitral_schemas::time::SystemClock;
use vitral_store::{Location, audit_trail};

use crate::world::{World, code, code_of, connect, said, text, texts};

struct Guarded {
    world: World,
    access: Access,
    store: Location,
    _files: tempfile::TempDir,
}

async fn guarded() -> Guarded {
    guarded_with(AccessConfig::default()).await
}

async fn guarded_with(config: AccessConfig) -> Guarded {
    let files = tempfile::tempdir().expect("a folder");
    let store = Location::folder(files.path()).expect("a store");
    let config = AccessConfig { mode: AccessMode::Keys, ..config };
    let access = Access::open(config, &store, Arc::new(SystemClock), None).await.expect("access");
    let world = World::guarded(access.clone(), store.clone(), |_| {}).await;
    Guarded { world, access, store, _files: files }
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

/// A plan names the tables and columns that views are made of.
#[tokio::test]
async fn plans_are_for_those_who_may_read_everything() {
    let guarded = guarded().await;
    let everything = guarded.client_of(&guarded.key(&["*:read"], &[]).await).await;
    assert!(!texts(&everything, "EXPLAIN SELECT * FROM vendas").await.is_empty());
    for (of, seen) in [(&["vendas:read"][..], &[][..]), (&["*:read"], &["loja=A"])] {
        let client = guarded.client_of(&guarded.key(of, seen).await).await;
        texts(&client, "SELECT id FROM vendas").await;
        for statement in ["EXPLAIN SELECT * FROM vendas", "EXPLAIN (ANALYZE, VERBOSE) SELECT 1"] {
            assert_eq!(code(&client, statement).await, "42501", "{of:?} {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_user_and_a_wrong_password_are_told_the_same() {
    let guarded = guarded().await;
    let key = guarded.key(&["*:read"], &[]).await;
    let described = async |id: &str, secret: &str| {
        let error = guarded.client(id, secret).await.err().expect("not let in");
        (code_of(&error), said(&error).replace(id, "USER"))
    };
    let wrong_password = described(&key.id, "wrong").await;
    assert_eq!(wrong_password.0, "28P01");
    assert_eq!(described("nobody", "wrong").await, wrong_password);
    guarded.access.keys().expect("keys").revoke(&key.id).await.expect("revoked");
    let secret = key.secret.expose_secret().to_owned();
    assert_eq!(described(&key.id, &secret).await, wrong_password);
    let error = connect(&guarded.world.config("ana")).await.err().expect("without a password");
    assert!(error.code().is_none_or(|code| code.code() == "28P01"), "{error}");
}

#[tokio::test]
async fn a_connection_ends_with_the_key_that_has_signed_in() {
    let guarded = guarded().await;
    let (revoked, stays) = (guarded.key(&["*:read"], &[]).await, guarded.key(&["*:read"], &[]).await);
    let (client, prepared) = (guarded.client_of(&revoked).await, guarded.client_of(&revoked).await);
    let other = guarded.client_of(&stays).await;
    let statement = prepared.prepare("SELECT count(*) FROM vendas").await.expect("prepared");
    assert_eq!(text(&client, "SELECT count(*) FROM vendas").await, "2");
    guarded.access.keys().expect("keys").revoke(&revoked.id).await.expect("revoked");
    let error = client.simple_query("SELECT count(*) FROM vendas").await.expect_err("revoked");
    assert_eq!((code_of(&error), said(&error).contains("has been revoked")), ("28000".to_owned(), true), "{error}");
    let error = prepared.query(&statement, &[]).await.expect_err("revoked");
    assert_eq!(code_of(&error), "28000");
    assert!(client.simple_query("SELECT 1").await.is_err(), "nothing more is read");
    assert_eq!(text(&other, "SELECT count(*) FROM vendas").await, "2");
}

#[tokio::test]
async fn who_asks_too_often_waits() {
    let limit = Some(Limit { requests: 2, per: Duration::from_secs(3600) });
    let guarded = guarded_with(AccessConfig { limit, ..AccessConfig::default() }).await;
    let key = guarded.key(&["*:read"], &[]).await;
    let client = guarded.client_of(&key).await;
    for _ in 0..2 {
        assert_eq!(text(&client, "SELECT current_user").await, format!("painel ({})", key.id));
    }
    assert_eq!(code(&client, "SELECT 1").await, "53400");
    // Neither a setting nor another connection is a way around it.
    client.simple_query("SET application_name = 'x'").await.expect("set");
    let other = guarded.client_of(&key).await;
    assert_eq!(code(&other, "SELECT 1").await, "53400");
}

#[tokio::test]
async fn who_is_not_let_in_is_written_down() {
    let guarded = guarded().await;
    let error = guarded.client("nobody", "wrong").await.err().expect("not let in");
    assert_eq!(code_of(&error), "28P01");
    let written = async {
        loop {
            if let Some(trail) = audit_trail(&guarded.store).await.expect("read") {
                let session = SessionContext::new();
                session.register_table("auditoria", trail).expect("registered");
                let sql = "SELECT principal FROM auditoria WHERE acao = 'negar' AND alvo = 'SQL nobody'";
                let rows = session.sql(sql).await.expect("a plan").collect().await.expect("rows");
                if let Some(rows) = rows.iter().find(|rows| rows.num_rows() == 1) {
                    let shown = arrow::util::pretty::pretty_format_batches(std::slice::from_ref(rows));
                    break shown.expect("a table").to_string();
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(30), written).await.expect("written");
    assert!(shown.contains("sql:127.0.0.1"), "{shown}");
}

#[tokio::test]
async fn secrets_are_not_tried_at_will() {
    let guarded = guarded().await;
    let key = guarded.key(&["*:read"], &[]).await;
    for _ in 0..20 {
        let error = guarded.client(&key.id, "wrong").await.err().expect("not let in");
        assert_eq!(code_of(&error), "28P01");
    }
    let error = guarded.client(&key.id, key.secret.expose_secret()).await.err().expect("not now");
    assert_eq!(code_of(&error), "53400");
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

#[tokio::test]
async fn only_administrators_see_connections_of_others() {
    let guarded = guarded().await;
    let (reader, operator) = (guarded.key(&["*:read"], &[]).await, guarded.key(&["admin"], &[]).await);
    let (client, other) = (guarded.client_of(&reader).await, guarded.client_of(&operator).await);
    let open = "SELECT count(*) FROM pg_stat_activity";
    assert_eq!((text(&client, open).await, text(&other, open).await), ("1".to_owned(), "2".to_owned()));
    let pid = text(&other, "SELECT pg_backend_pid()").await;
    assert_eq!(text(&client, &format!("SELECT pg_cancel_backend({pid})")).await, "f");
}
