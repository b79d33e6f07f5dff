//! What is shown of connections, and what they may do to each other.

use crate::world::{World, code_of, connect, text, texts};

#[tokio::test]
async fn connections_are_shown_with_what_they_do() {
    let world = World::new().await;
    let client = world.client().await;
    let other = connect(world.config("ana").application_name("painel")).await.expect("a connection");
    other.simple_query("BEGIN").await.expect("begun");
    other.simple_query("SELECT 'ação'").await.expect("answered");
    let shown = "SELECT concat_ws('|', usename, state, query) FROM pg_stat_activity WHERE application_name = 'painel'";
    assert_eq!(text(&client, shown).await, "anonymous|idle in transaction|SELECT 'ação'");
    other.simple_query("SELECT nada").await.expect_err("no such column");
    let aborted = "anonymous|idle in transaction (aborted)|SELECT nada";
    assert_eq!(text(&client, shown).await, aborted);
    other.query("ROLLBACK", &[]).await.expect("ended");
    assert_eq!(text(&client, shown).await, "anonymous|idle|ROLLBACK");
    let own =
        "SELECT state FROM pg_catalog.pg_stat_activity WHERE pid = pg_backend_pid() AND query_start >= backend_start";
    assert_eq!(text(&client, own).await, "active");
    let open = "SELECT count(*) FROM pg_stat_activity";
    assert_eq!(text(&client, open).await, "2");
    drop(other);
    while text(&client, open).await != "1" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_ends_the_statement_of_another() {
    let world = World::new().await;
    let (client, other) = (world.client().await, world.client().await);
    let running =
        client.simple_query("SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b");
    tokio::pin!(running);
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()";
    // It may be asked for before there is a statement.
    let error = loop {
        tokio::select! {
            done = &mut running => break done.expect_err("cancelled"),
            found = texts(&other, cancel) => assert_eq!(found, [Some("t".to_owned())]),
        }
    };
    assert_eq!(code_of(&error), "57014");
    // Answered in their order: what was asked before ends nothing any more.
    assert_eq!(text(&other, "SELECT pg_cancel_backend(-1)").await, "f");
    assert_eq!(text(&client, "SELECT 1").await, "1");
}
