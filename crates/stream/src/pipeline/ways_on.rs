//! Ways on past what cannot be read: ranges that somebody has named are passed over, and a topic that was deleted and created again is read
//! from its beginning. Each is a row of the archive with its reason, committed before anything is read, and an act of the audit trail.

use std::collections::BTreeMap;
use std::time::Duration;

use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Unread;
use vitral_store::{Act, Archive, ArchiveCommit};

use super::cycle::token;
use super::{Context, Pipeline};
use crate::archive_rows::{ArchiveRows, Gap};
use crate::error::{StreamError, WayOn};
use crate::kafka::{Asker, Trouble, TroubleKind, batch_end};
use crate::skip::{Left, Skip};

const WAIT: Duration = Duration::from_secs(10);

/// Whether these names of the command line stand for the topic.
fn names(name: &str, topic: &Topic) -> bool {
    name == topic.name || name == topic.kafka_topic
}

/// A topic that was deleted and created again has offsets that mean other messages: it is refused unless somebody has said that it was
/// meant. Panes, watermark and event ids go on; what the new log had lost before its first message is a range with that reason.
pub(super) async fn settle_log(
    context: &Context,
    topic: &Topic,
    archive: &mut Archive,
    partitions: &[i32],
    asker: &Asker,
) -> Result<(), StreamError> {
    let known = archive.logs().await?;
    let found = archive.log().to_owned();
    let Some(other) = known.last().filter(|_| !known.contains(&found)) else { return Ok(()) };
    let config = &context.config;
    if !config.accept_new_log && !config.accept_new_logs.iter().any(|name| names(name, topic)) {
        return Err(StreamError::NewLog { topic: topic.name.clone(), known: other.clone(), found });
    }
    let mut ranges = BTreeMap::new();
    for partition in partitions {
        let (begin, _) = ask(asker, *partition).await?;
        let gap = Gap { partition: *partition, first: -1, last: begin - 1 };
        ranges.insert(*partition, (gap, (None, begin)));
    }
    let act = Act::of_command("aceitar_log", topic.name.clone())
        .before(serde_json::json!({ "log": other }).to_string())
        .after(serde_json::json!({ "log": found }).to_string());
    commit(context, topic, archive, ranges, Unread::NewLog, act).await?;
    tracing::warn!(topic = topic.name, log = found, "the topic was created again: it is read from its beginning");
    Ok(())
}

/// Passes over what somebody has named, as far as that was not done by an earlier start.
pub(super) async fn skip(
    context: &Context,
    topic: &Topic,
    archive: &mut Archive,
    partitions: &[i32],
    asker: &Asker,
) -> Result<(), StreamError> {
    for skip in context.config.skips.iter().filter(|skip| names(&skip.topic, topic)) {
        let refused = |reason: String| StreamError::Skip { skip: skip.clone(), reason };
        if !partitions.contains(&skip.partition) {
            return Err(refused(format!("the topic has {} partitions, counted from 0", partitions.len())));
        }
        let skipped = archive.skipped().await?;
        let skipped: Vec<(i64, i64)> = skipped
            .into_iter()
            .filter_map(|(partition, first, last)| (partition == skip.partition).then_some((first, last)))
            .collect();
        let next = archive.next_offsets().get(&skip.partition).copied();
        let (begin, end) = ask(asker, skip.partition).await?;
        let first = match skip.left(next.unwrap_or(begin), end, &skipped).map_err(refused)? {
            Left::From(first) => first,
            Left::Nothing => {
                tracing::info!(topic = topic.name, %skip, "was skipped already");
                continue;
            }
        };
        let gap = Gap { partition: skip.partition, first, last: skip.last };
        let ranges = BTreeMap::from([(skip.partition, (gap, (next, skip.last + 1)))]);
        let target = Skip { topic: topic.name.clone(), first, ..skip.clone() };
        let act = Act::of_command("pular", target.to_string())
            .before(serde_json::json!({ "proximo": first }).to_string())
            .after(serde_json::json!({ "proximo": skip.last + 1, "pulados": skip.last - first + 1 }).to_string());
        commit(context, topic, archive, ranges, Unread::Skipped, act).await?;
        tracing::warn!(topic = topic.name, skipped = %target, "offsets were skipped");
    }
    Ok(())
}

/// One commit, then its record.
async fn commit(
    context: &Context,
    topic: &Topic,
    archive: &mut Archive,
    ranges: BTreeMap<i32, (Gap, (Option<i64>, i64))>,
    reason: Unread,
    act: Act,
) -> Result<(), StreamError> {
    let gaps: Vec<Gap> = ranges.values().map(|(gap, _)| *gap).collect();
    let rows = ArchiveRows::new(topic, archive.log()).undelivered(&gaps, Some(reason), context.clock.now_ms());
    let rows = rows.map_err(|source| StreamError::Batch {
        topic: topic.name.clone(),
        action: "archived",
        source: source.into(),
    })?;
    let offsets = ranges.into_iter().map(|(partition, (_, offsets))| (partition, offsets)).collect();
    archive.commit(&ArchiveCommit { rows: vec![rows], offsets, effective_ms: None, token: token() }).await?;
    if let Err(error) = act.record(&context.config.store).await {
        // It is done, and stands in the archive: to fail now would not undo it.
        tracing::error!(topic = topic.name, %error, action = act.action, target = act.target, "the act could not be recorded");
    }
    Ok(())
}

async fn ask(asker: &Asker, partition: i32) -> Result<(i64, i64), StreamError> {
    let asker = asker.clone();
    let asked = tokio::task::spawn_blocking(move || asker.range(partition, WAIT)).await;
    asked.map_err(|_| StreamError::Gone("the question for a partition's end"))?
}

impl Pipeline {
    /// Why the stream stops, with the command line that goes on, once what was read before is committed.
    pub(super) fn stop_at(&mut self, trouble: Trouble) -> StreamError {
        if let Err(error) = self.drain() {
            tracing::warn!(topic = self.topic.name, %error, "what was read before cannot be committed; it will be read again");
        }
        let Trouble { partition, offset, kind, reason } = trouble;
        let topic = self.topic.kafka_topic.clone();
        // Reading may stand within the batch, or before it, with nothing in between.
        let first = self.cycle.next_offset(partition).unwrap_or(offset);
        let way_on = self.way_on(partition, first, first.max(offset), kind).unwrap_or_else(|| WayOn::SkipFrom {
            topic: topic.clone(),
            partition,
            first,
        });
        match kind {
            TroubleKind::OffsetsGone => StreamError::OffsetsGone { topic, partition, offset, reason, way_on },
            TroubleKind::Unreadable => StreamError::Unreadable { topic, partition, offset, reason, way_on },
        }
    }

    /// None where the broker does not say how far it reaches.
    fn way_on(&self, partition: i32, first: i64, within: i64, kind: TroubleKind) -> Option<WayOn> {
        let topic = &self.topic.kafka_topic;
        let (begin, end) = self.source.asker().range(partition, WAIT).ok()?;
        let next = match kind {
            TroubleKind::OffsetsGone if first > end => {
                return Some(WayOn::LogIsShorter { topic: topic.clone(), end });
            }
            TroubleKind::OffsetsGone => begin,
            TroubleKind::Unreadable => {
                let config = &self.context.config.kafka;
                match batch_end(config, topic, self.topic.message_bytes_max, partition, within, end) {
                    Ok(next) => next?,
                    Err(error) => {
                        tracing::warn!(topic, partition, %error, "how far the batch reaches is not known");
                        return None;
                    }
                }
            }
        };
        let skip = Skip { topic: topic.clone(), partition, first, last: next - 1 };
        (next > first).then_some(WayOn::Skip(skip))
    }
}
