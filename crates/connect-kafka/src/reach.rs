//! Where an unreadable batch ends: the client library says only where it begins.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vitral_connect::{ConnectError, Source, Trouble, TroubleKind};
use vitral_schemas::position::{Offset, PartitionId};

/// For all questions together: a batch that unpacks to a gigabyte takes a second each time.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_WAIT: Duration = Duration::from_millis(100);

/// The offset after the unreadable batch that holds `first`, or none if that is not found in time;
/// the partition ends before `end`. A batch is delivered whole wherever reading starts in it, so
/// this is a search: reading is tried at ever larger offsets, then in between.
pub(crate) fn unreadable_until(
    source: &mut dyn Source,
    partition: PartitionId,
    first: Offset,
    end: Offset,
) -> Result<Option<Offset>, ConnectError> {
    let deadline = Instant::now() + PATIENCE;
    let mut is_within = |offset: Offset| -> Result<Option<bool>, ConnectError> {
        source.assign(&BTreeMap::from([(partition, Some(offset))]))?;
        while Instant::now() < deadline {
            let polled = source.poll(POLL_WAIT, 1_000)?;
            if let Some(Trouble { offset: begin, kind, .. }) = polled.trouble {
                // Another batch behind it may be damaged too.
                return Ok((kind == TroubleKind::Unreadable).then_some(begin <= first));
            }
            if !polled.batches.is_empty() || !polled.ends.is_empty() {
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
