//! What is in memory of each table: loaded in the background, then kept at what is read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use vitral_catalog::{KeyedColumn, KeyedView, Rollup};
use vitral_panes::view::{KeyedTableView, TopicView};
use vitral_store::{KeyedRows, StoredRows};

use super::behind::{Behind, Lacking};
use super::changes::{Changes, Touched};
use super::now::Now;
use super::sums::{Shape, Sums, Unusable};
use crate::error::QueryError;
use crate::made_rows::EARLIER_MAX;

/// A moment that has answered so many requests is renewed alongside.
const ASKED_OFTEN: u32 = 16;
/// So many rows wait, and are looked at one by one, before they are put into a run.
const WAITING_MAX: usize = 4096;
/// The same while a table is loaded, when nobody reads it.
const WAITING_WHILE_LOADING: usize = 1 << 18;

/// Computes states of rows.
pub(crate) trait States: AsyncFnOnce() -> Result<Vec<RecordBatch>, QueryError> {}

impl<T: AsyncFnOnce() -> Result<Vec<RecordBatch>, QueryError>> States for T {}

/// Computes what a table lacks, from the archive or from rows of it that have all of that.
pub(crate) trait Lacks: AsyncFnOnce(Option<Vec<RecordBatch>>) -> Result<Lacking, QueryError> {}

impl<T: AsyncFnOnce(Option<Vec<RecordBatch>>) -> Result<Lacking, QueryError>> Lacks for T {}

/// Tables by name.
#[derive(Debug)]
pub(crate) struct Rollups {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    /// What one table may take.
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Slot {
    /// The moment that was read last.
    moment: Mutex<Option<Moment>>,
    state: tokio::sync::Mutex<State>,
    /// What was committed after the stored rows.
    behind: tokio::sync::Mutex<Option<Behind>>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Empty,
    Loading,
    Loaded(Box<Loaded>),
    /// Until the table's rows are others altogether.
    Unusable(StoredRows),
}

/// What is stored, as of these rows.
#[derive(Debug, Clone)]
struct Loaded {
    rows: StoredRows,
    sums: Sums,
    changes: Arc<Changes>,
}

/// Sums of a table and of what came after it.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) now: Arc<Now>,
    pub(crate) table: KeyedTableView,
    pub(crate) topic: TopicView,
    /// Through when each metric of the topic is published.
    closed: Closed,
    made: Instant,
    /// How many requests it has answered, and whether the next one is made because of that.
    asked: Arc<AtomicU32>,
    is_renewed: Arc<AtomicBool>,
}

/// Which windows of a topic are closed, by metric.
pub(crate) type Closed = Vec<Option<i64>>;

impl Moment {
    fn is_of(&self, table: &KeyedTableView, topic: &TopicView) -> bool {
        let is_same_batch = |(a, b): (&RecordBatch, &RecordBatch)| {
            a.num_rows() == b.num_rows() && a.columns().iter().zip(b.columns()).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        Arc::ptr_eq(&self.table.through, &table.through)
            && Arc::ptr_eq(&self.topic.archive, &topic.archive)
            && self.topic.tail.len() == topic.tail.len()
            && self.topic.tail.iter().zip(topic.tail.iter()).all(is_same_batch)
    }
}

impl Rollups {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { slots: Mutex::default(), bytes_max }
    }

    /// The sums of a table and of what came after it, if somebody has asked for this moment before.
    pub(crate) fn known(&self, view: &KeyedView, (table, topic): (&KeyedTableView, &TopicView)) -> Option<Arc<Now>> {
        self.slot(view).known(table, topic)
    }

    /// The moment before, unless a window has been closed since, while others make the new one; and
    /// whether it is for this request to have it made, alongside. Where many ask nobody waits, and
    /// those who ask alone get the newest.
    pub(crate) fn earlier(&self, view: &KeyedView, closed: &Closed) -> Option<(Moment, bool)> {
        let slot = self.slot(view);
        let is_made_by_others = slot.state.try_lock().is_err();
        let moment = slot.moment.lock().unwrap_or_else(PoisonError::into_inner);
        let moment =
            moment.as_ref().filter(|moment| moment.closed == *closed && moment.made.elapsed() < EARLIER_MAX)?;
        let is_asked_often = moment.asked.load(Ordering::Relaxed) >= ASKED_OFTEN;
        let is_due = !is_made_by_others && is_asked_often && !moment.is_renewed.swap(true, Ordering::Relaxed);
        (is_made_by_others || is_asked_often).then(|| (moment.clone(), is_due))
    }

    fn slot(&self, view: &KeyedView) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(view.name.clone()).or_default())
    }

    /// The sums of a table and of the rows that it lacks, committed ones and others, whose states
    /// are computed; none while they are loaded, or if they cannot be kept.
    ///
    /// # Errors
    /// What is new cannot be read.
    pub(crate) async fn at(
        &self,
        view: &KeyedView,
        rollup: &Rollup,
        (table, topic, closed): (&KeyedTableView, &TopicView, Closed),
        (committed, provisional): (impl Lacks, impl States),
    ) -> Result<Option<Arc<Now>>, QueryError> {
        let Some(rows) = KeyedRows::of(&table.rows).and_then(|rows| StoredRows::of(&rows.states)) else {
            return Ok(None);
        };
        let slot = self.slot(view);
        let mut state = slot.state.lock().await;
        // Another request may have made it meanwhile.
        if let Some(known) = slot.known(table, topic) {
            return Ok(Some(known));
        }
        let Some(Loaded { mut sums, changes, .. }) = self.stored(&slot, &mut state, (view, rollup), rows).await? else {
            return Ok(None);
        };
        let mut behind = slot.behind.lock().await;
        let mut states = match behind.as_ref().filter(|known| known.is_of(table, topic)) {
            Some(known) => known.lacking.states.clone(),
            None => {
                let rows = match behind.take() {
                    Some(known) => known.grown(table, topic).await?,
                    None => None,
                };
                let lacking = committed(rows).await?;
                behind.insert(Behind::new(table, topic, lacking)).lacking.states.clone()
            }
        };
        if !topic.tail.is_empty() {
            states.extend(provisional().await?);
        }
        let mut touched = Touched::default();
        let added = states.iter().try_for_each(|batch| {
            sums.add(batch, &mut touched)?;
            // Each request would look at them one by one.
            if sums.waiting() >= WAITING_MAX { sums.settle() } else { Ok(()) }
        });
        if let Err(error) = added {
            warn(&view.name, &error);
            return Ok(None);
        }
        let now = Arc::new(Now::new(sums, changes, touched));
        let moment = Moment {
            now: Arc::clone(&now),
            table: table.clone(),
            topic: topic.clone(),
            closed,
            made: Instant::now(),
            asked: Arc::default(),
            is_renewed: Arc::default(),
        };
        *slot.moment.lock().unwrap_or_else(PoisonError::into_inner) = Some(moment);
        Ok(Some(now))
    }

    /// What is stored, as of these rows.
    async fn stored(
        &self,
        slot: &Arc<Slot>,
        state: &mut State,
        (view, rollup): (&KeyedView, &Rollup),
        now: StoredRows,
    ) -> Result<Option<Loaded>, QueryError> {
        match state {
            State::Loading => return Ok(None),
            State::Unusable(known) if now.added_since(known).await?.is_some() => return Ok(None),
            State::Loaded(loaded) if now.is(&loaded.rows) => return Ok(Some(Loaded::clone(loaded))),
            State::Loaded(loaded) => {
                if let Some(added) = now.added_since(&loaded.rows).await? {
                    let mut next = Loaded { rows: now, ..Loaded::clone(loaded) };
                    return Ok(match add(&mut next.sums, added, WAITING_MAX).await? {
                        Ok(touched) if !is_too_large(&view.name, &next.sums, self.bytes_max) => {
                            Arc::make_mut(&mut next.changes).add(touched);
                            *state = State::Loaded(Box::new(next.clone()));
                            Some(next)
                        }
                        refused => {
                            refused.err().inspect(|error| warn(&view.name, error));
                            *state = State::Unusable(next.rows);
                            None
                        }
                    });
                }
                // A request of an earlier moment, which has waited: the newer sums stay.
                if loaded.rows.added_since(&now).await?.is_some() {
                    return Ok(None);
                }
            }
            State::Empty | State::Unusable(_) => {}
        }
        *state = State::Loading;
        let (slot, name, bytes_max) = (Arc::clone(slot), view.name.clone(), self.bytes_max);
        let shape = shape(view, rollup);
        tokio::spawn(async move {
            let loaded = load(&name, shape, now, bytes_max).await;
            *slot.state.lock().await = loaded.unwrap_or_else(|error| {
                tracing::warn!(table = name.as_str(), %error, source = ?error, "sums of a table are not in memory; the next request tries again");
                State::Empty
            });
        });
        Ok(None)
    }
}

impl Slot {
    fn known(&self, table: &KeyedTableView, topic: &TopicView) -> Option<Arc<Now>> {
        let moment = self.moment.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = moment.as_ref().filter(|moment| moment.is_of(table, topic))?;
        moment.asked.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(&moment.now))
    }
}

async fn load(name: &str, shape: Shape, rows: StoredRows, bytes_max: usize) -> Result<State, QueryError> {
    let began = Instant::now();
    let mut sums = Sums::new(shape);
    let mut stream = rows.all().await?;
    while let Some(batch) = stream.try_next().await? {
        let mut outcome = sums.add(&batch, &mut Touched::default());
        if outcome.is_ok() && sums.waiting() >= WAITING_WHILE_LOADING {
            outcome = sums.settle();
        }
        if let Err(error) = outcome {
            warn(name, &error);
            return Ok(State::Unusable(rows));
        }
        if is_too_large(name, &sums, bytes_max) {
            return Ok(State::Unusable(rows));
        }
        // It is work for a second and more: others want the thread too.
        tokio::task::yield_now().await;
    }
    if let Err(error) = sums.settle_all() {
        warn(name, &error);
        return Ok(State::Unusable(rows));
    }
    if is_too_large(name, &sums, bytes_max) {
        return Ok(State::Unusable(rows));
    }
    tracing::info!(
        table = name,
        bytes = sums.bytes(),
        took_ms = began.elapsed().as_millis(),
        "sums of a table are in memory"
    );
    Ok(State::Loaded(Box::new(Loaded { rows, sums, changes: Arc::new(Changes::loaded()) })))
}

fn is_too_large(table: &str, sums: &Sums, bytes_max: usize) -> bool {
    let is_too_large = sums.bytes() > bytes_max;
    if is_too_large {
        tracing::warn!(
            table,
            "its sums would take more than query.rollup_bytes, {bytes_max}: they are computed for each request"
        );
    }
    is_too_large
}

async fn add(
    sums: &mut Sums,
    mut rows: SendableRecordBatchStream,
    waiting_max: usize,
) -> Result<Result<Touched, Unusable>, QueryError> {
    let mut touched = Touched::default();
    while let Some(batch) = rows.try_next().await? {
        if let Err(error) = sums.add(&batch, &mut touched) {
            return Ok(Err(error));
        }
    }
    Ok(if sums.waiting() >= waiting_max { sums.settle().map(|()| touched) } else { Ok(touched) })
}

fn warn(name: &str, error: &Unusable) {
    tracing::warn!(table = name, %error, "sums of a table cannot be kept in memory; they are computed for each request");
}

fn shape(view: &KeyedView, rollup: &Rollup) -> Shape {
    Shape {
        dimensions: std::iter::once(&rollup.by).chain(&rollup.filters).cloned().collect(),
        time: rollup.time.clone(),
        once: rollup.once.as_ref().map(|(key, _)| key.clone()),
        sums: view.columns.iter().map(|KeyedColumn { name, .. }| name.clone()).collect(),
    }
}

#[cfg(test)]
mod tests;
