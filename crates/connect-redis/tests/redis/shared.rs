//! What processes share.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use vitral_access::{Limit, SharedRates};
use vitral_connect::{Connection, Secret};
use vitral_connect_redis::{Redis, RedisConfig};
use vitral_query::SharedCache;

use crate::server::{Server, ask, cache, config, connected, said, until};
use crate::walk::{self, Walk};

const SECOND: Duration = Duration::from_secs(1);

/// A name that no other run uses.
fn unique(name: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_nanos();
    format!("{name}-{now}")
}

#[tokio::test]
async fn what_one_process_keeps_another_finds_until_its_time_is_over() {
    let Some(address) = said("VITRAL_TEST_REDIS_URL") else { return };
    let (one, other) = (connected(&address).await, connected(&address).await);
    let name = unique("vitral:test:a");
    assert_eq!(other.get(&name).await.expect("asked"), None);
    let bytes = Bytes::from_static(b"\0\xff[1]");
    one.put(&name, bytes.clone(), 100 * SECOND).await.expect("kept");
    assert_eq!(other.get(&name).await.expect("asked"), Some(bytes.clone()));
    one.put(&name, bytes, Duration::from_millis(30)).await.expect("kept");
    until("it is forgotten", async || other.get(&name).await.expect("asked").is_none()).await;
}

#[tokio::test]
async fn random_reads_commits_and_repairs_are_answered_as_without_redis() {
    let Some(address) = said("VITRAL_TEST_REDIS_URL") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (connected(&address).await, connected(&address).await);
    let caches = vec![cache(1 << 20, &one), cache(0, &other)];
    let mut walk = Walk::new(folder.path(), caches.clone()).await;
    for _ in 0..walk::steps() {
        walk.step().await;
    }
    let counts = caches[1].counts();
    assert!(counts.shared.hits() > 20 && counts.shared.errors() == 0, "{counts:?}");
}

#[tokio::test]
async fn two_processes_allow_together_what_one_may() {
    let Some(address) = said("VITRAL_TEST_REDIS_URL") else { return };
    let processes = [connected(&address).await, connected(&address).await];
    let key = unique("leitor");
    let limit = Limit { requests: 1_000, per: 3600 * SECOND };
    let asked = futures::stream::iter(0..3_000).map(|number| {
        let (process, key) = (&processes[number % 2], &key);
        async move { process.check(key, limit).await.expect("an answer") }
    });
    let rates: Vec<_> = asked.buffer_unordered(50).collect().await;
    let allowed = rates.iter().filter(|rate| rate.is_allowed).count();
    assert!((990..=1_010).contains(&allowed), "{allowed}");
    let last = processes[0].check(&key, limit).await.expect("an answer");
    assert!(!last.is_allowed && last.remaining == 0 && last.limit == 1_000, "{last:?}");
    assert!(last.retry_after > Duration::ZERO && last.retry_after <= 4 * SECOND, "{last:?}");
    assert!(last.reset_after > 3500 * SECOND && last.reset_after <= 3600 * SECOND, "{last:?}");
    let other = processes[0].check(&unique("outro"), limit).await.expect("an answer");
    assert!(other.is_allowed && other.remaining == 999, "{other:?}");
}

#[tokio::test]
async fn what_was_used_is_free_again_in_its_time() {
    let Some(address) = said("VITRAL_TEST_REDIS_URL") else { return };
    let (redis, key) = (connected(&address).await, unique("leitor"));
    let limit = Limit { requests: 2, per: Duration::from_millis(400) };
    let check = async || redis.check(&key, limit).await.expect("an answer");
    assert!(check().await.is_allowed && check().await.is_allowed);
    // On a machine that stood still in between, it may be free already.
    let refused = check().await;
    assert!(refused.is_allowed || refused.retry_after <= Duration::from_millis(200), "{refused:?}");
    until("one is free", async || check().await.is_allowed).await;
}

#[tokio::test]
async fn answers_go_encrypted_to_those_whose_certificate_is_trusted() {
    let (Some(address), Some(ca)) = (said("VITRAL_TEST_REDIS_TLS_URL"), said("VITRAL_TEST_REDIS_CA")) else { return };
    let mut connection = Connection::to(&address);
    connection.options.insert("ca".to_owned(), ca);
    let config_of = |connection: &Connection| {
        RedisConfig::try_from(connection).expect("a connection").with_read_timeout(5 * SECOND)
    };
    let redis = Redis::open(&config_of(&connection)).expect("opened");
    assert!(redis.connected(30 * SECOND).await);
    redis.put(&unique("vitral:test:tls"), Bytes::from_static(b"1"), SECOND).await.expect("kept");
    connection.options.clear();
    let stranger = Redis::open(&config_of(&connection)).expect("opened");
    assert!(!stranger.connected(SECOND).await, "the system does not trust it");
    connection.options.insert("ca".to_owned(), "/no/such/file".to_owned());
    let error = Redis::open(&config_of(&connection)).expect_err("no file").to_string();
    assert!(error.contains("/no/such/file") && error.contains("PEM"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_leaves_every_process_to_itself() {
    let Some(address) = said("VITRAL_TEST_REDIS_URL") else { return };
    let mut connection = Connection::to(&address);
    connection.secrets.insert("password".to_owned(), Secret::new("wrong".to_owned()));
    let redis = Redis::open(&RedisConfig::try_from(&connection).expect("a connection")).expect("opened");
    assert!(!redis.connected(SECOND).await);
    let error = redis.get("vitral:a").await.expect_err("away").to_string();
    assert!(error.contains("is away") && !error.contains("wrong"), "{error}");
}

#[tokio::test]
async fn a_cluster_is_one_place() {
    let Some(server) = Server::start(&["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"]).await else {
        return;
    };
    let address = server.address();
    ask::<String>(&address, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await.expect("slots");
    until("it is whole", async || {
        ask::<String>(&address, &["CLUSTER", "INFO"]).await.is_ok_and(|info| info.contains("cluster_state:ok"))
    })
    .await;
    let redis = Redis::open(&config(&format!("redis+cluster://127.0.0.1:{}", server.port))).expect("opened");
    assert!(redis.connected(30 * SECOND).await);
    for number in 0..20 {
        let (name, bytes) = (format!("vitral:test:{number}"), Bytes::from(number.to_string()));
        redis.put(&name, bytes.clone(), 100 * SECOND).await.expect("kept");
        assert_eq!(redis.get(&name).await.expect("asked"), Some(bytes));
    }
    let rate = redis.check("leitor", Limit { requests: 3, per: SECOND }).await.expect("an answer");
    assert!(rate.is_allowed && rate.remaining == 2, "{rate:?}");
}
