//! Compares what was published with what the archive says.
//!
//! What must be there is recomputed by another code path than the stream's ([`recompute`]); every
//! row that differs is named.

mod compare;
pub mod continuous;
mod key_part;
mod keyed;
pub mod offsets;
mod once_per_window;
mod recompute;
pub mod results;
mod search;
mod selection;
mod shared_scan;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use vitral_catalog::{Catalog, DomainSettings, Metric};
use vitral_panes::in_order;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::topic::Topic;
use vitral_schemas::window::Windows;
use vitral_store::{Archive, ArchiveReader, Layout, Location, MetricTable};

pub use self::compare::SIDE_COLUMN;
use self::key_part::KeyPart;
pub use self::keyed::{bring_up_to_date, keyed_plans, reconcile_keyed};
use self::recompute::{Session, Wanted};
pub use self::search::first_ms;
pub(crate) use self::search::next_ms;
pub use self::selection::{BUCKETS, Kind, Selection};
use crate::engine::Engine;
use crate::error::{BatchError, is_outage};

/// Windows that start in `from..to`, and sessions that end after `from` and not after `to`: a
/// session is final when it ends, however long ago it began.
#[derive(Debug, Clone, Copy)]
pub struct WindowRange {
    /// The first possible start.
    pub from: EventTime,
    /// After the last possible start.
    pub to: EventTime,
}

impl WindowRange {
    /// Of milliseconds since the Unix epoch.
    pub const fn of_ms(from_ms: i64, to_ms: i64) -> Self {
        Self { from: EventTime::from_ms(from_ms), to: EventTime::from_ms(to_ms) }
    }
}

/// What the comparison of one metric has found.
#[derive(Debug)]
pub struct MetricComparison {
    /// The metric's name.
    pub metric: String,
    /// Less than what was asked for, where the events of its beginning have expired.
    pub range: WindowRange,
    /// None while no window of this version was ever published.
    pub published_through_ms: Option<i64>,
    /// How many closed windows were compared.
    pub windows: usize,
    /// What the closed windows of the range must hold.
    pub expected: RecordBatch,
    /// The rows that differ: [`SIDE_COLUMN`] (above zero: published, but not recomputed; below:
    /// recomputed, but not published), then the metric's columns.
    pub differences: RecordBatch,
    /// Why nothing could be compared, if so.
    pub failure: Option<String>,
    /// Since when, in milliseconds, and why the stream has set the metric aside: what it should
    /// have published since is missing.
    pub set_aside: Option<(i64, String)>,
    /// Whether a part of the keys was compared, which is not enough to repair by.
    pub is_of_part: bool,
}

impl MetricComparison {
    fn nothing(metric: &Metric, range: WindowRange) -> Self {
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        Self {
            metric: metric.name.clone(),
            range,
            published_through_ms: None,
            windows: 0,
            expected: nothing.clone(),
            differences: nothing,
            failure: None,
            set_aside: None,
            is_of_part: false,
        }
    }

    /// Whether any row differs.
    pub fn differs(&self) -> bool {
        self.differences.num_rows() > 0
    }
}

/// Windows that are recomputed together: a long range is compared in steps, so that memory is
/// bounded by the busiest of them.
const STEP_MS: i64 = 6 * 3_600_000;
/// A step costs as much as a million rows, whatever it has, so that it is longer where there are
/// few: the first of these whose events are no more than [`FEW_EVENTS`].
const LONGER_STEPS_MS: [i64; 2] = [24 * 3_600_000, 12 * 3_600_000];
const FEW_EVENTS: usize = 4_000_000;
/// How long a table is read as it was when it was opened: its files are kept for an hour after they
/// were merged.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// Compares the published windows of metrics with the archive, which `engine` recomputes them from.
pub async fn reconcile(
    catalog: &Catalog,
    settings: &DomainSettings,
    store: &Location,
    engine: &Engine,
    range: WindowRange,
    selection: Selection<'_>,
) -> Result<Vec<MetricComparison>, BatchError> {
    let mut compared = Vec::new();
    for topic in &catalog.topics {
        let metrics = catalog.metrics_of(&topic.name).filter(|metric| selection.has_metric(metric));
        let metrics: Vec<&Metric> = metrics.collect();
        let subject =
            Subject { topic, settings, store, engine, bucket: selection.bucket, is_frequent: selection.is_frequent };
        compared.extend(subject.reconcile(&metrics, range).await?);
    }
    Ok(compared)
}

/// A topic whose metrics are compared, and where and how.
struct Subject<'a> {
    topic: &'a Topic,
    settings: &'a DomainSettings,
    store: &'a Location,
    engine: &'a Engine,
    bucket: Option<i64>,
    is_frequent: bool,
}

/// What was stored at one moment.
///
/// The tables are read before the archive: windows that they call closed gain no row afterwards,
/// however far a running stream gets.
struct Stored {
    read_at: Instant,
    /// In the order of the metrics.
    tables: Vec<Published>,
    archive: Option<ArchiveReader>,
}

impl Stored {
    /// How much of the time from here on is compared at once.
    fn step_ms(&self, from: EventTime) -> i64 {
        let has_few = |step_ms: &i64| {
            let times = from..from.plus_ms(*step_ms);
            self.archive.as_ref().and_then(|archive| archive.rows_within(&times)).is_some_and(|rows| rows <= FEW_EVENTS)
        };
        LONGER_STEPS_MS.into_iter().find(has_few).unwrap_or(STEP_MS)
    }
}

/// A metric's rows, and through which watermark they are published; none if there is no table.
type Published = Option<(Arc<dyn TableProvider>, Option<i64>)>;

/// A metric on its way through the steps.
struct Progress<'a> {
    metric: &'a Metric,
    part: Option<KeyPart>,
    /// What of the range can be compared.
    range: WindowRange,
    steps: Vec<MetricComparison>,
    failure: Option<String>,
}

impl Subject<'_> {
    async fn reconcile(&self, metrics: &[&Metric], range: WindowRange) -> Result<Vec<MetricComparison>, BatchError> {
        let mut stored = self.stored(metrics).await?;
        let mut all = self.comparable(metrics, &stored, range);
        let ends =
            |all: &[Progress<'_>]| all.iter().filter(|each| each.failure.is_none()).map(|each| each.range.to).max();
        let mut from = all.iter().map(|each| each.range.from).min().unwrap_or(range.to);
        while let Some(end) = ends(&all).filter(|end| from < *end) {
            let step = WindowRange { from, to: end.min(from.plus_ms(stored.step_ms(from))) };
            if stored.read_at.elapsed() > READ_AGAIN_AFTER {
                stored = self.stored(metrics).await?;
            }
            let rows = self.step(&mut all, &stored, step).await?;
            from = step.to;
            if rows == 0 && from < end {
                // Years without events are skipped at once.
                let next = self.next_ms(metrics, from.ms()).await?.map(EventTime::from_ms);
                from = next.unwrap_or(end).max(from);
            }
        }
        let mut compared = Vec::with_capacity(all.len());
        for progress in all {
            let version = progress.metric.version(self.settings, self.topic.lateness_ms);
            let set_aside =
                MetricTable::failure(&progress.metric.name, &version, &Layout::of(self.store).metrics()).await?;
            compared.push(MetricComparison { set_aside, ..progress.finish()? });
        }
        Ok(compared)
    }

    async fn stored(&self, metrics: &[&Metric]) -> Result<Stored, BatchError> {
        let location = Layout::of(self.store).metrics();
        let mut tables = Vec::with_capacity(metrics.len());
        for metric in metrics {
            let version = metric.version(self.settings, self.topic.lateness_ms);
            tables.push(MetricTable::read(&metric.name, &version, &location).await?);
        }
        let archive = Archive::read(self.topic, &self.engine.prepare_location(&self.store.bulk_scan())).await?;
        Ok(Stored { read_at: Instant::now(), tables, archive })
    }

    /// For each metric, the part of the range whose events are all there and whose windows are
    /// published.
    fn comparable<'a>(&self, metrics: &[&'a Metric], stored: &Stored, range: WindowRange) -> Vec<Progress<'a>> {
        let newest_purged = stored.archive.as_ref().and_then(|archive| archive.newest_purged());
        let whole_from_ms = newest_purged.map(|newest| newest.ms() + 1);
        let from = whole_from_ms.map_or(range.from, EventTime::from_ms).max(range.from);
        let each = metrics.iter().zip(&stored.tables).map(|(metric, table)| {
            let through_ms = table.as_ref().and_then(|table| table.1);
            let windows = Windows::new(metric.window, self.settings.time_zone);
            let is_sessions = metric.window.session_gap_micros().is_some();
            let part = self.bucket.and_then(|bucket| KeyPart::of(metric, bucket));
            let closed_until_ms = through_ms.map(|ms| ms - self.topic.lateness_ms);
            let closed_until_ms = closed_until_ms.map(|ms| if is_sessions { ms } else { windows.first_open_ms(ms) });
            // A day that lacks events has no session that is known to be whole.
            let whole_day_ms = newest_purged.filter(|_| is_sessions).map(|newest| {
                let day_ms = windows.pane_start_ms(newest.micros());
                windows.pane_end_ms(day_ms)
            });
            let from = whole_day_ms.map_or(from, |ms| EventTime::from_ms(ms).max(from));
            let to = closed_until_ms.map_or(range.to, EventTime::from_ms).min(range.to);
            Progress { metric, part, range: WindowRange { from, to }, steps: Vec::new(), failure: None }
        });
        each.collect()
    }

    /// Compares the windows that start in a step; how many rows they have, and that differ.
    async fn step(&self, all: &mut [Progress<'_>], stored: &Stored, step: WindowRange) -> Result<usize, BatchError> {
        let archive = stored.archive.as_ref().ok_or_else(|| self.no_archive())?.provider().await?;
        let mut due: Vec<(&mut Progress<'_>, &Published, WindowRange)> = all
            .iter_mut()
            .zip(&stored.tables)
            .map(|(each, table)| {
                let (from, to) = (step.from.max(each.range.from), step.to.min(each.range.to));
                (each, table, WindowRange { from, to })
            })
            .filter(|(each, _, range)| each.failure.is_none() && range.to > range.from)
            .collect();
        let wanted: Vec<Wanted<'_>> = due
            .iter()
            .map(|(each, _, range)| Wanted { metric: each.metric, range: *range, part: each.part.as_ref() })
            .collect();
        let session = Session { engine: self.engine, is_frequent: self.is_frequent };
        let recomputed = recompute::recompute(self.topic, self.settings, &archive, &session, &wanted).await?;
        let mut found = 0;
        for ((each, table, range), rows) in due.iter_mut().zip(recomputed) {
            let compared = match rows {
                Ok(rows) => compare::compare(each.metric, self.topic, table, rows, *range, each.part.as_ref()).await,
                Err(error) => Err(error),
            };
            match compared {
                Ok(compared) => {
                    found += compared.expected.num_rows() + compared.differences.num_rows();
                    each.steps.push(compared);
                }
                // One metric's failure says nothing about the others.
                Err(BatchError::Engine { what, action, source }) if !is_outage(&source) => {
                    let reason = format!("{what} cannot be {action}: {}", vitral_engine::words(&source));
                    each.failure = Some(reason);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn no_archive(&self) -> BatchError {
        BatchError::NoArchive { topic: self.topic.name.clone(), folder: self.store.to_string() }
    }
}

impl Progress<'_> {
    /// All steps as one.
    fn finish(self) -> Result<MetricComparison, BatchError> {
        let Self { metric, part, range, steps, failure } = self;
        let nothing = MetricComparison { is_of_part: part.is_some(), ..MetricComparison::nothing(metric, range) };
        if failure.is_some() {
            return Ok(MetricComparison { failure, ..nothing });
        }
        let one = |rows: fn(&MetricComparison) -> &RecordBatch| {
            let rows: Vec<&RecordBatch> = steps.iter().map(rows).collect();
            let schema = rows.first().map_or_else(|| Arc::new(Schema::empty()), |rows| rows.schema());
            concat_batches(&schema, rows)
        };
        let failed = |source: ArrowError| BatchError::engine(&metric.name, "compared")(source.into());
        Ok(MetricComparison {
            // A running stream continues meanwhile: only what every step saw as published was
            // compared.
            published_through_ms: steps.iter().map(|step| step.published_through_ms).min().flatten(),
            windows: steps.iter().map(|step| step.windows).sum(),
            expected: one(|step| &step.expected).map_err(failed)?,
            differences: one(|step| &step.differences).map_err(failed)?,
            ..nothing
        })
    }
}

/// The rows of one metric's windows that start in the range, in the schema and the order of its
/// table, from the archive as it is now.
pub(crate) async fn recompute_one(
    metric: &Metric,
    topic: &Topic,
    settings: &DomainSettings,
    store: &Location,
    engine: &Engine,
    range: WindowRange,
) -> Result<RecordBatch, BatchError> {
    let subject = Subject { topic, settings, store, engine, bucket: None, is_frequent: false };
    let archive = Archive::read(topic, &engine.prepare_location(&store.bulk_scan())).await?;
    let archive = archive.ok_or_else(|| subject.no_archive())?.provider().await?;
    let mut rows = recompute::recompute(
        topic,
        settings,
        &archive,
        &Session { engine, is_frequent: false },
        &[Wanted { metric, range, part: None }],
    )
    .await?;
    ordered(metric, &rows.swap_remove(0)?)
}

/// The rows in the order in which a stream stores them.
fn ordered(metric: &Metric, rows: &RecordBatch) -> Result<RecordBatch, BatchError> {
    in_order(metric, rows).map_err(BatchError::engine(&metric.name, "ordered"))
}

/// Puts what must be there into the tables of the metrics that differ; how many did.
pub async fn repair(
    catalog: &Catalog,
    settings: &DomainSettings,
    store: &Location,
    compared: &[MetricComparison],
) -> Result<usize, BatchError> {
    let mut repaired = 0;
    for found in compared.iter().filter(|found| found.differs() && !found.is_of_part) {
        if let Some(view) = catalog.keyed_view(&found.metric)
            && let Some(topic) = catalog.topic(&view.topic)
        {
            keyed::repair(view, topic, settings, store).await?;
            repaired += 1;
        }
        let Some(metric) = catalog.metric(&found.metric) else { continue };
        let Some(topic) = catalog.topic(&metric.topic) else { continue };
        let wanted = compare::closed(metric, topic, found.range, found.published_through_ms);
        let version = metric.version(settings, topic.lateness_ms);
        let rows = ordered(metric, &found.expected)?;
        MetricTable::replace(&metric.name, &version, &Layout::of(store).metrics(), wanted, rows).await?;
        repaired += 1;
    }
    Ok(repaired)
}

fn instant(micros: i64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}
