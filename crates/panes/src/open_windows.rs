//! The rows of a metric's open windows: made from its states when somebody asks for them, once for
//! all who do.
//!
//! A refresh of the stream makes no rows. It shows the states as they are then ([`PaneStates`],
//! which share their memory with the panes), with the rows that were made earlier of windows that
//! nothing has touched since. The first reader has the touched windows finished; all other readers
//! of the same refresh get the same rows, and the next refresh goes on from them. While nobody
//! asks, nothing is finished, and only the starts of touched windows add up.
//!
//! What it costs: the rows, as long as their windows are open, and until the rows are made, or the
//! next refresh, the runs that were merged or dropped since the last one
//! ([`MetricPanes::memory_bytes`](crate::state::MetricPanes::memory_bytes) counts them).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use vitral_schemas::time::MICROS_PER_MS;

use crate::error::PanesError;
use crate::state::PaneStates;

/// The rows of a metric's open windows as of one refresh. Without states: rows that are there, or
/// nothing.
#[derive(Debug, Default)]
pub struct OpenWindows {
    refresh: Arc<Refresh>,
    /// Windows that start before this, in milliseconds, have been published since; none if no
    /// window has.
    first_open_ms: Option<i64>,
    /// Sessions that end at or before this, in microseconds, have been published too; none of other
    /// windows. They are kept by day.
    ended_micros: Option<i64>,
    rows: OnceLock<BTreeMap<i64, RecordBatch>>,
}

/// An open window that cannot be finished with the rows that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// A sentence for people, with the way on.
    pub reason: String,
    /// When its rows were looked at, in milliseconds since the epoch.
    pub since_ms: i64,
    /// The limit, in bytes, if only memory was lacking: it may go well once others use less.
    pub memory_limit_bytes: Option<usize>,
}

/// What all who ask of one refresh share.
#[derive(Debug, Default)]
struct Refresh {
    /// In milliseconds since the epoch.
    at_ms: i64,
    /// None once the rows are made, or if they are there from the beginning.
    states: Mutex<Option<PaneStates>>,
    /// Windows whose rows must be made, by their starts.
    touched: BTreeSet<i64>,
    /// What an earlier refresh has of the others.
    untouched: Made,
    made: OnceLock<Made>,
    first_reader: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Default)]
struct Made {
    rows: BTreeMap<i64, RecordBatch>,
    unfinished: BTreeMap<i64, Unfinished>,
}

impl OpenWindows {
    /// Rows that are there, by window start in milliseconds.
    pub fn of_rows(rows: BTreeMap<i64, RecordBatch>) -> Self {
        let made = OnceLock::from(Made { rows, unfinished: BTreeMap::new() });
        Self { refresh: Arc::new(Refresh { made, ..Refresh::default() }), ..Self::default() }
    }

    /// The next refresh, in which these windows have been touched.
    pub fn refreshed(&self, states: PaneStates, touched: BTreeSet<i64>, at_ms: i64) -> Self {
        let before = &self.refresh;
        let (mut untouched, touched) = match before.made.get() {
            Some(made) => (made.clone(), touched),
            None => (before.untouched.clone(), &touched | &before.touched),
        };
        let is_kept = |start_ms: &i64| self.is_open(*start_ms) && !touched.contains(start_ms);
        untouched.rows.retain(|start_ms, _| is_kept(start_ms));
        untouched.unfinished.retain(|start_ms, _| is_kept(start_ms));
        let touched = touched.into_iter().filter(|start_ms| self.is_open(*start_ms)).collect();
        let refresh = Refresh { at_ms, states: Mutex::new(Some(states)), touched, untouched, ..Refresh::default() };
        let (first_open_ms, ended_micros) = (self.first_open_ms, self.ended_micros);
        Self { refresh: Arc::new(refresh), first_open_ms, ended_micros, rows: OnceLock::new() }
    }

    /// The same refresh without sessions that end at or before `ended_micros`, which is never
    /// before the time of an earlier call.
    pub fn ended(&self, first_open_ms: i64, ended_micros: i64) -> Self {
        Self { ended_micros: Some(ended_micros), ..self.since(first_open_ms).unwrap_or_else(|| self.shared()) }
    }

    fn shared(&self) -> Self {
        let (refresh, rows) = (Arc::clone(&self.refresh), OnceLock::new());
        Self { refresh, first_open_ms: self.first_open_ms, ended_micros: self.ended_micros, rows }
    }

    /// Whether a row among those of [`Self::rows`] begins at this time, in microseconds.
    pub fn begins_at(&self, start_micros: i64) -> bool {
        let Some((_, rows)) = self.rows().range(..=start_micros.div_euclid(MICROS_PER_MS)).next_back() else {
            return false;
        };
        let starts = rows.column(0).as_primitive_opt::<TimestampMicrosecondType>();
        starts.is_some_and(|starts| starts.values().binary_search(&start_micros).is_ok())
    }

    /// The same refresh without windows that start before `first_open_ms`; none if there are none
    /// of these.
    pub fn since(&self, first_open_ms: i64) -> Option<Self> {
        let Refresh { touched, untouched, made, .. } = &*self.refresh;
        let known = made.get().unwrap_or(untouched);
        // Those before `self.first_open_ms` may be there still: what is shared is filtered by its
        // readers.
        let closing = self.first_open_ms.unwrap_or(i64::MIN)..first_open_ms;
        let has_closing = !closing.is_empty()
            && (touched.range(closing.clone()).next().is_some()
                || known.rows.range(closing.clone()).next().is_some()
                || known.unfinished.range(closing).next().is_some());
        if !has_closing {
            return None;
        }
        // What is there already is shared without them; else readers leave them out.
        let refresh = match made.get() {
            None => Arc::clone(&self.refresh),
            Some(made) => {
                let made = OnceLock::from(made.since(first_open_ms));
                Arc::new(Refresh { at_ms: self.refresh.at_ms, made, ..Refresh::default() })
            }
        };
        let first_open_ms = Some(first_open_ms);
        Some(Self { refresh, first_open_ms, ended_micros: self.ended_micros, rows: OnceLock::new() })
    }

    fn is_open(&self, start_ms: i64) -> bool {
        self.first_open_ms.is_none_or(|first_open_ms| start_ms >= first_open_ms)
    }

    /// Whether the rows are there: then asking takes no time.
    pub fn is_made(&self) -> bool {
        self.refresh.made.get().is_some() || self.refresh.touched.is_empty()
    }

    /// The provisional rows, by window start in milliseconds, in the metric's order. The first
    /// reader computes them on its own thread, the others wait for it.
    pub fn rows(&self) -> &BTreeMap<i64, RecordBatch> {
        let made = self.refresh.made();
        match (self.first_open_ms, self.ended_micros) {
            (None, None) => &made.rows,
            (Some(first_open_ms), None) => self.rows.get_or_init(|| made.since(first_open_ms).rows),
            (first_open_ms, Some(ended_micros)) => self.rows.get_or_init(|| {
                let mut rows = made.since(first_open_ms.unwrap_or(i64::MIN)).rows;
                rows.values_mut().for_each(|rows| leave_out_ended(rows, ended_micros));
                rows.retain(|_, rows| rows.num_rows() > 0);
                rows
            }),
        }
    }

    /// Open windows that are missing among the rows, and why, as far as somebody has asked for
    /// these.
    pub fn known_unfinished(&self) -> impl Iterator<Item = (i64, &Unfinished)> {
        let known = self.refresh.made.get().unwrap_or(&self.refresh.untouched);
        let open = known.unfinished.range(self.first_open_ms.unwrap_or(i64::MIN)..);
        open.map(|(start_ms, unfinished)| (*start_ms, unfinished))
    }

    /// Whether one of these windows waits for somebody to ask for its rows.
    pub fn has_pending(&self, starts: &BTreeSet<i64>) -> bool {
        !self.is_made() && self.refresh.touched.iter().any(|start_ms| starts.contains(start_ms))
    }

    /// Held by the reader that has the rows made, so that others wait for them without a thread
    /// each.
    pub fn first_reader(&self) -> &tokio::sync::Mutex<()> {
        &self.refresh.first_reader
    }

    /// Bytes of the rows that are there.
    pub fn row_bytes(&self) -> usize {
        let known = self.refresh.made.get().unwrap_or(&self.refresh.untouched);
        let open = known.rows.range(self.first_open_ms.unwrap_or(i64::MIN)..);
        open.map(|(_, rows)| rows.get_array_memory_size()).sum()
    }
}

impl Made {
    /// Without windows that start before this.
    fn since(&self, first_open_ms: i64) -> Self {
        let mut open = self.clone();
        Self { rows: open.rows.split_off(&first_open_ms), unfinished: open.unfinished.split_off(&first_open_ms) }
    }
}

/// Leaves out sessions that end at or before this time.
fn leave_out_ended(rows: &mut RecordBatch, ended_micros: i64) {
    let Some(ends) = rows.column(1).as_primitive_opt::<TimestampMicrosecondType>() else { return };
    let open: BooleanArray = ends.values().iter().map(|end| Some(*end > ended_micros)).collect();
    if open.true_count() == rows.num_rows() {
        return;
    }
    // It fails only if there are not as many truth values as rows.
    if let Ok(left) = filter_record_batch(rows, &open) {
        *rows = left;
    }
}

impl Refresh {
    fn made(&self) -> &Made {
        self.made.get_or_init(|| {
            let states = || self.states.lock().unwrap_or_else(PoisonError::into_inner);
            let mut made = self.untouched.clone();
            let known = states().clone();
            if let Some(known) = known {
                self.finish(&known, &mut made);
            }
            // Only now: a reader after one that panicked needs them.
            *states() = None;
            made
        })
    }

    /// All touched windows together, or, if some cannot be finished, each for itself.
    fn finish(&self, states: &PaneStates, made: &mut Made) {
        match states.windows(&self.touched) {
            Ok(rows) => made.rows.extend(rows),
            Err(_) => {
                for start_ms in &self.touched {
                    match states.windows(&BTreeSet::from([*start_ms])) {
                        Ok(rows) => made.rows.extend(rows),
                        Err(error) => drop(made.unfinished.insert(*start_ms, self.unfinished(&error))),
                    }
                }
            }
        }
    }

    fn unfinished(&self, error: &PanesError) -> Unfinished {
        let memory_limit_bytes = match error {
            PanesError::Memory { limit_bytes, .. } => Some(*limit_bytes),
            _ => None,
        };
        Unfinished { reason: error.reason(), since_ms: self.at_ms, memory_limit_bytes }
    }
}
