//! The query over a file, planned and run on threads of its own: the caller's may belong to another
//! runtime.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::ScalarValue;
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident, lit};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Query;
use tokio_stream::StreamExt;
use vitral_catalog::{FILE_TABLE, LINE_COLUMN, MissingHeading, SHEET_COLUMN, rows_where};
use vitral_engine::file_session;

use super::difference::difference;
use super::file_table::{FileStream, schema_of};
use super::statuses::Statuses;
use super::{Ask, Opener, WAITING};
use crate::import::mapping::key;
use crate::import::source::{Cell, Kind, Row, Source};
use crate::import::wording::listed;
use crate::import::{ImportError, WIDE};

/// What the query may hold in memory; beyond it, sorts go to disk.
const MEMORY_BYTES: usize = 512 << 20;

/// Where a query over a file is planned, and runs.
pub(super) fn session() -> PlanResult<SessionContext> {
    let context = file_session(MEMORY_BYTES)?;
    context.register_udf(difference());
    Ok(context)
}

/// A query over a file.
pub(super) struct Question {
    pub(super) name: String,
    pub(super) opener: Opener,
    pub(super) ask: Ask,
    /// Headings that fill something by themselves, where no profile does.
    pub(super) used: Arc<HashSet<String>>,
    /// Every row is wanted, also those that conditions leave out, with these columns.
    pub(super) all_with: Option<Vec<String>>,
    pub(super) shared: Arc<Shared>,
}

/// What the thread that reads the file tells.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) read: AtomicU64,
    pub(super) done: AtomicU64,
    pub(super) of: AtomicU64,
    /// Rows that the file's format has broken; they are not the query's.
    pub(super) broken: Mutex<Vec<Row>>,
    /// The states of the rows that were read, if they are wanted.
    pub(super) statuses: Mutex<Statuses>,
}

impl Question {
    /// Plans the query, on a thread of its own: the caller's may belong to another runtime.
    pub(super) fn planned<T: Send>(
        &self,
        then: impl FnOnce(SessionContext, LogicalPlan) -> T + Send,
    ) -> Result<T, ImportError> {
        let plan = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let source = (self.opener)().map_err(|error| DataFusionError::External(Box::new(error)))?;
            let of_file = readable(&*source);
            let (context, plan) = runtime.block_on(self.plan(&of_file))?;
            Ok::<_, DataFusionError>(then(context, plan))
        };
        match std::thread::scope(|scope| scope.spawn(plan).join()) {
            Ok(planned) => planned.map_err(|error| self.wrong(vitral_engine::words(&error))),
            Err(_) => Err(self.wrong("its planning panicked")),
        }
    }

    pub(super) fn wrong(&self, error: impl std::fmt::Display) -> ImportError {
        ImportError::Query { file: self.name.clone(), what: self.what(), reason: error.to_string() }
    }

    pub(super) fn what(&self) -> String {
        match &self.ask.profile {
            Some(profile) => format!("profile {}", profile.name),
            None => "the condition of --where".to_owned(),
        }
    }

    /// Headings that the query may need: plans take time by the square of their width, so of wide
    /// files it is not all of them.
    fn needed<'a>(&self, of_file: &'a [String], queries: &[&Query]) -> Vec<&'a String> {
        let texts: Vec<String> = queries.iter().map(ToString::to_string).collect();
        let is_named = |name: &str| {
            let quoted = name.replace('"', "\"\"");
            texts.iter().any(|text| text.contains(&quoted))
        };
        // Where nothing is known to be used, the mapping has to say why.
        let are_all = of_file.len() <= WIDE || (self.ask.profile.is_none() && self.used.is_empty());
        let is_needed = |name: &&String| are_all || self.used.contains(*name) || is_named(name);
        of_file.iter().filter(is_needed).collect()
    }

    async fn plan(&self, of_file: &[String]) -> PlanResult<(SessionContext, LogicalPlan)> {
        let missing = |MissingHeading(name): MissingHeading| {
            DataFusionError::Plan(format!("the file has no column {name}; it has {}", listed(of_file)))
        };
        let condition = self.ask.condition.as_ref().map(|condition| rows_where(condition, of_file, key));
        let condition = condition.transpose().map_err(missing)?;
        let profile = self.ask.profile.as_ref().map(|profile| match self.all_with {
            None => profile.over(of_file, key),
            Some(_) => profile.over_all(of_file, key),
        });
        let profile = profile.transpose().map_err(missing)?;
        let queries: Vec<&Query> = condition.iter().chain(&profile).collect();
        let schema = schema_of(self.needed(of_file, &queries));
        let context = session()?;
        let file = FileStream {
            schema: Arc::clone(&schema),
            opener: Arc::clone(&self.opener),
            shared: Arc::clone(&self.shared),
            needed: self.ask.profile.as_ref().map(|profile| profile.headings.iter().map(|name| key(name)).collect()),
            with_status: self.ask.profile.clone().filter(|_| self.all_with.is_none()),
        };
        context.register_table(FILE_TABLE, Arc::new(StreamingTable::try_new(schema, vec![Arc::new(file)])?))?;
        if let (Some(query), None) = (&condition, &self.all_with) {
            let plan = crate::tables::plan_query(&context, query).await?;
            context.deregister_table(FILE_TABLE)?;
            context.register_table(FILE_TABLE, Arc::new(ViewTable::new(plan, None)))?;
        }
        let plan = match &profile {
            Some(query) => crate::tables::plan_query(&context, query).await?,
            None => context.table(FILE_TABLE).await?.into_unoptimized_plan(),
        };
        let plan = match &self.all_with {
            None => plan,
            Some(wanted) => {
                let columns: Vec<Expr> =
                    plan.schema().fields().iter().map(|field| wanted_or_null(field, wanted)).collect();
                LogicalPlanBuilder::from(plan).project(columns)?.build()?
            }
        };
        let places = [SHEET_COLUMN, LINE_COLUMN].map(|name| ident(name).sort(true, true));
        let plan = LogicalPlanBuilder::from(plan).sort(places)?.build()?;
        Ok((context, plan))
    }

    pub(super) fn start(&self) -> Result<Receiver<Result<Vec<Row>, ImportError>>, ImportError> {
        let (context, plan) = self.planned(|context, plan| (context, plan))?;
        let (sender, rows) = sync_channel(WAITING);
        let (name, what) = (self.name.clone(), self.what());
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let sent = runtime
                .map_err(DataFusionError::from)
                .and_then(|runtime| runtime.block_on(send_rows(&context, plan, &sender)));
            if let Err(error) = sent {
                let reason = vitral_engine::words(&error);
                // A receiver that no longer listens has ended for a reason of its own.
                let _ = sender.send(Err(ImportError::Query { file: name, what, reason }));
            }
        };
        let thread = std::thread::Builder::new().name("import query".to_owned());
        thread.spawn(run).map_err(ImportError::read(&self.name))?;
        Ok(rows)
    }
}

/// What can be read of a file's columns.
fn readable(source: &dyn Source) -> Vec<String> {
    let nested = source.nested();
    let columns = source.header().iter().enumerate().filter(|(index, _)| !nested.contains(index));
    columns.map(|(_, name)| name.clone()).collect()
}

/// A column, if it or the row's place is wanted; so nothing else is computed.
fn wanted_or_null(field: &Field, wanted: &[String]) -> Expr {
    let name = field.name();
    match wanted.contains(name) || [LINE_COLUMN, SHEET_COLUMN].contains(&name.as_str()) {
        true => ident(name),
        false => lit(ScalarValue::Utf8(None)).alias(name),
    }
}

/// The query's columns besides those of the row's place, by their number.
pub(super) fn columns(plan: &LogicalPlan) -> impl Iterator<Item = (usize, String)> {
    let names: Vec<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
    let places = [LINE_COLUMN, SHEET_COLUMN];
    names.into_iter().enumerate().filter(move |(_, name)| !places.contains(&name.as_str()))
}

async fn send_rows(
    context: &SessionContext,
    plan: LogicalPlan,
    sender: &SyncSender<Result<Vec<Row>, ImportError>>,
) -> PlanResult<()> {
    let wanted: Vec<usize> = columns(&plan).map(|(index, _)| index).collect();
    let mut batches = context.execute_logical_plan(plan).await?.execute_stream().await?;
    while let Some(batch) = batches.next().await {
        let rows = rows_of(&batch?, &wanted)?;
        if !rows.is_empty() && sender.send(Ok(rows)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn rows_of(batch: &RecordBatch, wanted: &[usize]) -> PlanResult<Vec<Row>> {
    let place = |name: &str| {
        batch.column_by_name(name).ok_or_else(|| DataFusionError::Plan(format!("the query does not keep {name}")))
    };
    let lines = cast(place(LINE_COLUMN)?, &DataType::Int64)?;
    let lines = lines.as_primitive::<Int64Type>();
    let sheets = cast(place(SHEET_COLUMN)?, &DataType::Utf8)?;
    let sheets = sheets.as_string::<i32>();
    let mut texts = Vec::new();
    for index in wanted {
        let column = batch.column(*index);
        let kind = match column.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Kind::Written,
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Kind::Float,
            DataType::Boolean => Kind::Truth,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Kind::Time,
            DataType::Time32(_) | DataType::Time64(_) => Kind::Clock,
            _ => Kind::Exact,
        };
        texts.push((cast(column, &DataType::Utf8)?, kind));
    }
    let mut last: Option<Arc<str>> = None;
    let rows = (0..batch.num_rows()).map(|row| {
        let sheet = sheets.is_valid(row).then(|| match &last {
            Some(same) if **same == *sheets.value(row) => Arc::clone(same),
            _ => {
                let sheet: Arc<str> = sheets.value(row).into();
                last = Some(Arc::clone(&sheet));
                sheet
            }
        });
        let cells = texts.iter().map(|(column, kind)| cell(column, row, *kind)).collect();
        Row { sheet, line: lines.value(row), cells, broken: None, is_unended: false }
    });
    Ok(rows.collect())
}

fn cell(column: &ArrayRef, row: usize, kind: Kind) -> Option<Cell> {
    let column = column.as_string::<i32>();
    if column.is_null(row) {
        return None;
    }
    let text = column.value(row).to_owned();
    if kind == Kind::Written { Cell::written(text) } else { Some(Cell::new(text, kind)) }
}
