//! How far a batch reaches that cannot be read: the client library says only where it begins.

use std::time::{Duration, Instant};

use super::source::{Source, Trouble, TroubleKind};
use crate::config::KafkaConfig;
use crate::error::StreamError;

/// For all questions together: a batch that unpacks to a gigabyte takes a second each time.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_WAIT: Duration = Duration::from_millis(100);

/// The offset after a batch that cannot be read, which holds `first`, or none if that is not found out in time; the partition ends before
/// `end`. A batch is handed out whole wherever one begins to read in it, so reading is tried at offsets behind, ever farther, then between.
pub fn batch_end(
    config: &KafkaConfig,
    topic: &str,
    message_bytes_max: usize,
    partition: i32,
    first: i64,
    end: i64,
) -> Result<Option<i64>, StreamError> {
    let mut source = Source::new(config, topic, message_bytes_max)?;
    let deadline = Instant::now() + PATIENCE;
    let mut is_within = |offset: i64| -> Result<Option<bool>, StreamError> {
        source.assign(&[(partition, Some(offset))])?;
        while Instant::now() < deadline {
            let polled = source.poll(POLL_WAIT, 1_000)?;
            if let Some(Trouble { offset: begin, kind, .. }) = polled.trouble {
                // Another batch behind it may be damaged too.
                return Ok((kind == TroubleKind::Unreadable).then_some(begin <= first));
            }
            if !polled.messages.is_empty() || !polled.ends.is_empty() {
                return Ok(Some(false));
            }
        }
        Ok(None)
    };
    let (mut within, mut step) = (first, 1);
    let mut beyond = loop {
        let tried = within + step;
        if tried >= end {
            break end;
        }
        match is_within(tried)? {
            Some(true) => (within, step) = (tried, step * 2),
            Some(false) => break tried,
            None => return Ok(None),
        }
    };
    while beyond - within > 1 {
        let tried = within + (beyond - within) / 2;
        match is_within(tried)? {
            Some(true) => within = tried,
            Some(false) => beyond = tried,
            None => return Ok(None),
        }
    }
    Ok(Some(beyond))
}
