//! While a topic does not exist yet or its broker does not answer, the others are served, and of
//! this one what earlier runs have archived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vitral_connect::Source;
use vitral_panes::view::{Completeness, Live, View};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::PartitionId;
use vitral_store::{Archive, Counts, Layout, MetricTable, StoreError};

use super::committed_windows::CommittedWindows;
use super::context::TopicContext;
use super::health::HealthReporter;
use super::view_builder::TopicViewBuilder;
use crate::error::StreamError;
use crate::topic_panes::TopicPanes;

/// Between questions for a topic that does not exist yet.
const TOPIC_RETRY: Duration = Duration::from_secs(1);
/// A wrong password, certificate or right at the start is a wrong setting, unless it is put right
/// meanwhile.
const REFUSALS_MAX: usize = 3;

/// The topic's partitions, once it has some; none if it was stopped meanwhile. Waits through
/// outages, and for a topic that is still to come; not for what somebody must change first.
pub(super) fn wait_for_topic(
    context: &TopicContext,
    source: &dyn Source,
    health: &HealthReporter,
    panes: &mut TopicPanes,
    stop: &AtomicBool,
) -> Result<Option<Vec<PartitionId>>, StreamError> {
    let topic = &context.topic;
    let mut is_reported = false;
    let mut refusals = 0;
    while !stop.load(Ordering::SeqCst) {
        let partitions = source.log().partitions();
        health.waits_for_topic(&partitions);
        let reason = match partitions {
            Ok(partitions) if !partitions.is_empty() => {
                if is_reported {
                    tracing::info!(topic = topic.name, partitions = partitions.len(), "the topic is there and is read");
                }
                return Ok(Some(partitions));
            }
            Ok(_) => format!("topic {} does not exist in Kafka yet", topic.kafka_topic),
            Err(error) if !error.is_worth_a_retry() => {
                refusals += 1;
                if refusals >= REFUSALS_MAX {
                    return Err(error.into());
                }
                error.to_string()
            }
            Err(error) => {
                tracing::debug!(topic = topic.name, %error, "the broker does not answer");
                context.does_not_answer()
            }
        };
        show_reason(context, &reason);
        if !is_reported {
            is_reported = true;
            tracing::warn!(topic = topic.name, reason, "waiting; what was archived before is served");
            if let Err(error) = context.runtime.block_on(show_earlier(context, panes)) {
                tracing::warn!(topic = topic.name, %error, "what was archived before cannot be shown yet");
            }
        }
        std::thread::sleep(TOPIC_RETRY);
    }
    Ok(None)
}

/// Says in the view why a topic waits.
pub(super) fn show_reason(context: &TopicContext, reason: &str) {
    let topic = &context.topic;
    let topics = context.catalog.topics.len();
    context.view.send_if_modified(|view| {
        if view.topics_waiting.get(&topic.name).is_some_and(|known| known == reason) {
            return false;
        }
        let mut next = View::clone(view);
        next.topics_waiting.insert(topic.name.clone(), reason.to_owned());
        next.ready = next.knows(topics);
        *view = Arc::new(next);
        true
    });
}

/// Shows the archive and the published windows as the last run left them.
async fn show_earlier(context: &TopicContext, panes: &mut TopicPanes) -> Result<(), StoreError> {
    let (topic, store) = (&context.topic, &context.config.store);
    let Some(archive) = Archive::read(topic, store).await? else { return Ok(()) };
    let mut published = BTreeMap::new();
    for live in panes.metrics_mut() {
        let found = MetricTable::read(&live.id.metric, &live.id.version, &Layout::of(store).metrics()).await?;
        live.published_through = found.as_ref().and_then(|(_, through_ms)| through_ms.map(Watermark::from_ms));
        published.extend(found.map(|(rows, _)| (live.id.clone(), rows)));
    }
    let (counts, skipped) = archive.counts().await?;
    let Counts { counted, duplicate, late, refused, .. } = counts;
    let watermark = archive.watermark().await?;
    let completeness = Completeness {
        watermark,
        read: counts.read(),
        counted,
        duplicate,
        late,
        refused,
        skipped,
        lookups: BTreeMap::new(),
        idle_partitions: Vec::new(),
        live: Live::Current,
    };
    let topics = context.catalog.topics.len();
    let committed = CommittedWindows::default();
    let earlier = TopicViewBuilder {
        topics,
        archive: archive.provider().await?,
        published,
        watermark,
        committed,
        is_earlier: true,
    };
    earlier.publish(context, panes, Vec::new(), completeness.clone(), &completeness);
    Ok(())
}
