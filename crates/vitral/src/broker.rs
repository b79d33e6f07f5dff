//! The demo's broker: Tansu, a Kafka-protocol broker, in this process, with its log in one SQLite file.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tansu_broker::broker::Broker;
use tansu_broker::coordinator::group::administrator::Controller;
use tansu_storage::StorageContainer;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

/// In the data directory.
const FILE: &str = "demo-broker.db";
const START: Duration = Duration::from_secs(20);
/// The archive keeps everything; the broker's file only what may have to be read again.
const TOPIC_SETTINGS: [(&str, &str); 2] = [("cleanup.policy", "delete"), ("retention.ms", "21600000")];
const PARTITIONS: i32 = 4;

pub struct DemoBroker {
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

impl DemoBroker {
    /// Starts the broker at `address` (port 0 picks one) and makes the topics.
    ///
    /// Tansu finds its file relative to the working directory, which must be `data_dir` by now.
    pub async fn start(address: SocketAddr, data_dir: &Path, topics: &[String]) -> anyhow::Result<Self> {
        anyhow::ensure!(
            std::env::current_dir()?.canonicalize()? == data_dir.canonicalize()?,
            "the demo must run in its data directory"
        );
        let address = free_address(address, "--kafka")?;
        let listener = Url::parse(&format!("tcp://{address}"))?;
        let mut broker = Broker::<Controller<StorageContainer>, StorageContainer>::builder()
            .node_id(1)
            .cluster_id("vitral-demo")
            .incarnation_id(Uuid::new_v4())
            .advertised_listener(listener.clone())
            .storage(Url::parse(&format!("sqlite://{FILE}"))?)
            .listener(listener)
            .silent(true)
            .build()
            .await
            .context("the demo's broker cannot open its log")?;
        let serving = tokio::spawn(async move {
            if let Err(error) = broker.serve(Instant::now()).await {
                tracing::error!(%error, "the demo's broker stopped");
            }
        });
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).await.is_err() {
            anyhow::ensure!(
                !serving.is_finished() && Instant::now() < deadline,
                "the demo's broker does not answer at {address}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let broker = Self { address, serving };
        let kafka = broker.client();
        for topic in topics {
            vitral_stream::kafka::create_topic(&kafka, topic, PARTITIONS, &TOPIC_SETTINGS).await?;
        }
        Ok(broker)
    }

    pub fn client(&self) -> vitral_stream::KafkaConfig {
        vitral_stream::KafkaConfig { brokers: self.address.to_string(), ..Default::default() }
    }

    pub async fn stop(self) {
        self.serving.abort();
        // Cancelled, as it was asked to be.
        let _ = self.serving.await;
    }
}

/// The address with a port, if it is free; a clear error otherwise.
pub fn free_address(address: SocketAddr, flag: &str) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!("{address} cannot be listened on: stop what uses it, or choose another with {flag} (port 0 picks one)")
    })?;
    Ok(listener.local_addr()?)
}
