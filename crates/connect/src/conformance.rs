//! What every implementation of a port must do: one suite for each, run by the tests of all of
//! them.
//!
//! The suites panic where an implementation does not conform, as assertions do.

mod dead_letters;
mod lookup;
mod notifier;
mod publisher;
mod sink;
mod source;

use std::time::{Duration, Instant};

use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::Topic;

use crate::{Connector, Polled, Source};

pub use dead_letters::dead_letters_conform;
pub use lookup::{found_by_key_alone, lookup_conforms, whole_table_conforms};
pub use notifier::notifier_conforms;
pub use publisher::publisher_conforms;
pub use sink::{keyed_sink_conforms, sink_conforms};
pub use source::source_conforms;

/// How long a suite waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_WAIT: Duration = Duration::from_millis(50);

/// A topic of two empty partitions, and a way to write into it.
pub trait TestTopic {
    /// What opens the topic's sources and dead letters.
    fn connector(&self) -> &dyn Connector;

    /// The topic as a catalog declares it.
    fn topic(&self) -> &Topic;

    /// Appends a message, and returns once it can be read. A message without a payload is a
    /// tombstone.
    fn append(&self, partition: PartitionId, key: Option<&[u8]>, payload: Option<&[u8]>);
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    partition: PartitionId,
    offset: Offset,
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
}

/// What was read so far.
#[derive(Debug, Default)]
struct Read {
    messages: Vec<Seen>,
    ends: Vec<(PartitionId, Offset)>,
}

impl Read {
    fn add(&mut self, polled: &Polled) {
        assert_eq!(polled.trouble, None);
        for batch in &polled.batches {
            let (mut offsets, mut payloads) = (Vec::new(), Vec::new());
            batch.append_to(&mut offsets, &mut payloads);
            assert_eq!((offsets.len(), payloads.len()), (batch.len(), batch.len()));
            for row in 0..batch.len() {
                assert_eq!((offsets[row], payloads[row]), (batch.offset(row), batch.payload(row)));
                self.messages.push(Seen {
                    partition: batch.partition,
                    offset: batch.offset(row),
                    key: batch.key(row).map(<[u8]>::to_vec),
                    payload: batch.payload(row).map(<[u8]>::to_vec),
                });
            }
        }
        self.ends.extend(polled.ends.iter().map(|end| (end.partition, end.next_offset)));
    }

    /// Offsets of one partition, as they came.
    fn offsets(&self, partition: PartitionId) -> Vec<i64> {
        self.messages.iter().filter(|seen| seen.partition == partition).map(|seen| seen.offset.0).collect()
    }

    fn until(source: &mut dyn Source, max: usize, done: impl Fn(&Self) -> bool) -> Self {
        let mut read = Self::default();
        let began = Instant::now();
        while !done(&read) {
            assert!(began.elapsed() < PATIENCE, "what must come does not: {read:?}");
            let polled = source.poll(POLL_WAIT, max).expect("a poll");
            assert!(polled.message_count() <= max, "more than was asked for");
            assert!(polled.batches.is_sorted_by_key(|batch| batch.partition), "by partition");
            assert!(polled.batches.iter().all(|batch| !batch.is_empty()), "no empty batch");
            read.add(&polled);
        }
        read
    }
}
