//! What was committed for one sink, and the steps that change it: commit an epoch, send it, note
//! that it was taken.

use futures::StreamExt;
use vitral_catalog::{Needs, Position, View};
use vitral_connect::{Epoch, Sink};
use vitral_query::{QueryError, ReadPoint, State};
use vitral_store::sinks::{SinkEpoch, SinkLog, SinkState};

use super::changes::{Changes, Known, ROWS_MAX};
use super::numbering::{Standing, standing};
use super::shape::Shape;
use super::{Shared, SinkError};

/// Epochs after which a base takes their place, so that a start has little to read.
const EPOCHS_KEPT: usize = 200;
/// The same by changed rows, as far as they are more than the base itself has.
const CHANGES_KEPT: usize = 100_000;

/// What was committed.
#[derive(Debug)]
pub(super) struct Open {
    pub log: SinkLog,
    pub last: Option<u64>,
    pub sent: Option<u64>,
    /// The last epoch, until the target has taken it.
    pub waiting: Option<SinkEpoch>,
    /// As it was read, until the view's columns are known.
    pub stored: SinkState,
    pub known: Option<Known>,
    /// Whether the target has said what it has.
    pub is_asked: bool,
    /// Whether the target's rows lack values, so that all are sent again.
    lacks_values: bool,
    /// Since the last base.
    pub epochs: usize,
    pub changes: usize,
    /// What the last comparison was made of, if it took in all that there was.
    pub read: Option<State>,
    pub read_steady_ms: Option<i64>,
}

impl Open {
    pub async fn read(shared: &Shared, view: &str) -> Result<Self, SinkError> {
        let log = SinkLog::open(&shared.inputs.store, view).await?;
        let (stored, sent) = (log.read().await?, log.sent().await?);
        let waiting = stored.epochs.last().filter(|epoch| sent.is_none_or(|sent| epoch.number > sent)).cloned();
        let changes = stored.epochs.iter().map(|epoch| (epoch.upserts + epoch.deletes) as usize).sum();
        Ok(Self {
            log,
            last: stored.last(),
            sent,
            waiting,
            epochs: stored.epochs.len(),
            changes,
            stored,
            known: None,
            is_asked: false,
            lacks_values: false,
            read: None,
            read_steady_ms: None,
        })
    }

    /// Whether the target is where it was left.
    pub async fn ask(&mut self, target: &dyn Sink, view: &str) -> Result<(), SinkError> {
        let taken = target.last_epoch().await?.map(|epoch| epoch.0);
        match standing(taken, self.sent, self.last, self.waiting.is_some()) {
            Standing::UpToDate => self.taken().await?,
            Standing::NextWaits => {}
            Standing::FirstAfter(number) if self.last.is_none() => self.forget(number).await?,
            Standing::FirstAfter(number) => {
                let base = match &self.known {
                    Some(known) => base_of(known, number, 0)?,
                    None => SinkEpoch { number, ..self.stored.base.clone().unwrap_or_default() },
                };
                self.log.replace(&base).await?;
                self.last = Some(number);
            }
            Standing::Elsewhere(number) => {
                tracing::warn!(
                    sink = view,
                    taken,
                    committed = self.last,
                    "the target is not where it was left, as it or the store was restored or recreated: all rows are sent again"
                );
                self.forget(number).await?;
                self.log.set_sent(number).await?;
                self.sent = Some(number);
            }
        }
        self.look_for_lost_values(target, view).await?;
        self.is_asked = true;
        Ok(())
    }

    /// Whether what the target has taken is still whole there.
    async fn look_for_lost_values(&mut self, target: &dyn Sink, view: &str) -> Result<(), SinkError> {
        if !self.lacks_values && target.lacks_values().await? {
            tracing::warn!(
                sink = view,
                "a column was missing in the target, as it is new or was dropped there: it was added, and all rows are sent again"
            );
            (self.lacks_values, self.read, self.read_steady_ms) = (true, None, None);
        }
        Ok(())
    }

    /// Nothing is known of what the target holds.
    pub async fn forget(&mut self, number: u64) -> Result<(), SinkError> {
        let columns = self.stored.columns().unwrap_or("{}").to_owned();
        let base = SinkEpoch { number, columns, versions: "{}".to_owned(), ..SinkEpoch::default() };
        self.log.replace(&base).await?;
        (self.last, self.waiting, self.known) = (Some(number), None, None);
        (self.epochs, self.changes, self.read, self.read_steady_ms) = (0, 0, None, None);
        self.stored = SinkState { base: Some(base), epochs: Vec::new() };
        Ok(())
    }

    /// The target has everything that was committed.
    pub async fn taken(&mut self) -> Result<(), SinkError> {
        if let Some(epoch) = self.waiting.take() {
            self.log.set_sent(epoch.number).await?;
            self.sent = Some(epoch.number);
        }
        Ok(())
    }

    pub async fn send(&mut self, target: &dyn Sink, view: &str) -> Result<(), SinkError> {
        if let Some(epoch) = &self.waiting {
            target.write(Epoch(epoch.number), &epoch.rows).await?;
            self.taken().await?;
            self.look_for_lost_values(target, view).await?;
        }
        Ok(())
    }

    /// Reads the view, and compares.
    pub async fn changes(
        &mut self,
        shared: &Shared,
        view: &View,
        needs: &Needs,
        key: &[String],
        point: &ReadPoint,
        max: usize,
    ) -> Result<Changes, SinkError> {
        let position: &Position = &view.source;
        let planned = shared.reader.plan(point, &view.query, needs).await?;
        let declared = |reason: String| SinkError::Declared(format!("{position}: sink {}: {reason}", view.name));
        let known = match &mut self.known {
            Some(known) => known,
            None => {
                let shape = Shape::new(planned.plan.schema().as_arrow(), key).map_err(declared)?;
                if let Some(reason) = self.stored.columns().and_then(|columns| shape.differs_from(columns)) {
                    return Err(declared(format!(
                        "{reason}; restore it, or give the view another name and target, which start afresh"
                    )));
                }
                let known = Known::load(shape, &self.stored)?;
                // Only the columns are needed from here on.
                let columns = self.stored.columns().map(str::to_owned);
                let base = columns.map(|columns| SinkEpoch { columns, ..SinkEpoch::default() });
                self.stored = SinkState { base, epochs: Vec::new() };
                self.known.insert(known)
            }
        };
        if self.lacks_values
            && self.waiting.is_none()
            && let Some(number) = self.last
        {
            // Kept before anything more is sent: a process that dies in between goes on with it.
            known.forget_values();
            self.log.replace(&base_of(known, number, point.now_ms)?).await?;
            (self.lacks_values, self.epochs, self.changes) = (false, 0, 0);
        }
        let mut rows = planned.run(position).await?;
        let mut round = known.round();
        while let Some(batch) = rows.next().await.transpose().map_err(QueryError::from)? {
            round.add(&batch)?;
            if round.is_too_much() {
                return Err(declared(format!("it has more than {ROWS_MAX} rows: give the view a condition")));
            }
        }
        Ok(round.finish(max)?)
    }

    /// From here on the epoch is what is sent.
    pub async fn commit(&mut self, changes: Changes, versions: String, now_ms: i64) -> Result<(), SinkError> {
        let Some(known) = &mut self.known else { return Ok(()) };
        known.apply(&changes);
        let epoch = SinkEpoch {
            number: self.last.unwrap_or_default() + 1,
            at_ms: now_ms,
            versions,
            columns: known.shape.describe(),
            upserts: changes.upserts,
            deletes: changes.deletes,
            rows: changes.batches,
        };
        self.log.append(self.last, &epoch).await?;
        self.last = Some(epoch.number);
        self.epochs += 1;
        self.changes += (epoch.upserts + epoch.deletes) as usize;
        self.waiting = Some(epoch);
        Ok(())
    }

    /// Once in a while, what was sent gives way to what the target holds.
    pub async fn rebase(&mut self, now_ms: i64) -> Result<(), SinkError> {
        let (Some(known), Some(number), None) = (&self.known, self.last, &self.waiting) else { return Ok(()) };
        if self.epochs < EPOCHS_KEPT && self.changes < CHANGES_KEPT.max(known.len()) {
            return Ok(());
        }
        self.log.replace(&base_of(known, number, now_ms)?).await?;
        (self.epochs, self.changes) = (0, 0);
        Ok(())
    }
}

/// All that is known, as of an epoch.
pub(super) fn base_of(known: &Known, number: u64, at_ms: i64) -> Result<SinkEpoch, SinkError> {
    let (columns, rows) = (known.shape.describe(), known.base()?);
    Ok(SinkEpoch { number, at_ms, versions: "{}".to_owned(), columns, rows, ..SinkEpoch::default() })
}
