//! Sales history from files into the same tables as the stream's.
//!
//! Each row becomes the message that would have said the same, and is read by the stream's own decoder and rules: what a message must
//! be, a row must be. Only what files seldom have, such as the user, may be missing. Accepted and refused rows are kept side by side,
//! in one commit for many; a file that is imported again adds nothing, and one that was cut short goes on where it was.

mod files;
mod forms;
mod mapping;
mod message;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use chrono_tz::Tz;
use serde_json::{Map, Value};
use vitral_messages::decode::{Decoder, Refusal};
use vitral_panes::rules::RowRules;
use vitral_panes::{EngineConfig, engine_session};
use vitral_schemas::catalog::ImportTarget;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::{Topic, history_columns};
use vitral_schemas::verdict::Verdict;
use vitral_store::{History, Location, StoreError};

pub use self::files::{File, Files};
use self::forms::{Asked, Evidence, Forms};
pub use self::forms::{Dates, Numbers};
use self::mapping::{Mapping, Names};
use self::source::{Cell, Opening, Row, Source, open};
use crate::error::BatchError;

/// A row whose cells are not those of the header.
pub const ROW_REASON: &str = "linha";
/// Rows of a commit.
const COMMIT_ROWS: usize = 512 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{file} cannot be read")]
    Read { file: String, source: std::io::Error },
    #[error("{file} has no rows, not even a header")]
    Empty { file: String },
    #[error("{file} is of no known format: name files that end in .csv, .tsv, .txt, .parquet or .xlsx")]
    Format { file: String },
    #[error("{file}: {reason}: {remedy}")]
    Form { file: String, reason: String, remedy: String },
    #[error("{file}: {reason}. Name those that are meant with --sheet NAME, or --sheet all if they are alike")]
    Sheets { file: String, reason: String },
    #[error("{file} has no row in line {row}: --header-row names the line that holds the headings")]
    NoHeader { file: String, row: u32 },
    #[error(
        "{file}: {reason}. It has the columns {found}; say which is which by --map THEIRS=OURS, ours being {columns}"
    )]
    Mapping { file: String, reason: String, found: String, columns: String },
}

impl ImportError {
    pub(crate) fn read(file: &str) -> impl Fn(std::io::Error) -> Self + use<> {
        let file = file.to_owned();
        move |source| Self::Read { file: file.clone(), source }
    }
}

/// How files are to be understood.
#[derive(Debug, Clone)]
pub struct Import {
    pub topic: Topic,
    pub target: ImportTarget,
    /// The file's column to the topic's, as the user says.
    pub named: BTreeMap<String, String>,
    /// As the user says; else it is found out for each file.
    pub numbers: Option<Numbers>,
    /// Likewise.
    pub dates: Option<Dates>,
    /// The line of the header, as the user says.
    pub header_row: Option<u32>,
    /// The sheets of workbooks that are meant, as the user says.
    pub sheets: Vec<String>,
    /// What amounts are in where a row does not say.
    pub currency: String,
    pub zone: Tz,
    pub now_ms: i64,
}

/// What became of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    pub accepted: u64,
    pub refused: u64,
    /// Rows that were in already.
    pub known: u64,
    /// Columns of the file that were not used.
    pub unused: Vec<String>,
    /// What else people should know of how the file was read.
    pub notes: Vec<String>,
    /// The first rows that were refused.
    pub examples: Vec<RefusedRow>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    pub sheet: Option<String>,
    pub line: i64,
    pub reason: String,
    pub detail: String,
}

/// Refused rows that are shown.
const EXAMPLES: usize = 20;

impl Import {
    /// Imports one file; `progress` is told how much of it is read, of how much.
    pub async fn run(
        &self,
        file: &File,
        store: &Location,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Imported, BatchError> {
        let mut history = History::open(&self.topic, &store.join("history").join(&self.topic.name)).await?;
        let (mut source, mapping, forms) = self.open(file)?;
        let identity = self.identity(file, &forms)?;
        let mut reader = Reader::new(self, file, &identity, mapping, forms, source.header().to_vec())?;
        let mut through = history.imported_through(&identity).await?;
        let notes = [source.notes(), &reader.mapping.hints].concat();
        let mut imported = Imported { unused: reader.mapping.unused.clone(), notes, ..Imported::default() };
        let mut waiting = Vec::new();
        loop {
            let mut rows = source.next()?;
            let is_end = rows.is_empty();
            let read = rows.len();
            rows.retain(|row| through.is_none_or(|through| row.line > through));
            imported.known += (read - rows.len()) as u64;
            if !rows.is_empty() {
                waiting.push(reader.read(&rows, &mut imported)?);
            }
            let count: usize = waiting.iter().map(RecordBatch::num_rows).sum();
            if count >= COMMIT_ROWS || (is_end && count > 0) {
                through = Some(commit(&mut history, &identity, through, &mut waiting).await?);
            }
            let (done, of) = source.progress();
            progress(done, of);
            if is_end {
                history.compact().await?;
                return Ok(imported);
            }
        }
    }

    /// The file from its first row on, what its columns fill, and how they are written: as the user says, or as all of its rows show.
    fn open(&self, file: &File) -> Result<(Box<dyn Source>, Mapping, Forms), ImportError> {
        let names = Names { topic: &self.topic, target: &self.target, named: &self.named };
        let opening = Opening { header_row: self.header_row, sheets: &self.sheets, headings: &names };
        let mut source = open(&file.path, &file.name, &opening)?;
        let mut mapping = Mapping::new(&file.name, source.header(), &self.topic, &self.target, &self.named)?;
        source.keep(&mapping.roles().map(|role| role.is_some()).collect::<Vec<_>>())?;
        let mut evidence = Evidence::new(&mapping);
        loop {
            let rows = source.next()?;
            if rows.is_empty() {
                break;
            }
            rows.iter().for_each(|row| evidence.see(row));
        }
        let asked = Asked { numbers: self.numbers, dates: self.dates };
        let forms = evidence.decide(&file.name, &mapping, asked, source.serial_epoch())?;
        if !forms.has_clock {
            mapping.drop_clock();
        }
        source.rewind()?;
        Ok((source, mapping, forms))
    }

    /// The same content, understood in the same way.
    fn identity(&self, file: &File, forms: &Forms) -> Result<String, ImportError> {
        let understood = format!("{:?} {:?} {} {} {forms:?}", self.target, self.named, self.topic.name, self.zone);
        file.identity(&understood)
    }
}

async fn commit(
    history: &mut History,
    identity: &str,
    after: Option<i64>,
    waiting: &mut Vec<RecordBatch>,
) -> Result<i64, BatchError> {
    let failed = |source: ArrowError| BatchError::engine("rows of a file", "put together")(source.into());
    let schema = waiting[0].schema();
    let rows = concat_batches(&schema, waiting.iter()).map_err(failed)?;
    waiting.clear();
    let lines =
        rows.column_by_name(history_columns::LINE).and_then(|lines| lines.as_any().downcast_ref::<Int64Array>());
    let through = lines.and_then(arrow::compute::max).or(after).unwrap_or_default();
    match history.append(identity, after, through, &rows).await {
        Err(StoreError::Overtaken { .. }) => Err(BatchError::ImportedMeanwhile),
        outcome => outcome.map(|()| through).map_err(Into::into),
    }
}

/// Turns a file's rows into the history's.
struct Reader<'a> {
    import: &'a Import,
    file: &'a File,
    identity: &'a str,
    mapping: Mapping,
    forms: Forms,
    decoder: Decoder,
    rules: RowRules,
    header: Vec<String>,
    schema: Arc<Schema>,
}

impl<'a> Reader<'a> {
    fn new(
        import: &'a Import,
        file: &'a File,
        identity: &'a str,
        mapping: Mapping,
        forms: Forms,
        header: Vec<String>,
    ) -> Result<Self, BatchError> {
        let mut topic = import.topic.clone();
        for (index, column) in topic.columns.iter_mut().enumerate() {
            column.needed = index == topic.event_time;
        }
        let session = engine_session(EngineConfig::default()).map_err(BatchError::engine("the rules", "planned"))?;
        let rules = RowRules::new(&topic, &session)?;
        let schema = topic.history_schema();
        let schema = Arc::new(Schema::new(schema.fields()[1..].to_vec()));
        let decoder = Decoder::new(&topic, import.zone);
        Ok(Self { import, file, identity, mapping, forms, decoder, rules, header, schema })
    }

    /// The rows in the history's columns, without its first.
    fn read(&mut self, rows: &[Row], imported: &mut Imported) -> Result<RecordBatch, BatchError> {
        let failed = BatchError::engine("rows of a file", "read");
        let messages: Vec<_> =
            rows.iter().map(|row| self.mapping.message(row, &self.forms, &self.import.currency)).collect();
        let decoded = self.decoder.decode(messages.iter().map(|message| message.as_deref().ok()));
        let (values, forbidden) = self.rules.apply(decoded.columns, self.import.now_ms).map_err(&failed)?;
        let mut refused: BTreeMap<usize, (String, String)> = BTreeMap::new();
        let explained = |row: usize, detail: &str| self.mapping.explain(&rows[row], detail);
        for Refusal { row, reason, detail } in decoded.refused {
            refused.insert(row, (reason.name().to_owned(), explained(row, &detail)));
        }
        for (row, (reason, detail)) in forbidden {
            refused.insert(row, (reason.name().to_owned(), explained(row, &detail)));
        }
        for (row, message) in messages.into_iter().enumerate() {
            if let Err(why) = message {
                refused.insert(row, (why.reason.to_owned(), why.detail));
            }
        }
        imported.refused += refused.len() as u64;
        imported.accepted += (rows.len() - refused.len()) as u64;
        for (row, (reason, detail)) in refused.iter().take(EXAMPLES.saturating_sub(imported.examples.len())) {
            imported.examples.push(RefusedRow {
                sheet: rows[*row].sheet.as_deref().map(str::to_owned),
                line: rows[*row].line,
                reason: reason.clone(),
                detail: detail.clone(),
            });
        }
        let same =
            |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows.len()))) };
        let of_refused = |text: &dyn Fn(usize, &(String, String)) -> String| -> ArrayRef {
            let texts = (0..rows.len()).map(|row| refused.get(&row).map(|why| text(row, why)));
            Arc::new(texts.collect::<StringArray>())
        };
        let verdict = |row: usize| {
            if refused.contains_key(&row) { Verdict::Refused.name() } else { Verdict::Counted.name() }
        };
        let arrival = TimestampMicrosecondArray::from_value(self.import.now_ms * MICROS_PER_MS, rows.len());
        let mut columns: Vec<ArrayRef> = vec![
            same(self.identity),
            same(&self.file.name),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.line))),
            Arc::new(arrival.with_timezone("UTC")),
            Arc::new(StringArray::from_iter_values((0..rows.len()).map(verdict))),
            of_refused(&|_, (reason, _)| reason.clone()),
            of_refused(&|_, (_, detail)| detail.clone()),
            of_refused(&|row, _| self.content(&rows[row])),
        ];
        columns.extend(values.columns().iter().cloned());
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|source| failed(source.into()))
    }

    /// A row as it stands in the file, for whoever corrects it.
    fn content(&self, row: &Row) -> String {
        let cell = |(index, cell): (usize, &Option<Cell>)| {
            let name = self.header.get(index).filter(|name| !name.is_empty()).cloned();
            let name = name.unwrap_or_else(|| format!("#{}", index + 1));
            Some((name, Value::String(cell.as_ref()?.text.clone())))
        };
        Value::Object(row.cells.iter().enumerate().filter_map(cell).collect::<Map<_, _>>()).to_string()
    }
}
