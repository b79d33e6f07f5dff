//! The port between the stream and its readers: one consistent picture of every topic and metric.
//!
//! The stream replaces the whole picture at each refresh and each commit; a reader takes one and
//! uses it for its whole answer, so that published and provisional rows never overlap and never
//! leave a gap.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use tokio::sync::watch;

use vitral_schemas::event_time::Watermark;
use vitral_schemas::health::Health;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::window::Window;

use crate::open_windows::OpenWindows;

/// Readers hold the receiving end; it starts with an empty view and closes when the stream has
/// stopped.
pub type ViewReceiver = watch::Receiver<Arc<View>>;
/// The stream's end.
pub type ViewSender = watch::Sender<Arc<View>>;

/// What can be answered at one moment: every topic and metric, final and provisional rows together.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// False until recovery is done, of every topic that does not wait for its broker.
    pub ready: bool,
    /// By table name.
    pub topics: BTreeMap<String, TopicView>,
    /// Topics that cannot be read yet, each with the reason: they do not exist in Kafka, or their
    /// broker does not answer. What earlier runs have archived of them is shown all the same.
    pub topics_waiting: BTreeMap<String, String>,
    /// By metric name.
    pub metrics: BTreeMap<String, MetricView>,
    /// Tables that are kept up to date, by name; new ones once they have their history.
    pub keyed: BTreeMap<String, KeyedTableView>,
    /// What these tables have taken in besides messages, once they are where the archive and the
    /// imports are; until then they are as an earlier process has left them.
    pub keyed_imports: BTreeMap<String, KeyedImports>,
    /// Of each topic that has one, the watermark of its last commit, by table name: what
    /// `marca_dagua()` gives.
    pub committed_watermarks: BTreeMap<String, Watermark>,
    /// Of the process: the same in each view, and written to between views too.
    pub health: Arc<Health>,
}

impl View {
    /// Whether each of so many topics can be answered for, or is known to wait.
    pub fn knows(&self, topics: usize) -> bool {
        let waiting_alone = self.topics_waiting.keys().filter(|name| !self.topics.contains_key(*name));
        self.topics.len() + waiting_alone.count() == topics
    }

    /// What is committed, and nothing else: topics without what waits for its commit, and metrics
    /// as they were then. Metrics of which that is not known are left out, and so are tables that
    /// are still brought up to date after a start.
    pub fn at_commit(&self) -> Self {
        let topic = |topic: &TopicView| TopicView { tail: Arc::from([]), ..topic.clone() };
        let owned = |(name, view): (&String, &KeyedTableView)| (name.clone(), view.clone());
        let metric = |metric: &MetricView| {
            Some(MetricView { open: Arc::clone(metric.open_at_commit.as_ref()?), ..metric.clone() })
        };
        Self {
            topics: self.topics.iter().map(|(name, view)| (name.clone(), topic(view))).collect(),
            metrics: self.metrics.iter().filter_map(|(name, view)| Some((name.clone(), metric(view)?))).collect(),
            keyed: self.keyed.iter().filter(|(name, _)| self.is_up_to_date(name)).map(owned).collect(),
            ..self.clone()
        }
    }

    /// Whether a table has been brought to where the archive is, or fails and shows that.
    fn is_up_to_date(&self, table: &str) -> bool {
        self.keyed_imports.contains_key(table) || self.keyed.get(table).is_some_and(|view| view.failure.is_some())
    }

    /// This view with the rows that tables had right before their last import, and with those right
    /// after it; none if no table has taken one in since `seen`.
    pub fn around_imports(&self, seen: &Self) -> Option<[Self; 2]> {
        let is_known = |name: &str, count: u64| seen.keyed_imports.get(name).is_none_or(|known| known.count == count);
        let mut around = None;
        for (name, imports) in self.keyed_imports.iter().filter(|(name, imports)| !is_known(name, imports.count)) {
            let Some(last) = &imports.last else { continue };
            let views = around.get_or_insert_with(|| [self.clone(), self.clone()]);
            for (view, moment) in views.iter_mut().zip(last) {
                if let Some(table) = view.keyed.get_mut(name) {
                    let KeyedMoment { rows, through } = moment.clone();
                    (table.rows, table.through) = (rows, through);
                }
            }
        }
        around
    }
}

/// What is known of a topic.
#[derive(Debug, Clone)]
pub struct TopicView {
    /// Every committed row, in the archive's schema.
    pub archive: Arc<dyn TableProvider>,
    /// Counted rows that are not committed yet, in the topic's schema.
    pub tail: Arc<[RecordBatch]>,
    /// What the archive and the tail hold together.
    pub completeness: Completeness,
}

/// What is known of a metric.
#[derive(Debug, Clone)]
pub struct MetricView {
    /// The topic that it is computed from.
    pub topic: String,
    /// Its windows.
    pub window: Window,
    /// Window start and end, then the metric's columns.
    pub schema: SchemaRef,
    /// Final rows, in that schema.
    pub published: Arc<dyn TableProvider>,
    /// Every window whose end plus lateness is at or before this is published.
    pub published_through_ms: Option<i64>,
    /// The windows that are still open: their states, and their rows once somebody has asked for
    /// them.
    pub open: Arc<OpenWindows>,
    /// The same as of the last commit, for what must not act on more than that; none if nobody
    /// needs it, or before the first is known.
    pub open_at_commit: Option<Arc<OpenWindows>>,
    /// Of the topic, at the moment the open windows were made: while much is read at once they may
    /// be older than its tail.
    pub completeness: Completeness,
    /// Why windows are missing, if the stream knows of some: see [`Self::failure`].
    pub failure: Option<MetricFailure>,
}

impl MetricView {
    /// Why windows are missing, if some are; it asks for the rows of the open ones.
    pub fn failure(&self) -> Option<MetricFailure> {
        self.open.rows();
        self.known_failure()
    }

    /// The same, as far as somebody has asked for these rows.
    pub fn known_failure(&self) -> Option<MetricFailure> {
        let of_open = || {
            let (_, unfinished) = self.open.known_unfinished().next()?;
            let reason = unfinished.reason.clone();
            Some(MetricFailure { reason, since_ms: unfinished.since_ms, is_set_aside: false })
        };
        self.failure.clone().or_else(of_open)
    }

    /// Whether nothing more is published of it.
    pub fn is_set_aside(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.is_set_aside)
    }
}

/// What is known of a table with one row for each key.
#[derive(Debug, Clone)]
pub struct KeyedTableView {
    /// The topic that it is computed from.
    pub topic: String,
    /// The columns that a row is known by, which come first.
    pub keys: Vec<String>,
    /// One row for each key, as of the last commit.
    pub rows: Arc<dyn TableProvider>,
    /// How far these rows have come.
    pub through: Arc<KeyedThrough>,
    /// Rows of events before this, in milliseconds, are missing; none if none are.
    pub since_ms: Option<i64>,
    /// Why nothing is added any more, if so.
    pub failure: Option<MetricFailure>,
}

/// How far a table's rows have come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyedThrough {
    /// The number of the table's last commit; none before the first. Rows of the same commit are
    /// the same.
    pub commit: Option<u64>,
    /// The topic's log as it is now; none before that is known.
    pub log: Option<String>,
    /// The offset after the last one that is in, by partition of that log.
    pub offsets: BTreeMap<PartitionId, Offset>,
}

/// A table's rows at one moment.
#[derive(Debug, Clone)]
pub struct KeyedMoment {
    /// One row for each key.
    pub rows: Arc<dyn TableProvider>,
    /// How far they had come.
    pub through: Arc<KeyedThrough>,
}

/// The imports, and the repairs, that a table has taken in since the process began: what changes by
/// them is not news.
#[derive(Debug, Clone, Default)]
pub struct KeyedImports {
    /// How often.
    pub count: u64,
    /// The table's rows right before the last time, and right after it.
    pub last: Option<[KeyedMoment; 2]>,
}

/// A metric that fails on its data is set aside alone: what it has published stays, and nothing is
/// added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricFailure {
    /// A sentence for people, with the way on.
    pub reason: String,
    /// In milliseconds since the epoch.
    pub since_ms: i64,
    /// Nothing is published of it any more; else some of its open windows are left out.
    pub is_set_aside: bool,
}

/// What became of a topic's messages since its archive began, the rows not committed yet included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completeness {
    /// The topic's watermark.
    pub watermark: Option<Watermark>,
    /// Offsets that were read.
    pub read: u64,
    /// Those that count.
    pub counted: u64,
    /// Those whose event id had been counted.
    pub duplicate: u64,
    /// Those that came too late.
    pub late: u64,
    /// Those that are not valid events.
    pub refused: u64,
    /// Offsets that were lost or could not be read, and were skipped on somebody's word; not among
    /// those read.
    pub skipped: u64,
    /// Looked-up columns by their names, and what became of their look-ups.
    pub lookups: BTreeMap<String, LookupCompleteness>,
    /// Partitions that do not hold back the watermark, as they are quiet.
    pub idle_partitions: Vec<PartitionId>,
    /// Whether what is not stored yet is among it.
    pub live: Live,
}

/// Whether what a stream has and has not stored yet is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Live {
    /// It is, as the stream showed it last.
    #[default]
    Current,
    /// The stream does not answer: what is stored is all.
    Away {
        /// In milliseconds since the epoch.
        since_ms: i64,
    },
    /// The stream computes something else under this name, or speaks of it in another way: what is
    /// stored is all.
    OtherVersion,
}

/// How complete a looked-up column is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookupCompleteness {
    /// Rows that came before this have null, in milliseconds since the epoch; none if every row of
    /// the archive was looked up.
    pub since_ms: Option<i64>,
    /// Rows whose key was not found, since the process began.
    pub unknown: u64,
    /// Rows that have null because there was no answer, since the process began.
    pub failed: u64,
    /// Rows that have an older answer because there was no newer one, since the process began.
    pub stale: u64,
}
