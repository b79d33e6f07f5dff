//! Partitions that the topic gains while it is read.

use std::time::Instant;

use tokio::task::JoinHandle;
use vitral_connect::ConnectError;
use vitral_schemas::position::PartitionId;

use super::Pipeline;
use super::ends::Ends;
use crate::committer::Job;
use crate::error::StreamError;

/// What is asked of the broker alongside the reading: which partitions there are, and where they
/// end.
pub(super) struct PartitionDiscovery {
    pub(super) ends: Ends,
    partitions: Option<JoinHandle<Result<Vec<PartitionId>, ConnectError>>>,
    asked: Instant,
}

impl PartitionDiscovery {
    pub(super) fn new() -> Self {
        Self { ends: Ends::new(), partitions: None, asked: Instant::now() }
    }
}

impl Pipeline {
    /// Adds partitions that the topic has gained, one at a time.
    pub(super) fn discover_partitions(&mut self) -> Result<(), StreamError> {
        if self.committer.is_busy() {
            return Ok(());
        }
        let discovery = &mut self.discovery;
        let Some(answer) = discovery.partitions.take_if(|answer| answer.is_finished()) else {
            let is_due = discovery.asked.elapsed() >= self.context.config.partitions_every;
            if is_due && discovery.partitions.is_none() {
                let log = self.reader.source.log();
                discovery.partitions = Some(self.context.runtime.spawn_blocking(move || log.partitions()));
            }
            return Ok(());
        };
        let answer = self.context.runtime.block_on(answer);
        let answer = answer.map_err(|_| StreamError::Ended("the request for the topic's partitions"))?;
        self.discovery.ends.is_unanswered = answer.is_err();
        let known = match answer {
            Ok(partitions) => partitions,
            // A broker that is away does not stop the stream: the source goes on trying.
            Err(error) => {
                let topic = &self.context.topic.name;
                tracing::warn!(topic, %error, "the topic's partitions are not known right now");
                Vec::new()
            }
        };
        match known.into_iter().find(|partition| !self.buffer.has_partition(*partition)) {
            // The next one is asked for at once.
            Some(partition) => self.committer.submit(Job::AddPartition(partition)),
            None => {
                self.discovery.asked = Instant::now();
                Ok(())
            }
        }
    }
}
