//! Logs of rows in other systems: the statement over a part of the archive, and how far the rows
//! have been written.
//!
//! What a write covers is fixed, in a small file, before anything is sent: the offsets, and the
//! number of the write. So a repeat sends the same rows. Offsets are of what the archive has
//! committed, and rows never change; where rows were fed again, all of them are written once more,
//! which changes only what is new.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Int32Type, Int64Type, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Volatility, ident, lit};
use serde::{Deserialize, Serialize};
use vitral_catalog::names::statement;
use vitral_catalog::{Diagnostic, RowLog, planning_errors};
use vitral_engine::add_functions;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::Verdict;

use crate::archive::{ArchiveReader, this_log};
use crate::error::StoreError;
use crate::layout::Layout;
use crate::location::Location;
use crate::session::read_session;

const REMEDY: &str = "correct the expression; the topic's file lists its columns";

/// The next offsets of logs, by log and partition.
pub type LogOffsets = BTreeMap<String, BTreeMap<PartitionId, Offset>>;

/// How far a log's rows have been written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowLogProgress {
    /// The number of the last write that was begun.
    pub epoch: u64,
    /// Where the log begins: offsets before are not in it.
    pub begun: LogOffsets,
    /// Offsets before these have been written.
    pub taken: LogOffsets,
    /// What the last write covers, if it may not be there yet: offsets from `taken` to before
    /// these.
    pub pending: Option<LogOffsets>,
    /// How often rows of the topic had been fed again when writing began.
    pub replays: i64,
}

/// A log's statement, planned.
#[derive(Debug)]
pub struct RowLogPlan {
    /// What the catalog declares.
    pub log: RowLog,
    topic: Topic,
    session: SessionState,
    /// Over a table without rows, in whose place the rows are put.
    plan: LogicalPlan,
}

impl RowLogProgress {
    /// What was written down last; none before the first time.
    pub async fn load(store: &Location, log: &str) -> Result<Option<Self>, StoreError> {
        let place = Layout::of(store).row_logs();
        let Some(text) = place.read_text(&file(log)).await? else { return Ok(None) };
        let damaged = |error: serde_json::Error| StoreError::Damaged { path: file(log), reason: error.to_string() };
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    /// Writes it down.
    pub async fn save(&self, store: &Location, log: &str) -> Result<(), StoreError> {
        let damaged = |error: serde_json::Error| StoreError::Damaged { path: file(log), reason: error.to_string() };
        let text = serde_json::to_string(self).map_err(damaged)?;
        Layout::of(store).row_logs().write_text(&file(log), &text).await
    }

    /// The next write, of `max` offsets at most of each partition, towards what there is; false if
    /// all of that is written.
    pub fn begin(&mut self, there: &LogOffsets, max: i64) -> bool {
        let mut until = self.taken.clone();
        let mut has_more = false;
        for (log, partitions) in there {
            for (partition, next) in partitions {
                let reached = until.entry(log.clone()).or_default().entry(*partition).or_default();
                if *next > *reached {
                    *reached = reached.saturating_add(max).min(*next);
                    has_more = true;
                }
            }
        }
        if has_more {
            self.epoch += 1;
            self.pending = Some(until);
        }
        has_more
    }

    /// How many offsets of what there is have not been written.
    pub fn behind(&self, there: &LogOffsets) -> u64 {
        let partitions = there.iter().flat_map(|(log, partitions)| {
            partitions.iter().map(move |(partition, next)| {
                let taken = self.taken.get(log).and_then(|known| known.get(partition)).copied().unwrap_or_default();
                u64::try_from(next.saturating_sub(taken)).unwrap_or_default()
            })
        });
        partitions.sum()
    }

    /// The write that was begun is there.
    pub fn end(&mut self) {
        if let Some(until) = self.pending.take() {
            self.taken = until;
        }
    }

    /// Everything that is left is written once more, as rows were fed again.
    pub fn restart(&mut self, archive: &ArchiveReader, replays: i64) {
        self.taken = self.begun.clone();
        for (log, partitions) in &mut self.taken {
            for (partition, next) in partitions {
                let purged = archive.purged_through(log, *partition).map(|through| through.saturating_add(1));
                *next = purged.unwrap_or_default().max(*next);
            }
        }
        self.replays = replays;
    }
}

/// The first offset of each partition that the archive still has.
pub async fn first_offsets(archive: &ArchiveReader) -> Result<LogOffsets, StoreError> {
    use archive_columns::{LOG, OFFSET, PARTITION};
    let failed = StoreError::read("the archive");
    let frame = read_session(1).read_table(archive.provider().await?).map_err(&failed)?;
    let frame = frame.aggregate(vec![ident(LOG), ident(PARTITION)], vec![min(ident(OFFSET)).alias("primeiro")]);
    let mut first = LogOffsets::new();
    for batch in frame.map_err(&failed)?.collect().await.map_err(&failed)? {
        let (logs, partitions) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int32Type>());
        let offsets = batch.column(2).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let of_log = first.entry(logs.value(row).to_owned()).or_default();
            of_log.insert(PartitionId(partitions.value(row)), Offset(offsets.value(row)));
        }
    }
    Ok(first)
}

fn file(log: &str) -> String {
    format!("{log}.json")
}

impl RowLogPlan {
    /// Plans a log over its topic. Errors name the place in its file.
    pub fn new(log: &RowLog, topic: &Topic) -> Result<Self, Vec<Diagnostic>> {
        let failed = |source: DataFusionError| planning_errors(&source, &log.position, REMEDY);
        let mut session = read_session(1);
        session.state_ref().write().config_mut().options_mut().sql_parser.collect_spans = true;
        add_functions(&mut session).map_err(failed)?;
        let leaf = Arc::new(EmptyTable::new(leaf_schema(topic)));
        session.register_table(log.topic.as_str(), leaf).map_err(failed)?;
        let query = log.query(topic).map_err(|error| vec![log.position.error(error.to_string(), REMEDY.into())])?;
        let state = session.state();
        let plan = futures::executor::block_on(state.statement_to_plan(statement(&query))).map_err(failed)?;
        refuse(log, &plan).map_err(|error| vec![error])?;
        Ok(Self { log: log.clone(), topic: topic.clone(), session: state, plan })
    }

    /// The log's rows of the offsets from `from` to before `until`, with those whose event time is
    /// at least `since`.
    pub async fn rows(
        &self,
        archive: &ArchiveReader,
        from: &LogOffsets,
        until: &LogOffsets,
        since: Option<EventTime>,
    ) -> Result<Vec<RecordBatch>, StoreError> {
        let failed = StoreError::read(&self.log.name);
        let provider = archive.provider().await?;
        let wanted = until.iter().flat_map(|(log, partitions)| {
            partitions.iter().filter_map(move |(partition, until)| {
                let from = from.get(log).and_then(|known| known.get(partition)).copied().unwrap_or_default();
                let offset = || ident(archive_columns::OFFSET);
                let this = this_log(log).and(ident(archive_columns::PARTITION).eq(lit(partition.0)));
                (from < *until).then(|| this.and(offset().gt_eq(lit(from.0))).and(offset().lt(lit(until.0))))
            })
        });
        let wanted = wanted.reduce(Expr::or).unwrap_or(lit(false));
        let counted = ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name()));
        let plan = || {
            let mut rows = LogicalPlanBuilder::scan("linhas", provider_as_source(provider), None)?;
            rows = rows.filter(counted.and(wanted))?;
            if let Some(since) = since {
                let time = &self.topic.columns[self.topic.event_time].name;
                let since = ScalarValue::TimestampMicrosecond(Some(since.micros()), Some("UTC".into()));
                rows = rows.filter(ident(time).gt_eq(lit(since)))?;
            }
            let columns: Vec<Expr> =
                leaf_schema(&self.topic).fields().iter().map(|field| ident(field.name())).collect();
            self.over(rows.project(columns)?.build()?)
        };
        let plan = plan().map_err(&failed)?;
        DataFrame::new(self.session.clone(), plan).collect().await.map_err(&failed)
    }

    /// The statement over these rows.
    fn over(&self, rows: LogicalPlan) -> Result<LogicalPlan> {
        let view = Arc::new(ViewTable::new(rows, None));
        let whole = self.plan.clone().transform_up(|node| {
            if let LogicalPlan::TableScan(scan) = &node {
                let source = provider_as_source(Arc::clone(&view) as _);
                let rows = LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?.build()?;
                return Ok(Transformed::yes(rows));
            }
            Ok(Transformed::yes(node.recompute_schema()?))
        })?;
        Ok(whole.data)
    }
}

/// What a log's statement reads: the topic's columns, and where each row stands.
fn leaf_schema(topic: &Topic) -> SchemaRef {
    let mut fields: Vec<FieldRef> = topic.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(archive_columns::LOG, DataType::Utf8, true)));
    fields.push(Arc::new(Field::new(archive_columns::PARTITION, DataType::Int32, true)));
    fields.push(Arc::new(Field::new(archive_columns::OFFSET, DataType::Int64, true)));
    Arc::new(Schema::new(fields))
}

/// What a log must not compute: each row by itself gives the same document whenever it is written.
fn refuse(log: &RowLog, plan: &LogicalPlan) -> Result<(), Diagnostic> {
    let error = |at: vitral_catalog::Position, message: &str, remedy: &str| {
        at.error(format!("log {}: {message}", log.name), remedy.to_owned())
    };
    let mut found = None;
    let walked = plan.apply(|node| {
        let is_by_row = matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::SubqueryAlias(_)
        );
        if !is_by_row {
            let message = "a row must be written by itself, without aggregates and windows";
            found = Some(error(log.position.clone(), message, "write SELECT columns FROM topic WHERE condition"));
        }
        for expr in node.expressions() {
            expr.apply(|inner| {
                match inner {
                    Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
                        let name = call.func.name();
                        let message = format!("{name} returns a different value on every call");
                        found = Some(error(
                            log.function_position(name),
                            &message,
                            "compute from the event's own columns only",
                        ));
                    }
                    Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) => {
                        let message = "a subquery cannot be used here";
                        found = Some(error(log.position.clone(), message, "filter by plain expressions"));
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    let nested = plan.schema().fields().iter().find(|field| field.data_type().is_nested());
    match (found, walked, nested) {
        (Some(error), ..) => Err(error),
        (None, Err(source), _) => Err(log.position.error(source.strip_backtrace(), REMEDY.into())),
        (None, Ok(_), Some(field)) => Err(error(
            log.position.clone(),
            &format!("column {} is {}, which a document has no form for", field.name(), field.data_type()),
            "leave it out, or cast it to a string, a number or a time",
        )),
        (None, Ok(_), None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(partitions: &[(i32, i64)]) -> LogOffsets {
        let partitions = partitions.iter().map(|(partition, next)| (PartitionId(*partition), Offset(*next)));
        LogOffsets::from([("log".to_owned(), partitions.collect())])
    }

    #[test]
    fn writes_are_fixed_in_order_and_bounded() {
        let mut progress =
            RowLogProgress { taken: offsets(&[(0, 5)]), begun: offsets(&[(0, 5)]), ..Default::default() };
        assert!(progress.begin(&offsets(&[(0, 25), (1, 3)]), 10));
        assert_eq!((progress.epoch, &progress.pending), (1, &Some(offsets(&[(0, 15), (1, 3)]))));
        assert_eq!(progress.behind(&offsets(&[(0, 25), (1, 3)])), 23);
        progress.end();
        assert_eq!(progress.behind(&offsets(&[(0, 25), (1, 3)])), 10);
        assert!(progress.begin(&offsets(&[(0, 25), (1, 3)]), 10));
        progress.end();
        assert!(!progress.begin(&offsets(&[(0, 25), (1, 3)]), 10), "all is written");
        assert_eq!((progress.epoch, &progress.taken), (2, &offsets(&[(0, 25), (1, 3)])));
    }

    #[tokio::test]
    async fn progress_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Location::folder(dir.path()).expect("a store");
        assert_eq!(RowLogProgress::load(&store, "cliques").await.expect("read"), None);
        let mut progress = RowLogProgress::default();
        progress.begin(&offsets(&[(0, 2)]), 10);
        progress.save(&store, "cliques").await.expect("written");
        let written = store.join("logs").read_text("cliques.json").await.expect("read").expect("a file");
        let expected = r#"{"epoch":1,"begun":{},"taken":{},"pending":{"log":{"0":2}},"replays":0}"#;
        assert_eq!(written, expected, "what earlier versions read and wrote");
        assert_eq!(RowLogProgress::load(&store, "cliques").await.expect("read"), Some(progress));
        store.join("logs").write_text("cliques.json", "{").await.expect("written");
        let error = RowLogProgress::load(&store, "cliques").await.expect_err("damaged");
        assert!(error.to_string().contains("cliques.json is damaged"), "{error}");
    }
}
