//! The open state, written down now and then, so that a restart need not rebuild it from the
//! archive.
//!
//! A snapshot is of the moment at which a commit was cut, and is written once that commit has
//! succeeded: it never knows more than the archive. It holds the panes' runs, the known event ids
//! and the counts, each as of the offsets that it names; a restart loads it and goes on with the
//! archive's rows behind those offsets. Runs and ids are written once: a later snapshot names them
//! where they are. Ids die in the order they came, runs of long windows outlive those of short
//! ones: each lie in segments of their own, so that what lives long does not keep what died.
//!
//! Any doubt (another engine, another log, a table that was set back, a damaged file) means a
//! rebuild from the archive, never wrong numbers.

mod load;
mod manifest;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use tokio::task::JoinHandle;
use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::metric_version::MetricVersionId;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::Topic;
use vitral_store::snapshot::Block;
use vitral_store::{Archive, Snapshots, StoreError};

use crate::classify::Classifier;
use crate::error::StreamError;
use crate::topic_panes::TopicPanes;
use crate::topic_state::TopicState;

pub use self::load::{Loaded, load};
use self::manifest::{IdBlock, Manifest, MetricState, RunBlock, TopicTerms, engine};

/// So many new ids are written down before it is time, to bound what is remembered of them.
const NEW_IDS_MAX: usize = 1 << 20;
/// When segments hold this much more than what is alive in them, it is written again.
const DEAD_SHARE_MAX: u64 = 4;
const DEAD_BYTES_MIN: u64 = 64 << 20;

/// Writes snapshots alongside the pipeline.
pub struct Snapshotter {
    snapshots: Snapshots,
    every: Option<Duration>,
    subject: Subject,
    /// The highest number of a file.
    number: u64,
    /// Where what was written lies: runs by metric and number, ids in the order they came.
    runs: BTreeMap<(MetricVersionId, u64), Block>,
    ids: Vec<IdBlock>,
    /// The size of each segment in which something is alive.
    segments: BTreeMap<u64, u64>,
    /// Where what was taken for the last snapshot lies is not known: the next one holds everything.
    must_write_all: bool,
    began: Instant,
    /// Cut with the commit that is under way.
    cut: Option<Box<Cut>>,
    writing: Option<JoinHandle<Result<Box<Cut>, StoreError>>>,
}

/// Of what the snapshots are, by which a restart knows whether to believe them.
struct Subject {
    topic: TopicTerms,
    log: String,
    archive: String,
    /// As of the start: a replay must be the only writer.
    replays: i64,
}

/// The state at a cut; what is in no segment yet waits in `new`.
struct Cut {
    /// The numbers of the segments for ids and for runs; the manifest has the second.
    numbers: [u64; 2],
    manifest: Manifest,
    /// The metric and run of each run, in the manifest's order.
    runs: Vec<(MetricVersionId, u64)>,
    new: Vec<New>,
}

struct New {
    rows: RecordBatch,
    place: Place,
}

/// Where in the manifest a new block goes: by places in its lists.
enum Place {
    Run { metric: usize, index: usize },
    Ids { index: usize },
}

impl Snapshotter {
    pub fn new(
        snapshots: Snapshots,
        every: Option<Duration>,
        topic: &Topic,
        archive: &Archive,
        loaded: Option<&Loaded>,
        last: u64,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            snapshots,
            every,
            subject: Subject {
                topic: TopicTerms::of(topic),
                log: archive.log().to_owned(),
                archive: archive.id()?.to_owned(),
                replays: archive.replays(),
            },
            number: last,
            runs: loaded.map(|loaded| loaded.runs.clone()).unwrap_or_default(),
            ids: loaded.map(|loaded| loaded.ids.clone()).unwrap_or_default(),
            segments: loaded.map(|loaded| loaded.segments.clone()).unwrap_or_default(),
            must_write_all: false,
            began: Instant::now(),
            cut: None,
            writing: None,
        })
    }

    /// Whether the commit that is being cut should be followed by a snapshot.
    pub fn is_due(&self, classifier: &Classifier) -> bool {
        let Some(every) = self.every else { return false };
        self.writing.is_none() && (self.began.elapsed() >= every || classifier.new_id_count() >= NEW_IDS_MAX)
    }

    /// Takes the state as it is at this moment; panes are shared, not copied.
    pub fn cut(&mut self, offsets: BTreeMap<PartitionId, Offset>, state: &mut TopicState) -> Result<(), StreamError> {
        let TopicState { panes, classifier, watermarks, counts, .. } = state;
        self.began = Instant::now();
        let lateness_ms = self.subject.topic.lateness_ms;
        let oldest = watermarks.of_topic().map_or(EventTime::MIN, |watermark| watermark.late_before(lateness_ms));
        self.ids.retain(|ids| ids.newest_micros >= oldest.micros());
        if self.must_write_all || self.is_mostly_dead(self.living_runs(panes)) {
            self.runs.clear();
        }
        let all_ids = self.must_write_all || self.is_mostly_dead(self.ids.iter().map(|ids| &ids.block));
        self.must_write_all = false;
        let mut new = Vec::new();
        let (metrics, runs) = self.cut_runs(panes, &mut new);
        add_ids(classifier.take_new_ids(all_ids)?, &mut self.ids, &mut new);
        let Subject { topic, log, archive, replays } = &self.subject;
        let manifest = Manifest {
            engine: engine(),
            topic: topic.clone(),
            log: log.clone(),
            archive: archive.clone(),
            replays: Some(*replays),
            offsets: offsets.into_iter().map(|(partition, next)| (partition.0, next.0)).collect(),
            counts: *counts,
            newest_event_ms: watermarks.newest_events().map(|(partition, newest)| (partition.0, newest.ms())).collect(),
            metrics,
            id_key: classifier.id_key(),
            ids: self.ids.clone(),
        };
        let segments = [self.number + 1, self.number + 2];
        self.number += 2;
        self.cut = Some(Box::new(Cut { numbers: segments, manifest, runs, new }));
        Ok(())
    }

    /// The metrics' states with their runs, in one order; runs that lie in no segment yet are added
    /// to `new`.
    fn cut_runs(&self, panes: &TopicPanes, new: &mut Vec<New>) -> (Vec<MetricState>, Vec<(MetricVersionId, u64)>) {
        let (mut metrics, mut numbers) = (Vec::new(), Vec::new());
        // A version that was left, or set aside, has no state that anybody could go on with.
        for live in panes.metrics().iter().filter(|live| live.is_active()) {
            let mut runs = Vec::new();
            for (partition, number, states) in live.panes.runs() {
                let key = (live.id.clone(), number);
                let block = match self.runs.get(&key) {
                    Some(block) => block.clone(),
                    None => {
                        let place = Place::Run { metric: metrics.len(), index: runs.len() };
                        new.push(New { rows: states.clone(), place });
                        Block::default()
                    }
                };
                runs.push(RunBlock { partition: partition.0, block });
                numbers.push(key);
            }
            metrics.push(MetricState {
                name: live.id.metric.to_string(),
                version: live.id.version.to_string(),
                published_through_ms: live.published_through.map(Watermark::ms),
                runs,
            });
        }
        (metrics, numbers)
    }

    /// The commit that was cut has succeeded: writes what was cut with it, alongside the pipeline.
    pub fn committed(&mut self, runtime: &tokio::runtime::Handle) {
        if let Some(cut) = self.cut.take() {
            self.writing = Some(runtime.spawn(write(self.snapshots.clone(), cut)));
        }
    }

    /// Takes in how writing went, if it has ended.
    pub fn poll(&mut self, runtime: &tokio::runtime::Handle) {
        let Some(writing) = self.writing.take_if(|writing| writing.is_finished()) else { return };
        let ended = runtime.block_on(writing);
        self.take_in(ended);
    }

    fn take_in(&mut self, ended: Result<Result<Box<Cut>, StoreError>, tokio::task::JoinError>) {
        match ended {
            Ok(Ok(cut)) => {
                let needed = cut.manifest.segments();
                let written = cut.numbers.iter().filter_map(|number| needed.get_key_value(number));
                self.segments.extend(written);
                self.segments.retain(|number, _| needed.contains_key(number));
                let runs = cut.manifest.metrics.into_iter().flat_map(|metric| metric.runs).map(|run| run.block);
                self.runs = cut.runs.into_iter().zip(runs).collect();
                self.ids = cut.manifest.ids;
                tracing::debug!(number = self.number, "snapshot written");
            }
            Ok(Err(error)) => self.start_over(&error),
            Err(error) => self.start_over(&error),
        }
    }

    /// Waits for what is being written, but not beyond the deadline; whether nothing is being
    /// written any more.
    pub fn finish(&mut self, runtime: &tokio::runtime::Handle, deadline: Instant) -> bool {
        if let Some(writing) = &mut self.writing {
            // The timer must be made within the runtime.
            let wait = async { tokio::time::timeout_at(deadline.into(), writing).await };
            if let Ok(ended) = runtime.block_on(wait) {
                self.writing = None;
                self.take_in(ended);
            }
        }
        self.writing.is_none()
    }

    fn start_over(&mut self, error: &dyn std::error::Error) {
        tracing::warn!(%error, source = ?error.source(), "the snapshot was not written; trying again later");
        self.must_write_all = true;
    }

    /// Where the runs lie that are in a segment and still needed.
    fn living_runs<'a>(&'a self, panes: &'a TopicPanes) -> impl Iterator<Item = &'a Block> {
        panes.metrics().iter().flat_map(move |live| {
            live.panes.runs().filter_map(move |(_, number, _)| self.runs.get(&(live.id.clone(), number)))
        })
    }

    /// Whether the segments of these blocks hold much more than them.
    fn is_mostly_dead<'a>(&self, alive: impl Iterator<Item = &'a Block>) -> bool {
        let (mut bytes, mut segments) = (0, BTreeSet::new());
        for block in alive {
            bytes += block.bytes;
            segments.insert(block.segment);
        }
        let held: u64 = segments.iter().filter_map(|segment| self.segments.get(segment)).sum();
        held > DEAD_BYTES_MIN.max(DEAD_SHARE_MAX * bytes)
    }
}

/// Adds ids, by partition, behind those that are `known`, or in the place of all of their
/// partition.
fn add_ids(taken: Vec<(PartitionId, RecordBatch, bool)>, known: &mut Vec<IdBlock>, new: &mut Vec<New>) {
    // First what goes: the places of what comes must stay as they are.
    known.retain(|ids| !taken.iter().any(|(partition, _, is_all)| *is_all && partition.0 == ids.partition));
    for (partition, ids, _) in taken {
        let Some(newest_micros) = arrow::compute::max(ids.column(2).as_primitive::<Int64Type>()) else { continue };
        new.push(New { rows: ids, place: Place::Ids { index: known.len() } });
        known.push(IdBlock { partition: partition.0, newest_micros, block: Block::default() });
    }
}

/// The segments, the manifest, then the end of what it replaces.
async fn write(snapshots: Snapshots, mut cut: Box<Cut>) -> Result<Box<Cut>, StoreError> {
    let (ids, runs): (Vec<_>, Vec<_>) = cut.new.drain(..).partition(|new| matches!(new.place, Place::Ids { .. }));
    for (number, new) in cut.numbers.into_iter().zip([ids, runs]) {
        if new.is_empty() {
            continue;
        }
        let (rows, places): (Vec<_>, Vec<_>) = new.into_iter().map(|new| (new.rows, new.place)).unzip();
        let blocks = snapshots.write_segment(number, &rows).await?;
        failpoint!("snapshot.segment");
        for (place, block) in places.into_iter().zip(blocks) {
            match place {
                Place::Run { metric, index } => cut.manifest.metrics[metric].runs[index].block = block,
                Place::Ids { index } => cut.manifest.ids[index].block = block,
            }
        }
    }
    let [_, number] = cut.numbers;
    snapshots.write_manifest(number, &cut.manifest).await?;
    failpoint!("snapshot.manifest");
    let segments: Vec<u64> = cut.manifest.segments().into_keys().collect();
    if let Err(error) = snapshots.keep_only(number, &segments).await {
        tracing::warn!(%error, "old snapshots were not deleted; trying again with the next");
    }
    Ok(cut)
}

#[cfg(test)]
mod tests {
    use vitral_messages::deduplication_index::DeduplicationIndex;

    use super::*;

    fn taken(partition: i32, all: bool) -> (PartitionId, RecordBatch, bool) {
        let mut ids = DeduplicationIndex::new((1, 2));
        ids.insert("a", i64::from(partition), i64::MIN);
        let (rows, _) = ids.take_new(all).expect("a batch");
        (PartitionId(partition), rows, all)
    }

    /// Which partition each new block's place belongs to.
    fn places(known: &[IdBlock], new: &[New]) -> Vec<i32> {
        let place = |new: &New| match new.place {
            Place::Ids { index } => known[index].partition,
            Place::Run { .. } => unreachable!("only ids were added"),
        };
        new.iter().map(place).collect()
    }

    #[test]
    fn ids_of_every_partition_keep_their_places_when_all_are_written_again() {
        let mut known = Vec::new();
        for _ in 0..3 {
            add_ids((0..4).map(|partition| taken(partition, false)).collect(), &mut known, &mut Vec::new());
        }
        assert_eq!(known.len(), 12);
        let mut new = Vec::new();
        add_ids(vec![taken(0, true), taken(1, true), taken(2, false), taken(3, true)], &mut known, &mut new);
        assert_eq!(places(&known, &new), [0, 1, 2, 3]);
        let of = |partition| known.iter().filter(|ids| ids.partition == partition).count();
        assert_eq!([0, 1, 2, 3].map(of), [1, 1, 4, 1]);
    }
}
