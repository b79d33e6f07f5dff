//! While a topic does not exist yet or its broker does not answer, the others are served, and of this one what earlier runs have archived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vitral_schemas::topic::Topic;
use vitral_schemas::view::{Completeness, View};
use vitral_store::{Archive, Counts, Layout, MetricTable, StoreError};

use super::Context;
use super::health::HealthOfTopic;
use super::view::ViewOfTopic;
use crate::error::StreamError;
use crate::kafka::Source;
use crate::panes_of_topic::PanesOfTopic;

/// Between questions for a topic that does not exist yet.
const TOPIC_RETRY: Duration = Duration::from_secs(1);
/// A wrong password, certificate or right at the start is a wrong setting, unless it is put right meanwhile.
const REFUSALS_MAX: usize = 3;

/// The topic's partitions, once it has some; none if it was stopped meanwhile. Waits through outages, and for a topic that is still to come;
/// not for what somebody must change first.
pub(super) fn wait_for_topic(
    context: &Context,
    topic: &Topic,
    source: &Source,
    health: &HealthOfTopic,
    panes: &mut PanesOfTopic,
    stop: &AtomicBool,
) -> Result<Option<Vec<i32>>, StreamError> {
    let mut told = false;
    let mut refusals = 0;
    while !stop.load(Ordering::SeqCst) {
        let partitions = source.partitions();
        health.waits_for_topic(&partitions);
        let reason = match partitions {
            Ok(partitions) if !partitions.is_empty() => return Ok(Some(partitions)),
            Ok(_) => format!("topic {} does not exist in Kafka yet", topic.kafka_topic),
            Err(error) if source.problem().is_some_and(|problem| problem.is_refusal()) => {
                refusals += 1;
                if refusals >= REFUSALS_MAX {
                    return Err(error);
                }
                error.to_string()
            }
            Err(error) => {
                tracing::debug!(topic = topic.name, %error, "kafka does not answer");
                format!("Kafka at {} does not answer", context.config.kafka.brokers)
            }
        };
        tell(context, topic, &reason);
        if !told {
            told = true;
            tracing::warn!(topic = topic.name, reason, "waiting; what was archived before is served");
            if let Err(error) = context.runtime.block_on(show_earlier(context, topic, panes)) {
                tracing::warn!(topic = topic.name, %error, "what was archived before cannot be shown yet");
            }
        }
        std::thread::sleep(TOPIC_RETRY);
    }
    Ok(None)
}

/// Says in the view why a topic waits.
pub(super) fn tell(context: &Context, topic: &Topic, reason: &str) {
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
async fn show_earlier(context: &Context, topic: &Topic, panes: &mut PanesOfTopic) -> Result<(), StoreError> {
    let store = &context.config.store;
    let Some(archive) = Archive::read(topic, store).await? else { return Ok(()) };
    let mut published = Vec::new();
    for live in &mut panes.metrics {
        let name = live.plan().metric.name.clone();
        let found = MetricTable::read(&name, &live.version, &Layout::of(store).metrics()).await?;
        live.published_through_ms = found.as_ref().and_then(|(_, through_ms)| *through_ms);
        published.push(found.map(|(rows, _)| rows));
    }
    let (counts, skipped) = archive.counts().await?;
    let Counts { counted, duplicate, late, refused, .. } = counts;
    let completeness = Completeness {
        watermark_ms: archive.effective_ms().await?,
        read: counts.read(),
        counted,
        duplicate,
        late,
        refused,
        skipped,
        idle_partitions: Vec::new(),
    };
    let topics = context.catalog.topics.len();
    let earlier = ViewOfTopic { topics, archive: archive.provider().await?, published, is_earlier: true };
    earlier.show(&context.view, topic, panes, Vec::new(), completeness.clone(), &completeness);
    Ok(())
}
