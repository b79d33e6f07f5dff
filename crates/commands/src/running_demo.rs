//! A demo that runs on the data directory: its flags may have it listen elsewhere than the
//! configuration says, and its broker is its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use vitral_config::Config;
use vitral_connect_kafka::KafkaConfig;
use vitral_schemas::finding::Finding;

/// In the data directory, while a demo runs.
const FILE: &str = "demo.env";
const ANSWER: Duration = Duration::from_secs(2);

/// Where it listens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RunningDemo {
    kafka: String,
    api: SocketAddr,
}

impl RunningDemo {
    /// None if there is none: one that was killed may have left its file.
    pub(crate) async fn of(data_dir: &Path) -> Option<Self> {
        let demo = Self::parse(&std::fs::read_to_string(data_dir.join(FILE)).ok()?)?;
        let connected = tokio::time::timeout(ANSWER, TcpStream::connect(demo.api)).await;
        matches!(connected, Ok(Ok(_))).then_some(demo)
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let (_, api) = value("VITRAL_API_URL")?.split_once("://")?;
        let api = api.trim_end_matches('/').parse().ok()?;
        Some(Self { kafka: value("VITRAL_KAFKA")?.to_owned(), api })
    }

    pub(crate) fn finding(&self) -> Finding {
        let Self { kafka, api } = self;
        Finding::ok(
            "demo",
            format!("runs on this data directory, Kafka at {kafka} and the API at {api}: these are examined"),
        )
    }

    /// Where its API and page are.
    pub(crate) fn api(&self) -> SocketAddr {
        self.api
    }

    /// The configuration as the demo has it.
    pub(crate) fn put_into(&self, config: &mut Config) {
        config.api.listen = self.api.to_string();
        // What the configuration says of another broker, its certificates perhaps, is not for the
        // demo's.
        config.set_cluster(KafkaConfig { brokers: self.kafka.clone(), ..KafkaConfig::default() });
    }
}

/// The configuration of a command that writes to others: next to a demo, what names no other
/// cluster goes to the demo's broker, as it does in the demo itself.
pub(crate) async fn alongside(config: &Config, data_dir: &Path) -> Config {
    let mut config = config.clone();
    if let Some(demo) = RunningDemo::of(data_dir).await {
        demo.put_into(&mut config);
    }
    config
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use vitral_config::Receiver;
    use vitral_connect::Connection;

    use super::*;

    #[tokio::test]
    async fn one_that_answers_is_examined_where_it_listens() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(RunningDemo::of(dir.path()).await, None);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let api = listener.local_addr().expect("an address");
        let text = format!("VITRAL_KAFKA=127.0.0.1:19092\nVITRAL_API_URL=http://{api}\n");
        std::fs::write(dir.path().join(FILE), text).expect("written");
        let demo = RunningDemo::of(dir.path()).await.expect("a demo");
        let mut config = Config::default();
        demo.put_into(&mut config);
        let kafka = config.kafka().expect("a cluster");
        assert_eq!((config.api.listen, kafka.brokers), (api.to_string(), "127.0.0.1:19092".to_owned()));
        drop(listener);
        assert_eq!(RunningDemo::of(dir.path()).await, None, "what a kill left");
        let over_tls = RunningDemo::parse("VITRAL_KAFKA=127.0.0.1:19092\nVITRAL_API_URL=https://127.0.0.1:8443\n");
        assert_eq!(over_tls.map(|demo| demo.api.port()), Some(8443));
    }

    #[tokio::test]
    async fn what_is_sent_next_to_a_demo_goes_to_its_broker_and_to_no_other() {
        let dir = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let api = listener.local_addr().expect("an address");
        let text = format!("VITRAL_KAFKA=127.0.0.1:19092\nVITRAL_API_URL=http://{api}\n");
        std::fs::write(dir.path().join(FILE), text).expect("written");
        let mut config = Config::default();
        config.connections.insert("barramento".to_owned(), Connection::to("kafka://a:9092"));
        let brokers = |config: &Config, name: &str| match config.receiver(name) {
            Ok(Receiver::Kafka(kafka)) => kafka.brokers,
            other => panic!("{other:?}"),
        };
        let next_to_demo = alongside(&config, dir.path()).await;
        assert_eq!(brokers(&next_to_demo, "kafka"), "127.0.0.1:19092");
        assert_eq!(brokers(&next_to_demo, "barramento"), "a:9092", "what is declared is what it is");
        drop(listener);
        assert_eq!(brokers(&alongside(&config, dir.path()).await, "kafka"), "127.0.0.1:9092");
    }
}
