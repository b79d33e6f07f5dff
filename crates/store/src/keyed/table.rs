//! The stored states of one table: what a commit adds, and what is done when one is in doubt.
//!
//! A commit carries, for each partition of a log whose rows it adds, the offset after them, and is
//! made only on top of the commit that has the offset before them. So rows are added once, whenever
//! a process is killed and however many write. What an import has added is replaced as a whole
//! whenever the history says that the import has changed.

mod balance;
mod check;
mod compute;
mod culprit;
mod failure;
mod followed;
mod imports;
mod part;
mod sums;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::compute::concat_batches;
use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident, lit};
use datafusion::scalar::ScalarValue;
use vitral_catalog::names::ORIGIN_COLUMN;
use vitral_schemas::position::{Offset, PartitionId};

pub use self::balance::keep_balances;
pub use self::check::{Freshness, Sides};
use super::plan::KeyedPlan;
use super::rows::KeyedRows;
use super::source::{Range, stream_rows};
use crate::archive::{ArchiveReader, Reached};
use crate::error::StoreError;
use crate::history::History;
use crate::layout::Layout;
use crate::location::Location;
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
    /// How its states are called: the folder that they are in.
    version: String,
    application: String,
    /// The topic's logs in the order of their generations, as far as they were needed.
    logs: Vec<String>,
    /// No sum of any key is larger than these, as far as that is known.
    bounds: Option<Vec<f64>>,
}

impl KeyedTable {
    /// Opens the table in `store`, or creates it. To be called once the archive's columns are known
    /// to be those of the catalog.
    pub async fn open(plan: &Arc<KeyedPlan>, store: &Location) -> Result<Self, StoreError> {
        let version = versions::to_write(plan, store).await?;
        let place = versions::place(plan, store, &version);
        let table = versions::open_states(plan, &place).await?;
        let definition = plan.view.definition();
        if place.read_text(DEFINITION_FILE).await?.as_deref() != Some(definition.as_str()) {
            place.write_text(DEFINITION_FILE, &definition).await?;
        }
        Ok(Self::of_version(plan, store, table, version))
    }

    /// Opens the table in `store` for reading; none if it never began.
    pub async fn read(plan: &Arc<KeyedPlan>, store: &Location) -> Result<Option<Self>, StoreError> {
        let found = versions::stored(plan, store).await?;
        Ok(found.map(|(table, version)| Self::of_version(plan, store, table, version)))
    }

    fn of_version(plan: &Arc<KeyedPlan>, store: &Location, table: Table, version: String) -> Self {
        let application = versions::application(plan, &version);
        Self { version, ..Self::of(plan, store, table, application) }
    }

    fn of(plan: &Arc<KeyedPlan>, store: &Location, table: Table, application: String) -> Self {
        let (plan, store) = (Arc::clone(plan), store.clone());
        Self { plan, store, table, version: String::new(), application, logs: Vec::new(), bounds: None }
    }

    /// What its states are called.
    pub fn version(&self) -> &str {
        &self.version
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

    /// Adds the rows that the archive has behind those that are in, up to `reach` or all of them;
    /// true if the table has changed. Where rows were replayed since, or nothing was added yet, or
    /// rows behind those that are in were purged and an opening balance has them, it is recomputed.
    /// Rows that nothing has any more are missing from here on, and the table says so
    /// ([`Self::since_ms`]).
    pub async fn catch_up(&mut self, archive: &ArchiveReader, reach: Option<&[Reached]>) -> Result<bool, StoreError> {
        let mut attempt = 1;
        loop {
            let replays = archive.replays().await?;
            let is_current = self.transaction("replays").await? == Some(replays);
            let outcome = match (is_current, reach) {
                (true, Some(reach)) => self.go_on(archive, reach, replays).await,
                (true, None) => self.go_on(archive, &archive.reach().await?, replays).await,
                (false, _) => self.compute(archive, replays).await.map(|()| true),
            };
            match outcome {
                Err(error) if error.is_conflict() && attempt < ATTEMPTS => {
                    tracing::debug!(table = self.table.name, attempt, %error, "not added yet; trying again");
                    self.see_others().await?;
                    attempt += 1;
                }
                outcome => {
                    let has_changed = outcome?;
                    return self.check_sums().await.map(|()| has_changed);
                }
            }
        }
    }

    async fn go_on(&mut self, archive: &ArchiveReader, reach: &[Reached], replays: i64) -> Result<bool, StoreError> {
        if self.is_whole_in_balance(archive, reach).await? {
            return self.compute(archive, replays).await.map(|()| true);
        }
        self.add(archive, reach, Vec::new()).await
    }

    /// Recomputes what came from the stream and from imports: after this it is what the archive
    /// says.
    pub async fn repair(&mut self, archive: &ArchiveReader) -> Result<(), StoreError> {
        let mut attempt = 1;
        loop {
            match self.compute(archive, archive.replays().await?).await {
                Err(error) if error.is_conflict() && attempt < ATTEMPTS => {
                    self.see_others().await?;
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
        self.check_sums().await
    }

    /// The number of the last commit seen here: rows are the same as long as it is.
    pub fn commit(&self) -> Option<u64> {
        self.table.version()
    }

    /// Sees what others have committed; true if they have.
    pub async fn refresh(&mut self) -> Result<bool, StoreError> {
        let before = self.table.version();
        self.see_others().await?;
        Ok(self.table.version() != before)
    }

    async fn see_others(&mut self) -> Result<(), StoreError> {
        let before = self.table.version();
        self.table.refresh().await?;
        if self.table.version() != before {
            self.bounds = None;
        }
        Ok(())
    }

    /// Merges states of the same key if there are many, or else small files; true if the table has
    /// changed.
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
    pub async fn next_offset(&self, log: &str, partition: PartitionId) -> Result<Option<Offset>, StoreError> {
        Ok(self.table.transaction(&self.partition(log, partition)).await?.map(Offset))
    }

    /// The same for each of these partitions that has rows in the table.
    pub async fn next_offsets(&self, of: &[Reached]) -> Result<BTreeMap<PartitionId, Offset>, StoreError> {
        let mut offsets = BTreeMap::new();
        for Reached { log, partition, .. } in of {
            offsets.extend(self.next_offset(log, *partition).await?.map(|next| (*partition, next)));
        }
        Ok(offsets)
    }

    /// Rows of events before this, in milliseconds, are missing; none if none are.
    pub async fn since_ms(&self) -> Result<Option<i64>, StoreError> {
        Ok(self.transaction("desde").await?.filter(|since_ms| *since_ms > i64::MIN))
    }

    async fn states(&self) -> Result<LogicalPlan, StoreError> {
        let provider = self.table.provider().await?;
        let found = provider.schema();
        let plan = || {
            let states = LogicalPlanBuilder::scan("estados", provider_as_source(provider), None)?;
            let wanted = self.plan.state_schema().fields();
            if wanted.iter().map(|field| field.name()).eq(found.fields().iter().map(|field| field.name())) {
                return states.build();
            }
            // Columns that the topic has gained are last, or not there yet; lost ones are not read.
            let columns = wanted.iter().map(|field| match found.field_with_name(field.name()) {
                Ok(_) => Ok(ident(field.name())),
                Err(_) => Ok(lit(ScalarValue::try_from(field.data_type())?).alias(field.name())),
            });
            states.project(columns.collect::<Result<Vec<Expr>>>()?)?.build()
        };
        plan().map_err(self.failed())
    }

    /// Appends the states of the rows behind those that are in; false if there are no offsets
    /// behind them.
    async fn add(
        &mut self,
        archive: &ArchiveReader,
        reach: &[Reached],
        mut transactions: Vec<(String, i64)>,
    ) -> Result<bool, StoreError> {
        let (mut ranges, mut holes) = (Vec::new(), Vec::new());
        for reached in reach {
            let from = self.next_offset(&reached.log, reached.partition).await?.unwrap_or_default();
            if from < reached.next {
                if archive.purged_through(&reached.log, reached.partition) >= Some(from) {
                    holes.push(reached.partition);
                }
                ranges.push(Range::new(reached, from));
            }
        }
        if ranges.is_empty() {
            return Ok(false);
        }
        if !holes.is_empty() {
            let since_ms = archive.newest_purged().map_or(i64::MIN, |newest| newest.ms() + 1);
            let since_ms = self.since_ms().await?.unwrap_or(i64::MIN).max(since_ms);
            self.found_balance(reach, &holes, since_ms).await?;
            transactions.retain(|(name, _)| *name != self.name("desde"));
            transactions.push((self.name("desde"), since_ms));
        }
        self.learn_logs(archive, &ranges).await?;
        transactions.extend(self.through(&ranges));
        if !is_few(&ranges) {
            let rows = stream_rows(&self.plan.topic, archive, &ranges, &self.logs).await?;
            let states = self.plan.partial(rows).map_err(self.failed())?;
            self.append(states, false, &transactions).await?;
            return Ok(true);
        }
        match self.states_that_fit(archive, &ranges).await {
            Ok((states, bounds)) => {
                self.table.append(states, &transactions).await?;
                self.insist(&transactions).await?;
                self.bounds = Some(bounds);
                Ok(true)
            }
            Err(error) => Err(self.explained(archive, &ranges, error).await),
        }
    }

    async fn append(
        &mut self,
        states: LogicalPlan,
        is_few: bool,
        transactions: &[(String, i64)],
    ) -> Result<(), StoreError> {
        let frame = self.plan.frame(states);
        self.bounds = None;
        if is_few {
            let rows = frame.collect().await.map_err(self.failed())?;
            self.table.append(rows, transactions).await?;
        } else if let Err(error) = self.table.append_by_plan(frame.clone(), transactions).await {
            return Err(self.error_of_rows(frame, error).await);
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
        self.bounds = None;
        if is_few {
            let rows = frame.collect().await.map_err(self.failed())?;
            let rows = concat_batches(self.plan.state_schema(), &rows);
            let rows = rows.map_err(|error| self.failed()(error.into()))?;
            self.table.replace(wanted, rows, transactions).await?;
        } else if let Err(error) = self.table.replace_by_plan_with(wanted, frame.clone(), transactions).await {
            return Err(self.error_of_rows(frame, error).await);
        }
        self.insist(transactions).await
    }

    /// A write that changes no row may leave no commit; how far the table is must be written all
    /// the same.
    async fn insist(&mut self, transactions: &[(String, i64)]) -> Result<(), StoreError> {
        for (application, version) in transactions {
            if self.table.transaction(application).await? != Some(*version) {
                return self.table.append(Vec::new(), transactions).await.map(|_| ());
            }
        }
        Ok(())
    }

    /// Numbers the logs of the ranges. What was numbered once keeps its number forever: it is in
    /// the states.
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
        ranges.iter().map(|range| (self.partition(&range.log, range.partition), range.until.0))
    }

    fn partition(&self, log: &str, partition: PartitionId) -> String {
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

fn is_few(ranges: &[Range]) -> bool {
    ranges.iter().map(|range| range.until.saturating_sub(range.from)).sum::<i64>() <= FEW_OFFSETS
}
