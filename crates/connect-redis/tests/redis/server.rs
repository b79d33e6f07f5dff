//! The service that runs, and servers of a test's own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vitral_catalog::{Catalog, DomainSettings};
use vitral_connect_redis::{Redis, RedisConfig};
use vitral_query::{Cache, CatalogVersion};

pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the service says of itself; nothing where it does not run, which CI does not take.
pub fn said(variable: &str) -> Option<String> {
    match std::env::var(variable) {
        Ok(value) => Some(value),
        Err(_) if std::env::var_os("CI").is_some() => panic!("{variable} is missing"),
        Err(_) => {
            eprintln!("skipped: {variable} is not set; run scripts/services start redis");
            None
        }
    }
}

/// With a patience that a busy machine keeps.
pub fn config(address: &str) -> RedisConfig {
    RedisConfig::parse(address).expect(address).with_read_timeout(Duration::from_secs(5))
}

pub async fn connected(address: &str) -> Redis {
    let redis = Redis::open(&config(address)).expect(address);
    assert!(redis.connected(PATIENCE).await, "{redis:?}");
    redis
}

pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a command answers, by a connection of its own.
pub async fn ask<T: redis::FromRedisValue>(address: &str, words: &[&str]) -> redis::RedisResult<T> {
    let mut connection = redis::Client::open(address)?.get_multiplexed_async_connection().await?;
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    command.query_async(&mut connection).await
}

/// A process's answers, the second level in Redis.
pub fn cache(bytes: u64, redis: &Redis) -> Cache {
    let version = CatalogVersion::of(&Catalog::default(), &DomainSettings::default());
    Cache::with_shared(bytes, std::sync::Arc::new(redis.clone()), version)
}

/// A server of a test's own, which ends with it.
pub struct Server {
    pub port: u16,
    folder: TempDir,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// None where there is no program.
    pub async fn start(arguments: &[&str]) -> Option<Self> {
        let server = Self::with_file(arguments, None)?;
        until("it answers", async || server.answers().await).await;
        Some(server)
    }

    /// One that watches over `master` under this name.
    pub async fn sentinel(master: u16, name: &str) -> Option<Self> {
        let text = format!(
            "sentinel monitor {name} 127.0.0.1 {master} 1\nsentinel down-after-milliseconds {name} 500\n\
             sentinel failover-timeout {name} 3000\n"
        );
        let server = Self::with_file(&["--sentinel"], Some(&text))?;
        until("it answers", async || server.answers().await).await;
        Some(server)
    }

    fn with_file(arguments: &[&str], file: Option<&str>) -> Option<Self> {
        let program = said("VITRAL_TEST_REDIS_PROGRAM")?;
        let folder = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let mut all = vec![program];
        if let Some(text) = file {
            let path = folder.path().join("redis.conf");
            std::fs::write(&path, text).expect("written");
            all.push(path.to_str().expect("a path").to_owned());
        }
        let dir = folder.path().to_str().expect("a path").to_owned();
        let own = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir", &dir].map(str::to_owned);
        all.extend(own.into_iter().chain(arguments.iter().map(|argument| (*argument).to_owned())));
        if file.is_none() {
            all.extend(["--save", ""].map(str::to_owned));
        }
        let mut server = Self { port, folder, arguments: all, process: None };
        server.again();
        Some(server)
    }

    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn answers(&self) -> bool {
        ask::<String>(&self.address(), &["PING"]).await.is_ok()
    }

    /// Starts it, after it was killed too.
    pub fn again(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log");
        let mut command = Command::new(&self.arguments[0]);
        command.args(&self.arguments[1..]).stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        self.process = Some(command.spawn().expect("a process"));
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("killed");
            process.wait().expect("ended");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
