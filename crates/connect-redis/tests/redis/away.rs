//! Redis goes away, comes back, and moves.

use std::time::{Duration, Instant};

use bytes::Bytes;
use vitral_connect_redis::Redis;
use vitral_query::SharedCache;

use crate::server::{PATIENCE, Server, ask, cache, config, connected, until};
use crate::walk::Walk;

const LONG: Duration = Duration::from_secs(100);

#[tokio::test]
async fn without_redis_nobody_waits_and_every_answer_is_right() {
    let Some(mut server) = Server::start(&["--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru"]).await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let redis = connected(&server.address()).await;
    let caches = vec![cache(100_000, &redis), cache(0, &connected(&server.address()).await)];
    let mut walk = Walk::new(folder.path(), caches.clone()).await;
    let mut walked = async |steps: usize| {
        for _ in 0..steps {
            walk.step().await;
        }
    };
    walked(400).await;
    server.kill();
    walked(400).await;
    until("it is known to be away", async || redis.get("vitral:a").await.is_err_and(|error| is_away(&error))).await;
    let began = Instant::now();
    for _ in 0..1_000 {
        assert!(redis.get("vitral:a").await.is_err());
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    server.again();
    assert!(redis.connected(PATIENCE).await, "it comes back");
    let errors = caches[1].counts().shared.errors();
    assert!(errors > 0);
    walked(400).await;
    redis.put("vitral:a", Bytes::from_static(b"1"), LONG).await.expect("kept");
    assert_eq!(redis.get("vitral:a").await.expect("asked"), Some(Bytes::from_static(b"1")));
}

fn is_away(error: &vitral_query::SharedCacheError) -> bool {
    error.to_string().contains("is away")
}

#[tokio::test]
async fn a_master_that_fails_over_is_followed() {
    let Some(mut master) = Server::start(&[]).await else { return };
    let of_master = ["--replicaof", "127.0.0.1", &master.port.to_string(), "--repl-diskless-sync-delay", "0"];
    let Some(replica) = Server::start(&of_master).await else { return };
    let Some(sentinel) = Server::sentinel(master.port, "vitral").await else { return };
    until("the sentinel knows both", async || {
        let known = ask::<Vec<redis::Value>>(&sentinel.address(), &["SENTINEL", "REPLICAS", "vitral"]).await;
        let link = ask::<String>(&replica.address(), &["INFO", "replication"]).await;
        known.is_ok_and(|known| known.len() == 1) && link.is_ok_and(|text| text.contains("master_link_status:up"))
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("redis+sentinel://127.0.0.1:{}/vitral", sentinel.port);
    let redis = Redis::open(&config(&address)).expect("opened");
    assert!(redis.connected(PATIENCE).await);
    redis.put("vitral:a", Bytes::from_static(b"1"), LONG).await.expect("kept");
    let mut walk = Walk::new(folder.path(), vec![cache(0, &redis), cache(100_000, &redis)]).await;
    for _ in 0..200 {
        walk.step().await;
    }
    master.kill();
    for _ in 0..200 {
        walk.step().await;
    }
    until("the other one takes it", async || redis.put("vitral:b", Bytes::from_static(b"2"), LONG).await.is_ok()).await;
    for _ in 0..200 {
        walk.step().await;
    }
    let kept = ask::<String>(&replica.address(), &["GET", "vitral:b"]).await.expect("asked");
    assert_eq!(kept, "2");
}
