//! The demo's broker, in this process.

use std::net::SocketAddr;
use std::path::Path;

use vitral_broker::{Broker, BrokerError, Limits, LostTail, Noted};
use vitral_process::{listening, output};
use vitral_schemas::position::PartitionId;
use vitral_schemas::topic::Topic;
use vitral_store::Location;

use crate::archived::Archived;

/// In the data directory.
const DIR: &str = "broker";
/// What an earlier version's broker kept there.
const OLD_FILE: &str = "demo-broker.db";
/// Of each topic.
pub(crate) const PARTITIONS: i32 = 4;
const SIMULATOR: &str = "vitral-demo-simulator";

/// It runs until it is stopped.
pub struct DemoBroker {
    /// Where clients reach it.
    pub address: SocketAddr,
    broker: Broker,
}

impl DemoBroker {
    /// Starts the broker at `address` (port 0 picks one) and makes the topics, behind what is
    /// archived of them in `store`.
    pub async fn start(
        address: SocketAddr,
        data_dir: &Path,
        topics: &[Topic],
        store: &Location,
    ) -> anyhow::Result<Self> {
        let (dir, old) = (data_dir.join(DIR), data_dir.join(OLD_FILE));
        if old.exists() && !dir.exists() {
            output::answer(&format!(
                "{} is the log of an earlier version's broker: it is left as it is and not read. What was counted stays counted; \
                 messages that were not read yet have to be sent again. The file may be deleted",
                old.display()
            ));
        }
        let archived = Archived::read(topics, store).await?;
        let both = |topic: &Topic| [topic.kafka_topic.clone(), topic.dead_letter_topic()];
        let topics: Vec<String> = topics.iter().flat_map(both).collect();
        // Opening reads the whole log.
        let start = move || {
            let reached = |topic: &str, id: &str, partition: i32| {
                let next = archived.reached(topic, id, PartitionId(partition));
                next.map(|next| next.map(|next| next.0))
            };
            let (broker, lost) = Broker::start_behind(address, &dir, Limits::default(), &reached)?;
            lost.iter().for_each(say);
            topics.iter().try_for_each(|topic| broker.ensure_topic(topic, PARTITIONS))?;
            Ok(broker)
        };
        let started: Result<Broker, BrokerError> = tokio::task::spawn_blocking(start).await?;
        let broker = started.map_err(|error| match error {
            BrokerError::Listen { source, .. } => {
                let words = listening::cannot(address, &source, "--kafka");
                anyhow::Error::from(source).context(words)
            }
            error => error.into(),
        })?;
        broker.note_messages_not_from(SIMULATOR);
        Ok(Self { address: broker.address(), broker })
    }

    /// What a client needs to know.
    pub fn client(&self) -> vitral_connect_kafka::KafkaConfig {
        vitral_connect_kafka::KafkaConfig { brokers: self.address.to_string(), ..Default::default() }
    }

    /// The same for the simulator, whose messages are recognised by the name of its client.
    pub fn simulator(&self) -> vitral_connect_kafka::KafkaConfig {
        let mut client = self.client();
        client.options.insert("client.id".to_owned(), SIMULATOR.to_owned());
        client
    }

    /// Where messages lie that came from others than the simulator, since the last call.
    pub fn of_others(&self) -> Vec<Noted> {
        self.broker.take_noted()
    }

    /// Flushes the log.
    pub async fn stop(self) {
        match tokio::task::spawn_blocking(|| self.broker.stop()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the broker's log could not be flushed"),
            Err(error) => tracing::error!(%error, "the broker did not stop cleanly"),
        }
    }
}

/// What was lost was counted before, or it would not be known.
fn say(lost: &LostTail) {
    let LostTail { topic, partition, end, next } = lost;
    output::answer(&format!(
        "the broker's log of {topic}, partition {partition}, ends at offset {end}, and the archive has the messages before {next}: a power cut \
         has taken the end of the log. They stay counted, and the log continues at {next}"
    ));
}
