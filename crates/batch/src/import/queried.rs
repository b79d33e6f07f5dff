//! A file through SQL: its rows as the table `arquivo`, and what a profile, or the condition of `--where`, makes of them.
//!
//! The file is read as the query asks for rows, on a thread of its own, and the query's rows are taken as they come: memory is bounded by
//! the query's own pool, which spills what it must sort.

mod file_table;
mod profiles;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ident};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::sqlparser::ast::{Query, Statement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use tokio_stream::StreamExt;
use vitral_catalog::{FILE_TABLE, LINE_COLUMN, MissingHeading, Profile, SHEET_COLUMN, rows_where};

use self::file_table::{FileStream, schema_of};
pub(crate) use self::profiles::check;
pub use self::profiles::recognise;
use self::profiles::{ProfileHeadings, SameHeader};
use super::ImportError;
use super::forms::{Dates, Numbers};
use super::mapping::key;
use super::source::{Cell, Headings, Kind, Opening, Row, SerialEpoch, Source, open};

/// What the query may hold in memory; beyond it, sorts go to disk.
const MEMORY_BYTES: usize = 512 << 20;
/// Batches that wait between the file, the query and its reader.
const WAITING: usize = 2;

/// What is asked of a file before its rows are understood.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    pub profile: Option<Profile>,
    /// A condition on the file's own columns, as `--where` has it.
    pub condition: Option<Query>,
}

impl Ask {
    /// A condition as the user writes it.
    pub fn parse_condition(text: &str) -> Result<Query, String> {
        let sql = format!("SELECT * FROM {FILE_TABLE} WHERE {text}");
        let mut statements = Parser::parse_sql(&GenericDialect {}, &sql).map_err(|error| error.to_string())?;
        match (statements.pop(), statements.pop()) {
            (Some(Statement::Query(query)), None) => Ok(*query),
            _ => Err("it is not one condition".to_owned()),
        }
    }

    /// How the profile's program writes numbers and dates, if it says so.
    pub(super) fn forms(&self) -> (Option<Numbers>, Option<Dates>) {
        let profile = self.profile.as_ref();
        let numbers = profile.and_then(|profile| profile.numbers.as_deref()).and_then(Numbers::named);
        let dates = profile.and_then(|profile| profile.dates.as_deref()).and_then(Dates::named);
        (numbers, dates)
    }

    pub fn is_empty(&self) -> bool {
        self.profile.is_none() && self.condition.is_none()
    }
}

/// Opens a file anew.
type Opener = Arc<dyn Fn() -> Result<Box<dyn Source>, ImportError> + Send + Sync>;

/// A query over a file.
struct Question {
    name: String,
    opener: Opener,
    ask: Ask,
    shared: Arc<Shared>,
}

/// A file's rows as a query gives them.
pub(super) struct Queried {
    question: Question,
    header: Vec<String>,
    notes: Vec<String>,
    own_notes: usize,
    epoch: SerialEpoch,
    rows: Option<Receiver<Result<Vec<Row>, ImportError>>>,
    given: u64,
}

/// What the thread that reads the file tells.
#[derive(Default)]
struct Shared {
    read: AtomicU64,
    done: AtomicU64,
    of: AtomicU64,
    /// Rows that the file's format has broken; they are not the query's.
    broken: Mutex<Vec<Row>>,
}

/// Where and how the file lies, owned, so that it can be opened again.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) header_row: Option<u32>,
    pub(super) sheets: Vec<String>,
}

impl Queried {
    /// `headings` finds the header where no profile does.
    pub(super) fn open(place: Place, ask: Ask, headings: &dyn Headings) -> Result<Self, ImportError> {
        // What finds the header need not outlive this: where it is is known from then on.
        let first = match &ask.profile {
            Some(profile) => Self::open_by(&place, &ProfileHeadings(&[profile]))?,
            None => Self::open_by(&place, headings)?,
        };
        let of_file = first.header().to_vec();
        let opener: Opener = {
            let (place, header) = (place.clone(), of_file.clone());
            Arc::new(move || Self::open_by(&place, &SameHeader(&header)))
        };
        let question = Question { name: place.name, opener, ask, shared: Arc::default() };
        let header = question.planned(|_, plan| columns(&plan).map(|(_, name)| name).collect())?;
        Ok(Self {
            question,
            header,
            notes: first.notes().to_vec(),
            own_notes: first.notes().len(),
            epoch: first.serial_epoch(),
            rows: None,
            given: 0,
        })
    }

    fn open_by(place: &Place, headings: &dyn Headings) -> Result<Box<dyn Source>, ImportError> {
        let opening = Opening { header_row: place.header_row, sheets: &place.sheets, headings };
        open(&place.path, &place.name, &opening)
    }

    /// Begins to compute the rows, from the first on.
    fn start(&mut self) -> Result<(), ImportError> {
        self.question.shared = Arc::default();
        self.given = 0;
        self.rows = Some(self.question.start()?);
        Ok(())
    }

    /// Said once all is read: how many rows the query has left out.
    fn note_left_out(&mut self) {
        let left = self.question.shared.read.load(Ordering::Relaxed).saturating_sub(self.given);
        self.notes.truncate(self.own_notes);
        if left > 0 {
            self.notes.push(format!("{}: {left} of the file's rows are left out", self.question.what()));
        }
    }
}

impl Question {
    /// Plans the query, on a thread of its own: the caller's may belong to another runtime.
    fn planned<T: Send>(&self, then: impl FnOnce(SessionContext, LogicalPlan) -> T + Send) -> Result<T, ImportError> {
        let plan = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let source = (self.opener)().map_err(|error| DataFusionError::External(Box::new(error)))?;
            let of_file = source.header().to_vec();
            let (context, plan) = runtime.block_on(self.plan(schema_of(&of_file), of_file))?;
            Ok::<_, DataFusionError>(then(context, plan))
        };
        match std::thread::scope(|scope| scope.spawn(plan).join()) {
            Ok(planned) => planned.map_err(|error| self.wrong(error.strip_backtrace())),
            Err(_) => Err(self.wrong("its planning broke off")),
        }
    }

    fn wrong(&self, error: impl std::fmt::Display) -> ImportError {
        ImportError::Query { file: self.name.clone(), what: self.what(), reason: error.to_string() }
    }

    fn what(&self) -> String {
        match &self.ask.profile {
            Some(profile) => format!("profile {}", profile.name),
            None => "the condition of --where".to_owned(),
        }
    }

    async fn plan(&self, schema: SchemaRef, of_file: Vec<String>) -> PlanResult<(SessionContext, LogicalPlan)> {
        let runtime = RuntimeEnvBuilder::new().with_memory_limit(MEMORY_BYTES, 1.0).build_arc()?;
        let mut config = SessionConfig::new().with_target_partitions(1);
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        let context = SessionContext::new_with_config_rt(config, runtime);
        let file = FileStream {
            schema: Arc::clone(&schema),
            opener: Arc::clone(&self.opener),
            shared: Arc::clone(&self.shared),
            needed: self.ask.profile.as_ref().map(|profile| profile.headings.iter().map(|name| key(name)).collect()),
        };
        context.register_table(FILE_TABLE, Arc::new(StreamingTable::try_new(schema, vec![Arc::new(file)])?))?;
        let missing = |MissingHeading(name): MissingHeading| {
            DataFusionError::Plan(format!("the file has no column {name}; it has {}", of_file.join(", ")))
        };
        if let Some(condition) = &self.ask.condition {
            let query = rows_where(condition, &of_file, key).map_err(missing)?;
            let plan = crate::tables::plan_query(&context, &query).await?;
            context.deregister_table(FILE_TABLE)?;
            context.register_table(FILE_TABLE, Arc::new(ViewTable::new(plan, None)))?;
        }
        let plan = match &self.ask.profile {
            Some(profile) => {
                let query = profile.over(&of_file, key).map_err(missing)?;
                crate::tables::plan_query(&context, &query).await?
            }
            None => context.table(FILE_TABLE).await?.into_unoptimized_plan(),
        };
        let places = [SHEET_COLUMN, LINE_COLUMN].map(|name| ident(name).sort(true, true));
        let plan = LogicalPlanBuilder::from(plan).sort(places)?.build()?;
        Ok((context, plan))
    }

    fn start(&self) -> Result<Receiver<Result<Vec<Row>, ImportError>>, ImportError> {
        let (context, plan) = self.planned(|context, plan| (context, plan))?;
        let (sender, rows) = sync_channel(WAITING);
        let (name, what) = (self.name.clone(), self.what());
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let sent = runtime
                .map_err(DataFusionError::from)
                .and_then(|runtime| runtime.block_on(send_rows(&context, plan, &sender)));
            if let Err(error) = sent {
                let reason = error.strip_backtrace();
                // Whoever does not listen any more has ended for a reason of its own.
                let _ = sender.send(Err(ImportError::Query { file: name, what, reason }));
            }
        };
        let thread = std::thread::Builder::new().name("import query".to_owned());
        thread.spawn(run).map_err(ImportError::read(&self.name))?;
        Ok(rows)
    }
}

impl Source for Queried {
    fn header(&self) -> &[String] {
        &self.header
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn serial_epoch(&self) -> SerialEpoch {
        self.epoch
    }

    fn next(&mut self) -> Result<Vec<Row>, ImportError> {
        if self.rows.is_none() {
            self.start()?;
        }
        let Some(rows) = &self.rows else { return Ok(Vec::new()) };
        match rows.recv() {
            Ok(rows) => {
                let rows = rows?;
                self.given += rows.len() as u64;
                Ok(rows)
            }
            // The query has ended; what it never saw comes last.
            Err(_) => {
                let broken = match self.question.shared.broken.lock() {
                    Ok(mut broken) => std::mem::take(&mut *broken),
                    Err(_) => Vec::new(),
                };
                if broken.is_empty() {
                    self.note_left_out();
                }
                Ok(broken)
            }
        }
    }

    fn rewind(&mut self) -> Result<(), ImportError> {
        // The thread ends at its next row.
        self.rows = None;
        Ok(())
    }

    fn progress(&self) -> (u64, u64) {
        (self.question.shared.done.load(Ordering::Relaxed), self.question.shared.of.load(Ordering::Relaxed))
    }
}

/// The query's columns besides those of the row's place, by their number.
fn columns(plan: &LogicalPlan) -> impl Iterator<Item = (usize, String)> {
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
        Row { sheet, line: lines.value(row), cells, broken: None }
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
