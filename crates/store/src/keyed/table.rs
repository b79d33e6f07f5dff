//! The stored states of one table: what a commit adds, and what is done when one is in doubt.
//!
//! A commit carries, for each partition of a log whose rows it adds, the offset after them, and is made only on top of the commit that
//! has the offset before them. So rows are added once, whenever a process is killed and however many write. What an import has added
//! is replaced as a whole whenever the history says that the import has changed.

mod balance;
mod check;
mod compute;

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::concat_batches;
use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident, lit};
use vitral_catalog::names::ORIGIN_COLUMN;
use vitral_schemas::topic::history_columns;

pub use self::balance::keep_balances;
pub use self::check::Freshness;
use super::plan::KeyedPlan;
use super::rows::KeyedRows;
use super::source::{IMPORT, Range, imported_rows, stream_rows};
use crate::archive::{ArchiveReader, Reached};
use crate::error::StoreError;
use crate::history::History;
use crate::layout::Layout;
use crate::location::Location;
use crate::session::read_session;
use crate::table::Table;

/// Next to a version's states: the statement that declares it.
const DEFINITION_FILE: &str = "_definition.sql";
/// Another writer, such as a repair, causes conflicts.
const ATTEMPTS: usize = 20;
/// So few offsets are folded in memory; more go from the archive to the table batch by batch.
const FEW_OFFSETS: i64 = 200_000;
/// States are merged by key once there are so many more than twice those of the last merge.
const UNMERGED_ROWS: u64 = if cfg!(test) { 30 } else { 20_000 };

/// The states of one version of a table, or the opening balances of all its versions.
#[derive(Debug)]
pub struct KeyedTable {
    plan: Arc<KeyedPlan>,
    store: Location,
    pub(super) table: Table,
    application: String,
    /// The topic's logs in the order of their generations, as far as they were needed.
    logs: Vec<String>,
}

impl KeyedTable {
    /// Opens the table in `store`, or creates it.
    pub async fn open(plan: &Arc<KeyedPlan>, store: &Location) -> Result<Self, StoreError> {
        let place = place(plan, store);
        let table = Table::open(&plan.view.name, &place, Arc::clone(plan.state_schema())).await?;
        let definition = plan.view.definition();
        if place.read_text(DEFINITION_FILE).await?.as_deref() != Some(definition.as_str()) {
            place.write_text(DEFINITION_FILE, &definition).await?;
        }
        let application = format!("{}@{}", plan.view.name, plan.version);
        Ok(Self::of(plan, store, table, application))
    }

    /// Opens the table in `store` for reading; none if it never began.
    pub async fn read(plan: &Arc<KeyedPlan>, store: &Location) -> Result<Option<Self>, StoreError> {
        let Some(table) = Table::read(&plan.view.name, &place(plan, store)).await? else { return Ok(None) };
        let application = format!("{}@{}", plan.view.name, plan.version);
        Ok(Some(Self::of(plan, store, table, application)))
    }

    fn of(plan: &Arc<KeyedPlan>, store: &Location, table: Table, application: String) -> Self {
        Self { plan: Arc::clone(plan), store: store.clone(), table, application, logs: Vec::new() }
    }

    /// How it is computed.
    pub fn plan(&self) -> &Arc<KeyedPlan> {
        &self.plan
    }

    /// One row for each key, as of the last commit seen here, with its [`KeyedRows`].
    pub async fn rows(&self) -> Result<Arc<dyn TableProvider>, StoreError> {
        let states = self.states().await?;
        let rows = self.plan.rows(states.clone()).map_err(self.failed())?;
        Ok(KeyedRows { states, since_ms: self.since_ms().await? }.table(rows))
    }

    /// Adds the rows that the archive has behind those that are in, up to `reach` or all of them; true if the table has changed. Where rows
    /// were replayed since, or nothing was added yet, it is recomputed.
    pub async fn catch_up(&mut self, archive: &ArchiveReader, reach: Option<&[Reached]>) -> Result<bool, StoreError> {
        let mut attempt = 1;
        loop {
            let replays = archive.replays().await?;
            let is_current = self.transaction("replays").await? == Some(replays);
            let outcome = match (is_current, reach) {
                (true, Some(reach)) => self.add(archive, reach, Vec::new()).await,
                (true, None) => self.add(archive, &archive.reach().await?, Vec::new()).await,
                (false, _) => self.compute(archive, replays).await.map(|()| true),
            };
            match outcome {
                Err(error) if error.is_conflict() && attempt < ATTEMPTS => {
                    tracing::debug!(table = self.table.name, attempt, %error, "not added yet; trying again");
                    self.table.refresh().await?;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Recomputes what came from the stream and from imports: after this it is what the archive says.
    pub async fn repair(&mut self, archive: &ArchiveReader) -> Result<(), StoreError> {
        let mut attempt = 1;
        loop {
            match self.compute(archive, archive.replays().await?).await {
                Err(error) if error.is_conflict() && attempt < ATTEMPTS => {
                    self.table.refresh().await?;
                    attempt += 1;
                }
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        let history = History::read(&self.plan.topic, &Layout::of(&self.store).history(&self.plan.topic)).await?;
        if let Some(history) = history {
            self.take_imports_since(&history, 0).await?;
        }
        Ok(())
    }

    /// Whether the history has changed since it was taken in.
    pub async fn lacks_imports(&self, history: &History) -> Result<bool, StoreError> {
        Ok(history.sequence().await? != self.transaction("importacoes").await?.unwrap_or_default())
    }

    /// Takes in what the history has changed since; true if it has.
    pub async fn take_imports(&mut self, history: &History) -> Result<bool, StoreError> {
        if !self.lacks_imports(history).await? {
            return Ok(false);
        }
        let mut attempt = 1;
        loop {
            let known = self.transaction("importacoes").await?.unwrap_or_default();
            match self.take_imports_since(history, known).await {
                Err(error) if error.is_conflict() && attempt < ATTEMPTS => {
                    self.table.refresh().await?;
                    attempt += 1;
                }
                outcome => return outcome.map(|()| true),
            }
        }
    }

    /// The number of the last commit seen here: rows are the same as long as it is.
    pub fn commit(&self) -> Option<u64> {
        self.table.version()
    }

    /// Sees what others have committed; true if they have.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let before = self.table.version();
        self.table.refresh().await?;
        Ok(self.table.version() != before)
    }

    /// Merges states of the same key if there are many, or else small files; true if the table has changed.
    pub async fn compact(&mut self) -> Result<bool, StoreError> {
        let rows = self.table.row_count()?;
        let known = self.transaction("linhas").await?.and_then(|rows| u64::try_from(rows).ok()).unwrap_or_default();
        if rows <= known.saturating_mul(2).saturating_add(UNMERGED_ROWS) {
            return self.table.compact().await;
        }
        let merged = self.plan.merge(self.states().await?).map_err(self.failed())?;
        let all = ident(ORIGIN_COLUMN).is_not_null();
        match self.table.replace_by_plan_with(all, self.plan.frame(merged), &[]).await {
            Ok(written) => {
                let kept = [(self.name("linhas"), i64::try_from(written).unwrap_or(i64::MAX))];
                self.table.append(Vec::new(), &kept).await?;
                Ok(true)
            }
            // Another writer was faster: next time.
            Err(error) if error.is_conflict() => self.refresh().await,
            Err(error) => Err(error),
        }
    }

    /// Deletes files that no reader can need any more.
    pub async fn vacuum(&mut self) -> Result<(), StoreError> {
        self.table.vacuum().await.map(|_| ())
    }

    /// The offset after the rows of a partition that are in.
    pub async fn next_offset(&self, log: &str, partition: i32) -> Result<Option<i64>, StoreError> {
        self.table.transaction(&self.partition(log, partition)).await
    }

    /// Rows of events before this, in milliseconds, are missing; none if none are.
    pub async fn since_ms(&self) -> Result<Option<i64>, StoreError> {
        Ok(self.transaction("desde").await?.filter(|since_ms| *since_ms > i64::MIN))
    }

    async fn states(&self) -> Result<LogicalPlan, StoreError> {
        let provider = self.table.provider().await?;
        let plan = || LogicalPlanBuilder::scan("estados", provider_as_source(provider), None)?.build();
        plan().map_err(self.failed())
    }

    /// Appends the states of the rows behind those that are in; false if there are no offsets behind them.
    async fn add(
        &mut self,
        archive: &ArchiveReader,
        reach: &[Reached],
        mut transactions: Vec<(String, i64)>,
    ) -> Result<bool, StoreError> {
        let mut ranges = Vec::new();
        for reached in reach {
            let from = self.next_offset(&reached.log, reached.partition).await?.unwrap_or_default();
            if from < reached.next {
                ranges.push(Range::new(reached, from));
            }
        }
        if ranges.is_empty() {
            return Ok(false);
        }
        self.learn_logs(archive, &ranges).await?;
        let rows = stream_rows(&self.plan.topic, archive, &ranges, &self.logs).await?;
        let states = self.plan.partial(rows).map_err(self.failed())?;
        transactions.extend(self.through(&ranges));
        self.append(states, is_few(&ranges), &transactions).await?;
        Ok(true)
    }

    async fn append(
        &mut self,
        states: LogicalPlan,
        is_few: bool,
        transactions: &[(String, i64)],
    ) -> Result<(), StoreError> {
        let frame = self.plan.frame(states);
        if is_few {
            let rows = frame.collect().await.map_err(self.failed())?;
            self.table.append(rows, transactions).await?;
        } else {
            self.table.append_by_plan(frame, transactions).await?;
        }
        self.insist(transactions).await
    }

    /// Puts states in the place of those that `wanted` names.
    async fn replace(
        &mut self,
        wanted: Expr,
        states: LogicalPlan,
        is_few: bool,
        transactions: &[(String, i64)],
    ) -> Result<(), StoreError> {
        let frame = self.plan.frame(states);
        if is_few {
            let rows = frame.collect().await.map_err(self.failed())?;
            let rows = concat_batches(self.plan.state_schema(), &rows);
            let rows = rows.map_err(|error| self.failed()(error.into()))?;
            self.table.replace(wanted, rows, transactions).await?;
        } else {
            self.table.replace_by_plan_with(wanted, frame, transactions).await?;
        }
        self.insist(transactions).await
    }

    /// A write that changes no row may leave no commit; how far the table is must be written all the same.
    async fn insist(&mut self, transactions: &[(String, i64)]) -> Result<(), StoreError> {
        for (application, version) in transactions {
            if self.table.transaction(application).await? != Some(*version) {
                return self.table.append(Vec::new(), transactions).await.map(|_| ());
            }
        }
        Ok(())
    }

    async fn take_imports_since(&mut self, history: &History, known: i64) -> Result<(), StoreError> {
        let imports = history.changed_after(known).await?;
        let origins = imports.iter().map(|import| lit(format!("{IMPORT}{import}"))).collect();
        let wanted = ident(ORIGIN_COLUMN).in_list(origins, false);
        let transactions = [(self.name("importacoes"), history.sequence().await?)];
        if imports.is_empty() {
            return self.table.append(Vec::new(), &transactions).await.map(|_| ());
        }
        let rows = imported_rows(&self.plan.topic, history, Some(&imports)).await?;
        let count = self.plan.frame(rows.clone()).count().await.map_err(self.failed())?;
        let is_few = i64::try_from(count).is_ok_and(|count| count <= FEW_OFFSETS);
        let states = self.plan.partial(rows).map_err(self.failed())?;
        let provider = self.table.provider().await?;
        let replaced =
            async { read_session(1).read_table(provider)?.filter(wanted.clone())?.limit(0, Some(1))?.count().await };
        if replaced.await.map_err(self.failed())? == 0 {
            return self.append(states, is_few, &transactions).await;
        }
        self.replace(wanted, states, is_few, &transactions).await
    }

    /// Numbers the logs of the ranges. What was numbered once keeps its number for ever: it stands in the states.
    async fn learn_logs(&mut self, archive: &ArchiveReader, ranges: &[Range]) -> Result<(), StoreError> {
        if ranges.iter().all(|range| self.logs.contains(&range.log)) {
            return Ok(());
        }
        let (folder, file) = (Layout::of(&self.store).keyed(), format!("_logs_{}", self.plan.topic.name));
        let text = folder.read_text(&file).await?.unwrap_or_default();
        let mut logs: Vec<String> = text.lines().map(str::to_owned).collect();
        let known = logs.len();
        for log in archive.logs_in_order().await? {
            if !logs.contains(&log) {
                logs.push(log);
            }
        }
        if logs.len() > known {
            folder.write_text(&file, &logs.iter().map(|log| format!("{log}\n")).collect::<String>()).await?;
        }
        self.logs = logs;
        Ok(())
    }

    fn through(&self, ranges: &[Range]) -> impl Iterator<Item = (String, i64)> {
        ranges.iter().map(|range| (self.partition(&range.log, range.partition), range.until))
    }

    fn partition(&self, log: &str, partition: i32) -> String {
        self.name(&format!("{log}/{partition}"))
    }

    async fn transaction(&self, what: &str) -> Result<Option<i64>, StoreError> {
        self.table.transaction(&self.name(what)).await
    }

    fn name(&self, what: &str) -> String {
        format!("{}/{what}", self.application)
    }

    fn failed(&self) -> impl Fn(datafusion::error::DataFusionError) -> StoreError + use<> {
        StoreError::read(&self.plan.view.name)
    }
}

impl History {
    /// The imports of which commits after this number have changed anything.
    async fn changed_after(&self, sequence: i64) -> Result<Vec<String>, StoreError> {
        let provider = self.provider().await?;
        let run = async {
            let changed = ident(history_columns::SEQUENCE).gt(lit(sequence));
            let frame = read_session(1).read_table(provider)?.filter(changed)?;
            frame.aggregate(vec![ident(history_columns::IMPORT)], vec![])?.collect().await
        };
        let rows = run.await.map_err(StoreError::read("the history"))?;
        let imports = rows.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten());
        Ok(imports.map(str::to_owned).collect())
    }
}

fn place(plan: &KeyedPlan, store: &Location) -> Location {
    Layout::of(store).keyed().join(&plan.view.name).join(&plan.version)
}

fn is_few(ranges: &[Range]) -> bool {
    ranges.iter().map(|range| range.until.saturating_sub(range.from)).sum::<i64>() <= FEW_OFFSETS
}
