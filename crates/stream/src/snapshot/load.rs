//! Taking a snapshot back.

use std::collections::{BTreeMap, BTreeSet};

use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::metric_version::MetricVersionId;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::Topic;
use vitral_store::snapshot::Block;
use vitral_store::{Archive, Counts, Snapshots};

use super::manifest::{IdBlock, Manifest, MetricState, TopicTerms, engine};
use crate::classify::Classifier;
use crate::error::StreamError;
use crate::topic_panes::TopicPanes;
use crate::topic_state::TopicState;

/// What was taken back, and where it lies.
pub struct Loaded {
    pub offsets: BTreeMap<PartitionId, Offset>,
    pub counts: Counts,
    /// Metrics whose panes were in it; the others must be rebuilt.
    pub restored: BTreeSet<MetricVersionId>,
    pub(super) runs: BTreeMap<(MetricVersionId, u64), Block>,
    pub(super) ids: Vec<IdBlock>,
    pub(super) segments: BTreeMap<u64, u64>,
}

/// Loads the newest snapshot into panes, ids and watermarks, which are empty; none if there is none
/// that can be trusted, and then they are empty again.
pub async fn load(snapshots: &Snapshots, topic: &Topic, archive: &Archive, state: &mut TopicState) -> Option<Loaded> {
    let id_key = state.classifier.id_key();
    let manifest = match snapshots.newest::<Manifest>().await {
        Ok(Some((_, manifest))) => manifest,
        Ok(None) => return None,
        Err(error) => return rebuild(topic, &error),
    };
    if let Some(reason) = doubt(&manifest, topic, archive).await {
        tracing::warn!(
            topic = topic.name,
            reason,
            "the snapshot is not of this archive and engine; rebuilding from the archive"
        );
        return None;
    }
    match restore(snapshots, &manifest, &mut state.panes, &mut state.classifier).await {
        Ok(mut loaded) => {
            for (partition, newest_ms) in &manifest.newest_event_ms {
                state.watermarks.observe_event(PartitionId(*partition), EventTime::from_ms(*newest_ms));
            }
            loaded.segments = manifest.segments();
            Some(loaded)
        }
        Err(error) => {
            state.panes.clear();
            state.classifier.start_over(id_key);
            rebuild(topic, &error)
        }
    }
}

fn rebuild(topic: &Topic, error: &dyn std::error::Error) -> Option<Loaded> {
    tracing::warn!(topic = topic.name, %error, source = ?error.source(), "the snapshot cannot be read; rebuilding from the archive");
    None
}

/// Why the snapshot must not be used, if so.
async fn doubt(manifest: &Manifest, topic: &Topic, archive: &Archive) -> Option<String> {
    if manifest.engine != engine() {
        return Some(format!("it was written by {}", manifest.engine));
    }
    if manifest.topic != TopicTerms::of(topic) || manifest.log != archive.log() {
        return Some("it is of another topic or declaration".to_owned());
    }
    match archive.id() {
        Ok(id) if id == manifest.archive => {}
        Ok(_) => return Some("the archive was deleted and recreated since".to_owned()),
        Err(error) => return Some(error.to_string()),
    }
    if archive.replays() != manifest.replays.unwrap_or_default() {
        return Some("rows have been replayed since".to_owned());
    }
    let mut offsets = offsets(manifest);
    let behind = offsets.find(|(partition, offset)| archive.next_offsets().get(partition) < Some(offset));
    behind.map(|(partition, offset)| format!("the archive does not reach offset {offset} of partition {partition}"))
}

/// The offset after the last that is in the state, by partition.
fn offsets(manifest: &Manifest) -> impl Iterator<Item = (PartitionId, Offset)> {
    manifest.offsets.iter().map(|(partition, next)| (PartitionId(*partition), Offset(*next)))
}

async fn restore(
    snapshots: &Snapshots,
    manifest: &Manifest,
    panes: &mut TopicPanes,
    classifier: &mut Classifier,
) -> Result<Loaded, StreamError> {
    let mut runs = BTreeMap::new();
    let mut restored = BTreeSet::new();
    for live in panes.metrics_mut() {
        let id = live.id.clone();
        let is_this = |state: &&MetricState| *state.version == *id.version && *state.name == *id.metric;
        let Some(state) = manifest.metrics.iter().find(is_this) else { continue };
        // A table that was set back needs panes that the snapshot has no more.
        if live.published_through < state.published_through_ms.map(Watermark::from_ms) {
            continue;
        }
        let mut blocks = Vec::new();
        let mut outcome = Ok(());
        for run in &state.runs {
            let states = snapshots.read(&run.block).await?;
            match live.panes.restore(PartitionId(run.partition), states) {
                Ok(number) => blocks.extend(number.map(|number| ((id.clone(), number), run.block.clone()))),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        match outcome {
            Ok(()) => {
                runs.extend(blocks);
                restored.insert(id);
            }
            Err(error) => {
                tracing::warn!(%error, "the metric's part of the snapshot cannot be used; rebuilding it from the archive");
                live.panes.clear();
            }
        }
    }
    classifier.start_over(manifest.id_key);
    for ids in &manifest.ids {
        classifier.restore_ids(PartitionId(ids.partition), &snapshots.read(&ids.block).await?);
    }
    Ok(Loaded {
        offsets: offsets(manifest).collect(),
        counts: manifest.counts,
        restored,
        runs,
        ids: manifest.ids.clone(),
        segments: BTreeMap::new(),
    })
}
