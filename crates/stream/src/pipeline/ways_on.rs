//! Ways on past what cannot be read: ranges that somebody has named are passed over, and a topic
//! that was deleted and created again is read from its beginning. Each is a row of the archive with
//! its reason, committed before anything is read, and an act of the audit trail.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use vitral_connect::{TopicLog, Trouble, TroubleKind};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Unread;
use vitral_store::{Act, Advance, Archive, ArchiveCommit};

use super::Pipeline;
use super::commit_buffer::token;
use super::context::TopicContext;
use crate::archive_rows::{ArchiveRows, Gap};
use crate::config::AcceptedLogs;
use crate::error::{StreamError, WayOn};
use crate::skip::{Left, Skip};

const WAIT: Duration = Duration::from_secs(10);

/// Whether these names of the command line stand for the topic.
fn names(name: &str, topic: &Topic) -> bool {
    name == topic.name || name == topic.kafka_topic
}

/// What a start may do to an archive before anything is read.
pub(super) struct WaysOn<'a> {
    pub(super) context: &'a TopicContext,
    pub(super) archive: &'a mut Archive,
    pub(super) partitions: &'a [PartitionId],
    pub(super) log: &'a Arc<dyn TopicLog>,
}

/// Offsets of one partition that are passed over, and where reading stood and goes on.
struct Passed {
    gap: Gap,
    from: Option<Offset>,
    next: Offset,
}

impl WaysOn<'_> {
    /// A topic that was deleted and created again has offsets that mean other messages: it is
    /// refused unless somebody has said that it was meant. Panes, watermark and event ids go on;
    /// what the new log had lost before its first message is a range with that reason.
    pub(super) async fn accept_log(&mut self) -> Result<(), StreamError> {
        let topic = &self.context.topic;
        let known = self.archive.logs().await?;
        let found = self.archive.log().to_owned();
        let Some(other) = known.last().filter(|_| !known.contains(&found)) else { return Ok(()) };
        let is_accepted = match &self.context.config.accepted_logs {
            AcceptedLogs::All => true,
            AcceptedLogs::Of(accepted) => accepted.iter().any(|name| names(name, topic)),
        };
        if !is_accepted {
            return Err(StreamError::NewLog { topic: topic.name.clone(), known: other.clone(), found });
        }
        let mut passed = Vec::new();
        for partition in self.partitions {
            let begin = self.range(*partition).await?.start;
            let gap = Gap { partition: *partition, first: Offset(-1), last: begin - 1 };
            passed.push(Passed { gap, from: None, next: begin });
        }
        let act = Act::of_command("aceitar_log", topic.name.clone())
            .before(serde_json::json!({ "log": other }).to_string())
            .after(serde_json::json!({ "log": found }).to_string());
        self.commit(&passed, Unread::NewLog, act).await?;
        tracing::warn!(topic = topic.name, log = found, "the topic was created again: it is read from its beginning");
        Ok(())
    }

    /// Passes over what somebody has named, as far as that was not done by an earlier start.
    pub(super) async fn skip(&mut self) -> Result<(), StreamError> {
        let (context, topic) = (self.context, &self.context.topic);
        for skip in context.config.skips.iter().filter(|skip| names(&skip.topic, topic)) {
            let refused = |reason: String| StreamError::Skip { skip: skip.clone(), reason };
            let partition = skip.partition;
            if !self.partitions.contains(&partition) {
                return Err(refused(format!("the topic has {} partitions, counted from 0", self.partitions.len())));
            }
            let mut skipped = self.archive.skipped().await?;
            skipped.retain(|known| known.partition == partition);
            let next = self.archive.next_offsets().get(&partition).copied();
            let range = self.range(partition).await?;
            let first = match skip.left(next.unwrap_or(range.start), range.end, &skipped).map_err(refused)? {
                Left::From(first) => first,
                Left::Nothing => {
                    tracing::info!(topic = topic.name, %skip, "was skipped already");
                    continue;
                }
            };
            let gap = Gap { partition, first, last: skip.last };
            let passed = Passed { gap, from: next, next: skip.last + 1 };
            let target = Skip { topic: topic.name.clone(), first, ..skip.clone() };
            let act = Act::of_command("pular", target.to_string())
                .before(serde_json::json!({ "proximo": first }).to_string())
                .after(serde_json::json!({ "proximo": skip.last + 1, "pulados": skip.last - first + 1 }).to_string());
            self.commit(&[passed], Unread::Skipped, act).await?;
            tracing::warn!(topic = topic.name, skipped = %target, "offsets were skipped");
        }
        Ok(())
    }

    /// One commit, then its record.
    async fn commit(&mut self, passed: &[Passed], reason: Unread, act: Act) -> Result<(), StreamError> {
        let (context, topic) = (self.context, &self.context.topic);
        let gaps: Vec<Gap> = passed.iter().map(|passed| passed.gap).collect();
        let now_ms = context.clock.now_ms();
        let rows = ArchiveRows::new(topic, self.archive.log()).undelivered(&gaps, Some(reason), now_ms);
        let rows = vec![rows.map_err(|source| context.failed("archived", source.into()))?];
        let moves = passed.iter().map(|passed| {
            let advance = Advance { from: passed.from, to: passed.next };
            (passed.gap.partition, advance)
        });
        let commit = ArchiveCommit { rows, offsets: moves.collect(), token: token(), ..ArchiveCommit::default() };
        self.archive.commit(&commit).await?;
        if let Err(error) = act.record(&context.config.store).await {
            // It is done, and is in the archive: to fail now would not undo it.
            let (action, target) = (act.action, act.target);
            tracing::error!(topic = topic.name, %error, action, target, "the action could not be recorded");
        }
        Ok(())
    }

    async fn range(&self, partition: PartitionId) -> Result<Range<Offset>, StreamError> {
        let log = Arc::clone(self.log);
        let asked = tokio::task::spawn_blocking(move || log.range(partition, WAIT)).await;
        Ok(asked.map_err(|_| StreamError::Ended("the request for a partition's end"))??)
    }
}

impl Pipeline {
    /// Why the stream stops, with the command line that goes on, once what was read before is
    /// committed.
    pub(super) fn stop_at(&mut self, trouble: Trouble) -> StreamError {
        if let Err(error) = self.drain() {
            tracing::warn!(
                topic = self.context.topic.name,
                %error,
                "what was read before cannot be committed; it will be read again"
            );
        }
        let Trouble { partition, offset, kind, reason } = trouble;
        let topic = self.context.topic.kafka_topic.clone();
        // Reading may stand within the batch, or before it, with nothing in between.
        let first = self.buffer.next_offset(partition).unwrap_or(offset);
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
    fn way_on(&self, partition: PartitionId, first: Offset, within: Offset, kind: TroubleKind) -> Option<WayOn> {
        let topic = self.context.topic.kafka_topic.clone();
        let log = self.reader.source.log();
        let Range { start: begin, end } = log.range(partition, WAIT).ok()?;
        let next = match kind {
            TroubleKind::OffsetsGone if first > end => return Some(WayOn::LogIsShorter { topic, end }),
            TroubleKind::OffsetsGone => begin,
            TroubleKind::Unreadable => match log.unreadable_until(partition, within, end) {
                Ok(next) => next?,
                Err(error) => {
                    tracing::warn!(topic, %partition, %error, "how far the batch reaches is not known");
                    return None;
                }
            },
        };
        let skip = Skip { topic, partition, first, last: next - 1 };
        (next > first).then_some(WayOn::Skip(skip))
    }
}
