//! The states of sessions: fragments, which lie in the runs of any partition, joined to sessions
//! when these are asked for.
//!
//! A session ends with its day at the latest, so that fragments of one day alone are joined. One
//! that has ended takes no more rows: its fragments go, and should one of them come back with an
//! earlier snapshot, it has ended as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use datafusion::error::DataFusionError;
use vitral_schemas::event_time::Watermark;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::window::Bounds;

use super::run::Run;
use crate::error::PanesError;
use crate::plan::{MetricPlan, SessionPlan};
use crate::rows::arrange;
use crate::sessions::Span;

/// The fragments of one day, and where they lie.
struct Day<'a> {
    runs: Vec<&'a Arc<Run>>,
    states: Vec<RecordBatch>,
    end_micros: i64,
}

impl<'a> Day<'a> {
    fn of(plan: &MetricPlan, runs: impl Iterator<Item = &'a Arc<Run>>, day_ms: i64) -> Self {
        let mut day = Self {
            runs: Vec::new(),
            states: Vec::new(),
            end_micros: plan.windows.pane_end_ms(day_ms).saturating_mul(MICROS_PER_MS),
        };
        for run in runs {
            for pane in run.panes.iter().filter(|pane| pane.pane_ms == day_ms) {
                day.runs.push(run);
                day.states.push(run.states.slice(pane.rows.start, pane.rows.len()));
            }
        }
        day
    }

    fn end_micros(&self, session: &SessionPlan, span: Span) -> i64 {
        span.last.saturating_add(session.gap_micros).min(self.end_micros)
    }

    /// In milliseconds, the whole session within.
    fn bounds(&self, session: &SessionPlan, span: Span) -> Bounds {
        let end_micros = self.end_micros(session, span);
        Bounds { start_ms: span.first.div_euclid(MICROS_PER_MS), end_ms: -(-end_micros).div_euclid(MICROS_PER_MS) }
    }
}

/// The rows of the wanted sessions of each wanted day, by the day's start in milliseconds.
pub(super) fn rows_by_day(
    plan: &MetricPlan,
    session: &SessionPlan,
    runs: &[Arc<Run>],
    is_wanted_day: impl Fn(i64) -> bool,
    is_wanted: impl Fn(Bounds) -> bool,
) -> Result<BTreeMap<i64, RecordBatch>, PanesError> {
    let mut rows = BTreeMap::new();
    for day_ms in days(runs.iter()).into_iter().filter(|day_ms| is_wanted_day(*day_ms)) {
        let day = Day::of(plan, runs.iter(), day_ms);
        let joined = joined(plan, session, &day, |span| is_wanted(day.bounds(session, span)));
        let states = joined.map_err(|source| plan.failed("joined to sessions", source))?;
        if states.is_empty() {
            continue;
        }
        let finished = plan.finish(states)?;
        let arranged = arrange(&plan.metric, &plan.windows, plan.rows_schema(), &finished);
        rows.insert(day_ms, arranged.map_err(|source| plan.failed("arranged", source))?);
    }
    Ok(rows)
}

/// The states of the wanted sessions, as parts of them.
fn joined(
    plan: &MetricPlan,
    session: &SessionPlan,
    day: &Day<'_>,
    is_wanted: impl Fn(Span) -> bool,
) -> Result<Vec<RecordBatch>, DataFusionError> {
    let mut wanted = Vec::with_capacity(day.states.len());
    for (states, spans) in day.states.iter().zip(plan.spans(session, &day.states)?) {
        let mask: BooleanArray = spans.iter().map(|span| Some(is_wanted(*span))).collect();
        if mask.true_count() > 0 {
            let states = plan.in_sessions(session, states, &spans)?;
            wanted.push(filter_record_batch(&states, &mask)?);
        }
    }
    Ok(wanted)
}

/// For each run that has fragments of sessions that have ended, by its number, which of its rows
/// are to be kept.
pub(super) fn ended<'a>(
    plan: &MetricPlan,
    session: &SessionPlan,
    runs: impl Iterator<Item = &'a Arc<Run>> + Clone,
    watermark: Watermark,
    lateness_ms: i64,
) -> Result<BTreeMap<u64, BooleanArray>, PanesError> {
    let ended_micros = watermark.late_before(lateness_ms).micros();
    let mut kept = BTreeMap::<u64, Vec<bool>>::new();
    for day_ms in days(runs.clone()) {
        let day = Day::of(plan, runs.clone(), day_ms);
        // A session has ended only if each of its fragments has.
        let has_ended = |span: Span| day.end_micros(session, span) <= ended_micros;
        if !day.states.iter().any(|states| plan.own_spans(session, states).any(has_ended)) {
            continue;
        }
        let spans = plan.spans(session, &day.states).map_err(|source| plan.failed("joined to sessions", source))?;
        for (run, spans) in day.runs.iter().zip(spans) {
            let Some(pane) = run.panes.iter().find(|pane| pane.pane_ms == day_ms) else { continue };
            let rows = kept.entry(run.number).or_insert_with(|| vec![true; run.states.num_rows()]);
            for (row, span) in rows[pane.rows.clone()].iter_mut().zip(spans) {
                *row = !has_ended(span);
            }
        }
    }
    Ok(kept.into_iter().filter(|(_, rows)| rows.contains(&false)).map(|(run, rows)| (run, rows.into())).collect())
}

fn days<'a>(runs: impl Iterator<Item = &'a Arc<Run>>) -> BTreeSet<i64> {
    runs.flat_map(|run| run.panes.iter().map(|pane| pane.pane_ms)).collect()
}
