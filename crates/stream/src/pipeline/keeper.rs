//! Tables that are kept up to date: what each commit of the archive has added is added to them,
//! alongside the pipeline.
//!
//! A keeper reads what is committed and nothing else, so a kill at any point loses nothing and adds
//! nothing twice: the next start goes on at the offsets that the table itself says (docs/adr/0040).
//! A table that fails on its data is set aside alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::DataFusionError;
use tokio::sync::{Notify, watch};
use vitral_connect::with_causes;
use vitral_panes::PanesError;
use vitral_panes::view::{KeyedImports, KeyedMoment, KeyedTableView, KeyedThrough, MetricFailure, View};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_store::archive::Reached;
use vitral_store::{Archive, ArchiveReader, History, KeyedPlan, KeyedTable, Layout, Location, StoreError};

use super::context::TopicContext;
use crate::error::StreamError;

/// How often imports and replays are looked for, and what failed is tried again.
const POLL_EVERY: Duration = Duration::from_secs(5);
const VACUUM_EVERY: Duration = Duration::from_secs(1800);
/// After a step, as many times as long is waited for further commits, so that tables take a fifth
/// of a processor at most; and not longer than this.
const PAUSE: (u32, Duration) = (4, Duration::from_secs(4));

/// The next offset of each partition of the topic's log.
pub(crate) type Offsets = BTreeMap<PartitionId, Offset>;

/// The pipeline's end of a keeper.
pub(super) struct KeeperLink {
    committed: watch::Receiver<Offsets>,
    /// What the tables have. None if there are no tables.
    reached: Option<watch::Receiver<Offsets>>,
    /// Ends a keeper's pause.
    hurry: Arc<Notify>,
}

/// The tables of one topic.
pub(super) struct Keeper {
    context: TopicContext,
    tables: Vec<Kept>,
    archive: Option<ArchiveReader>,
    history: Option<History>,
    /// When the history was looked at last: imports are rare, commits are not.
    looked: Option<Instant>,
    vacuumed: Instant,
}

struct Kept {
    plan: Arc<KeyedPlan>,
    /// None before the first step: nothing is created, or given columns, before the archive was
    /// compared with the catalog.
    table: Option<KeyedTable>,
    failure: Option<MetricFailure>,
    /// Why an earlier process had set it aside: readers hear of it until it was tried again.
    earlier: Option<MetricFailure>,
    /// Whether it has been brought to where the whole archive was.
    is_begun: bool,
    /// Whether readers have to hear of it though its rows are the same.
    is_news: bool,
    /// What it has taken in besides messages since then.
    imports: KeyedImports,
    /// Its rows, as they were shown last, and since when they are whole.
    shown: Option<(KeyedMoment, Option<i64>)>,
}

impl KeeperLink {
    /// Waits until the tables have what is committed, as a stop should leave them; what is missing
    /// then, the next start adds.
    pub(super) fn wait(&mut self, runtime: &tokio::runtime::Handle, deadline: Instant) {
        let Some(reached) = &mut self.reached else { return };
        self.hurry.notify_one();
        let committed = self.committed.borrow().clone();
        let wait = reached.wait_for(|reached| *reached == committed);
        let until = deadline.into();
        let outcome =
            runtime.block_on(async { tokio::time::timeout_at(until, wait).await.map(|found| found.map(drop)) });
        if !matches!(outcome, Ok(Ok(()))) {
            tracing::warn!("tables that are kept up to date lack the last rows; the next start adds them");
        }
    }
}

impl Keeper {
    /// Opens the tables of a topic, and shows those that are stored already.
    pub(super) async fn open(context: &TopicContext) -> Result<Self, StreamError> {
        let mut keeper = Self {
            context: context.clone(),
            tables: Vec::new(),
            archive: None,
            history: None,
            looked: None,
            vacuumed: Instant::now(),
        };
        for view in context.catalog.keyed_of(&context.topic.name) {
            let plan = KeyedPlan::new(view, &context.topic, &context.settings).map_err(|mut errors| {
                let first = errors.pop().unwrap_or_else(|| view.position.error("cannot be planned", String::new()));
                PanesError::Unsupported(Box::new(first))
            })?;
            let kept = Kept::read(plan, &context.config.store).await?;
            // One that is not stored yet would be taken for one without rows: it is shown once it
            // has its history.
            if kept.shown.is_some() {
                keeper.show(&kept);
            }
            keeper.tables.push(kept);
        }
        Ok(keeper)
    }

    /// Keeps the tables up to date until the committer has ended.
    pub(super) fn start(self, log: &str, committed: watch::Receiver<Offsets>) -> KeeperLink {
        let hurry = Arc::new(Notify::new());
        if self.tables.is_empty() {
            return KeeperLink { committed, reached: None, hurry };
        }
        let (sender, reached) = watch::channel(Offsets::new());
        let link = KeeperLink { committed: committed.clone(), reached: Some(reached), hurry: Arc::clone(&hurry) };
        let runtime = self.context.runtime.clone();
        runtime.spawn(self.run(log.to_owned(), (committed, hurry), sender));
        link
    }

    async fn run(
        mut self,
        log: String,
        (mut committed, hurry): (watch::Receiver<Offsets>, Arc<Notify>),
        reached: watch::Sender<Offsets>,
    ) {
        loop {
            let began = Instant::now();
            let offsets = committed.borrow_and_update().clone();
            match self.step(&log, &offsets).await {
                Ok(true) => drop(reached.send_replace(offsets)),
                Ok(false) => {}
                Err(error) => self.warn(&error),
            }
            let (times, most) = PAUSE;
            let _ = tokio::time::timeout((began.elapsed() * times).min(most), hurry.notified()).await;
            // The pipeline has ended.
            if let Ok(Err(_)) = tokio::time::timeout(POLL_EVERY, committed.changed()).await {
                return;
            }
        }
    }

    /// Brings every table to where the archive and the history are; false if one has to be tried
    /// again.
    async fn step(&mut self, log: &str, offsets: &Offsets) -> Result<bool, StoreError> {
        let (topic, store) = (self.context.topic.clone(), self.context.config.store.clone());
        match &mut self.archive {
            Some(archive) => archive.refresh(&topic, &store).await?,
            None => self.archive = Archive::read(&topic, &store).await?,
        }
        if self.looked.is_none_or(|last| last.elapsed() >= POLL_EVERY) {
            match &mut self.history {
                Some(history) => drop(history.refresh().await?),
                None => self.history = History::read(&topic, &Layout::of(&store).history(&topic)).await?,
            }
            self.looked = Some(Instant::now());
        }
        let Some(archive) = &self.archive else { return Ok(true) };
        let reach = offsets.iter();
        let reach = reach.map(|(partition, next)| Reached { log: log.to_owned(), partition: *partition, next: *next });
        let reach: Vec<Reached> = reach.collect();
        let mut all = true;
        for kept in self.tables.iter_mut().filter(|kept| kept.failure.is_none()) {
            match kept.step(archive, &reach, (self.history.as_ref(), &store)).await {
                Ok(()) => {}
                Err(error) if is_of_data(&error) => kept.set_aside(&error, self.context.clock.now_ms()).await,
                Err(error) => {
                    kept.warn(&error);
                    all = false;
                }
            }
        }
        // Also what was committed before something failed, now or the last time.
        for index in 0..self.tables.len() {
            if self.tables[index].is_to_be_shown() {
                match self.tables[index].look(&reach).await {
                    Ok(()) => self.show(&self.tables[index]),
                    Err(error) => {
                        self.tables[index].warn(&error);
                        all = false;
                    }
                }
            }
        }
        if self.vacuumed.elapsed() >= VACUUM_EVERY {
            self.vacuumed = Instant::now();
            for kept in self.tables.iter_mut().filter(|kept| kept.failure.is_none()) {
                kept.vacuum().await;
            }
        }
        Ok(all)
    }

    /// Puts the table's rows, as of its last commit, into the view.
    fn show(&self, kept: &Kept) {
        let plan = &kept.plan;
        let nothing = || {
            let rows = Arc::new(EmptyTable::new(Arc::clone(plan.rows_schema()))) as Arc<dyn TableProvider>;
            (KeyedMoment { rows, through: Arc::default() }, None)
        };
        let (KeyedMoment { rows, through }, since_ms) = kept.shown.clone().unwrap_or_else(nothing);
        let shown = KeyedTableView {
            topic: plan.topic.name.clone(),
            keys: plan.view.keys.clone(),
            rows,
            through,
            since_ms,
            failure: kept.failure.clone().or_else(|| kept.earlier.clone()),
        };
        self.context.view.send_modify(|view| {
            let mut next = View::clone(view);
            next.keyed.insert(plan.view.name.clone(), shown);
            if kept.is_begun {
                next.keyed_imports.insert(plan.view.name.clone(), kept.imports.clone());
            }
            *view = Arc::new(next);
        });
    }

    fn warn(&self, error: &StoreError) {
        let topic = &self.context.topic.name;
        tracing::warn!(topic, %error, source = ?error, "tables are not up to date; trying again");
    }
}

impl Kept {
    /// What is stored, as it is.
    async fn read(plan: KeyedPlan, store: &Location) -> Result<Self, StoreError> {
        let plan = Arc::new(plan);
        let (mut earlier, mut shown) = (None, None);
        if let Some(table) = KeyedTable::read(&plan, store).await? {
            let failure = table.failure().await?;
            earlier = failure.map(|(since_ms, reason)| MetricFailure { reason, since_ms, is_set_aside: true });
            // Of which log its offsets are is not known yet.
            shown = Some((moment(&table, &[]).await?, table.since_ms().await?));
        }
        let imports = KeyedImports::default();
        Ok(Self { plan, table: None, failure: None, earlier, is_begun: false, is_news: false, imports, shown })
    }

    /// Brings it to where the archive and the history are.
    async fn step(
        &mut self,
        archive: &ArchiveReader,
        reach: &[Reached],
        (history, store): (Option<&History>, &Location),
    ) -> Result<(), StoreError> {
        let mut table = match self.table.take() {
            Some(table) => table,
            None => KeyedTable::open(&self.plan, store).await?,
        };
        let outcome = self.step_with(&mut table, archive, reach, history).await;
        self.table = Some(table);
        outcome
    }

    async fn step_with(
        &mut self,
        table: &mut KeyedTable,
        archive: &ArchiveReader,
        reach: &[Reached],
        history: Option<&History>,
    ) -> Result<(), StoreError> {
        if table.refresh().await? && self.is_begun {
            // Somebody has repaired it.
            let before = self.shown.as_ref().map(|(moment, _)| moment.clone());
            self.count_import(before, table, reach).await?;
        }
        failpoint!("table.before");
        // Logs that this process does not read are looked at once.
        table.catch_up(archive, self.is_begun.then_some(reach)).await?;
        failpoint!("table.after");
        if let Some(history) = history
            && table.lacks_imports(history).await?
        {
            let before = moment(table, reach).await?;
            table.take_imports(history).await?;
            self.count_import(Some(before), table, reach).await?;
        }
        table.compact().await?;
        if !self.is_begun {
            table.set_failure(None).await?;
            self.earlier = None;
            (self.is_begun, self.is_news) = (true, true);
        }
        Ok(())
    }

    /// Whether readers lack its last commit, or do not know how it fares. Before it has begun they
    /// have what an earlier process has left: it may lack imports until then.
    fn is_to_be_shown(&self) -> bool {
        let shown = self.shown.as_ref().map(|(moment, _)| moment.through.commit);
        let lacks_commit = || self.table.as_ref().is_some_and(|table| shown != Some(table.commit()));
        self.is_news || self.is_begun && lacks_commit()
    }

    async fn count_import(
        &mut self,
        before: Option<KeyedMoment>,
        table: &KeyedTable,
        reach: &[Reached],
    ) -> Result<(), StoreError> {
        if let Some(before) = before {
            self.imports.count += 1;
            self.imports.last = Some([before, moment(table, reach).await?]);
        }
        Ok(())
    }

    /// Looks at its rows as of its last commit, which are to be shown then.
    async fn look(&mut self, reach: &[Reached]) -> Result<(), StoreError> {
        if let Some(table) = &self.table {
            self.shown = Some((moment(table, reach).await?, table.since_ms().await?));
        }
        self.is_news = false;
        Ok(())
    }

    /// Deletes old files; those that cannot be deleted now are the next time.
    async fn vacuum(&mut self) {
        if let Some(table) = &mut self.table
            && let Err(error) = table.vacuum().await
        {
            let table = &self.plan.view.name;
            tracing::warn!(table, %error, source = ?error, "old files of a table are not deleted yet");
        }
    }

    fn warn(&self, error: &StoreError) {
        let table = &self.plan.view.name;
        tracing::warn!(table, %error, source = ?error, "a table is not up to date; trying again");
    }

    /// Leaves it as it is until the next start, and says so to this process's readers and to
    /// others.
    async fn set_aside(&mut self, error: &StoreError, now_ms: i64) {
        let (table, reason) = (&self.plan.view.name, with_causes(error));
        tracing::error!(table, reason, "a table is set aside; everything else continues");
        let since_ms = self.earlier.as_ref().map_or(now_ms, |earlier| earlier.since_ms);
        if let Some(stored) = &self.table
            && let Err(error) = stored.set_failure(Some((since_ms, &reason))).await
        {
            tracing::warn!(table, %error, source = ?error, "other processes have not been informed that a table is set aside");
        }
        self.failure = Some(MetricFailure { reason, since_ms, is_set_aside: true });
        self.is_news = true;
    }
}

/// A table's rows as of its last commit, and how far they have come in these partitions.
async fn moment(table: &KeyedTable, of: &[Reached]) -> Result<KeyedMoment, StoreError> {
    let log = of.first().map(|reached| reached.log.clone());
    let through = KeyedThrough { commit: table.commit(), log, offsets: table.next_offsets(of).await? };
    Ok(KeyedMoment { rows: table.rows().await?, through: Arc::new(through) })
}

/// Whether another attempt would fail in the same way: the rows, or the statement, are the cause.
fn is_of_data(error: &StoreError) -> bool {
    match error {
        StoreError::Read { source, .. } => !matches!(
            source.find_root(),
            DataFusionError::ObjectStore(_)
                | DataFusionError::IoError(_)
                | DataFusionError::External(_)
                | DataFusionError::ResourcesExhausted(_)
                | DataFusionError::ParquetError(_)
        ),
        StoreError::Incompatible { .. } | StoreError::NotKept { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
