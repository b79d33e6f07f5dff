//! What statements may take of the server, and what they give back.

use std::time::{Duration, Instant};

use crate::world::{World, code, code_of, connect, text};

/// It never ends by itself, and holds more memory the longer it runs.
const CARTESIAN: &str = "SELECT count(*) FROM (SELECT a.value + b.value + c.value AS x FROM generate_series(1, 100000) a, \
                         generate_series(1, 100000) b, generate_series(1, 100000) c GROUP BY 1)";

#[tokio::test]
async fn a_cartesian_join_is_stopped_and_gives_back_what_it_held() {
    let world = World::with(|config| {
        config.statement_timeout = Duration::from_millis(500);
        config.limits.running_max = 1;
        config.limits.memory_bytes = 64 << 20;
    })
    .await;
    let client = world.client().await;
    for _ in 0..2 {
        let found = code(&client, CARTESIAN).await;
        assert!(matches!(found.as_str(), "57014" | "53200"), "{found}");
    }
    // Its turn and its memory are free again: this one sorts.
    let sql = "SELECT count(*) FROM (SELECT value FROM generate_series(1, 100000) ORDER BY -value LIMIT 50000)";
    assert_eq!(text(&client, sql).await, "50000");
}

#[tokio::test]
async fn a_join_that_finds_nothing_is_stopped_too() {
    let world = World::new().await;
    let client = world.client().await;
    client.simple_query("SET statement_timeout = 200").await.expect("set");
    let began = Instant::now();
    let sql = "SELECT count(*) FROM generate_series(1, 300000) a JOIN generate_series(1, 300000) b \
               ON a.value * b.value < 0";
    assert_eq!(code(&client, sql).await, "57014");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn larger_messages_than_may_be_end_the_connection() {
    let world = World::new().await;
    let client = world.client().await;
    let fits = format!("SELECT length('{}')", "x".repeat(1 << 20));
    assert_eq!(text(&client, &fits).await, (1 << 20).to_string());
    let larger = format!("SELECT '{}'", "x".repeat(17 << 20));
    let error = client.simple_query(&larger).await.expect_err("too large");
    // It may be sent still when the server has hung up.
    assert!(error.code().is_none_or(|code| code.code() == "54000"), "{error}");
    assert_eq!(text(&world.client().await, "SELECT 1").await, "1");
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let world = World::with(|config| config.idle = Duration::from_millis(50)).await;
    let client = world.client().await;
    while !client.is_closed() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_client_can_shorten_its_time() {
    let world = World::new().await;
    let client = world.client().await;
    client.simple_query("SET statement_timeout = 100").await.expect("set");
    let found = code(&client, CARTESIAN).await;
    assert!(matches!(found.as_str(), "57014" | "53200"), "{found}");
}

#[tokio::test]
async fn a_cancelled_statement_makes_room_for_the_next() {
    let world = World::with(|config| config.limits.running_max = 1).await;
    let client = world.client().await;
    let token = client.cancel_token();
    let endless = "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b";
    let running = client.simple_query(endless);
    tokio::pin!(running);
    // It may arrive before the statement does: it is asked for until it is heard.
    let error = loop {
        tokio::select! {
            done = &mut running => break done.expect_err("cancelled"),
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                token.cancel_query(tokio_postgres::NoTls).await.expect("asked");
            }
        }
    };
    assert_eq!(code_of(&error), "57014");
    assert_eq!(text(&client, "SELECT 1").await, "1");
}

#[tokio::test]
async fn answers_and_connections_are_bounded() {
    let world = World::with(|config| {
        config.connections = 1;
        config.result_bytes = 1000;
    })
    .await;
    let client = world.client().await;
    assert_eq!(code(&client, "SELECT value FROM generate_series(1, 1000)").await, "54000");
    assert_eq!(text(&client, "SELECT 1").await, "1");
    let error = connect(&world.config("bia")).await.err().expect("one too many");
    assert_eq!(code_of(&error), "53300");
}

#[tokio::test]
async fn who_does_not_sign_in_keeps_nobody_out() {
    let world = World::with(|config| config.connections = 2).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(tokio::net::TcpStream::connect(world.address).await.expect("connected"));
    }
    let client = world.client().await;
    assert_eq!(text(&client, "SELECT 1").await, "1");
    // Of one address there are only so many.
    for _ in 0..32 {
        silent.push(tokio::net::TcpStream::connect(world.address).await.expect("connected"));
    }
    let error = connect(&world.config("bia")).await.err().expect("one too many");
    assert_eq!(code_of(&error), "53300");
    assert_eq!(text(&client, "SELECT 1").await, "1");
    drop(silent);
    while connect(&world.config("bia")).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_needs_too_much_memory_is_refused() {
    let world = World::with(|config| config.limits.memory_bytes = 1 << 20).await;
    let client = world.client().await;
    let sql = "SELECT count(*) FROM (SELECT value, repeat('x', 100) AS t FROM generate_series(1, 1000000) \
               GROUP BY value, repeat('x', 100))";
    let found = client.simple_query(sql).await;
    // It spills, or is refused: in no case it takes more.
    assert!(found.is_ok() || found.is_err_and(|error| code_of(&error) == "53200"));
}
