//! Deletes whole segments once they are old enough, or once all logs together are too large.

use std::time::{Duration, Instant, SystemTime};

use crate::log::age;
use crate::topics::Topics;

pub const INTERVAL: Duration = Duration::from_secs(30);

/// Deletes what may be deleted; the bytes that this frees. Offsets continue where they were.
pub fn run(topics: &Topics, up_since: Instant) -> u64 {
    let limits = &topics.limits;
    // What a reader had not read when this process ended is not deleted because of the time during
    // which it did not run.
    if up_since.elapsed() < limits.grace {
        return 0;
    }
    let mut freed = 0;
    while let Some((written, topic, partition)) = oldest(topics) {
        let too_old = age(written) > limits.retention.max(limits.grace);
        let too_much = topics.bytes() > limits.retention_bytes && age(written) > limits.grace;
        if !too_old && !too_much {
            break;
        }
        let Some(mut log) = topic.partition(partition) else { break };
        match log.delete_oldest() {
            Ok(bytes) => {
                topics.deleted(bytes);
                freed += bytes;
            }
            Err(error) => {
                tracing::warn!(%error, dir = %log.dir().display(), "old messages cannot be deleted");
                break;
            }
        }
    }
    freed
}

/// Of all topics, the segment that was last written to longest ago.
fn oldest(topics: &Topics) -> Option<(SystemTime, std::sync::Arc<crate::topics::Topic>, i32)> {
    let mut found: Option<(SystemTime, _, i32)> = None;
    for topic in topics.all() {
        for (partition, log) in (0..).zip(topic.partitions()) {
            if let Some(written) = log.oldest()
                && found.as_ref().is_none_or(|(oldest, ..)| written < *oldest)
            {
                found = Some((written, std::sync::Arc::clone(&topic), partition));
            }
        }
    }
    found
}
