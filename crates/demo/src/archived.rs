//! How far the archive of an earlier run reaches: the broker's log may have lost messages that it
//! has.

use std::collections::BTreeMap;
use std::io;

use tokio::runtime::Handle;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::Topic;
use vitral_store::{Archive, ArchiveReader, Location};

/// The archives that there are, by the topic's name in Kafka.
#[derive(Debug)]
pub(crate) struct Archived {
    archives: BTreeMap<String, ArchiveReader>,
    runtime: Handle,
}

impl Archived {
    /// Those of these topics.
    pub(crate) async fn read(topics: &[Topic], store: &Location) -> anyhow::Result<Self> {
        let mut archives = BTreeMap::new();
        for topic in topics {
            if let Some(archive) = Archive::read(topic, store).await? {
                archives.insert(topic.kafka_topic.clone(), archive);
            }
        }
        Ok(Self { archives, runtime: Handle::current() })
    }

    /// The next offset of a partition, under the identity of its log; none if nothing of it was
    /// archived. Blocks.
    pub(crate) fn reached(&self, topic: &str, log: &str, partition: PartitionId) -> io::Result<Option<Offset>> {
        let Some(archive) = self.archives.get(topic) else { return Ok(None) };
        self.runtime.block_on(archive.next_offset(log, partition)).map_err(io::Error::other)
    }
}
