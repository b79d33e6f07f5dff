//! What was imported and taken back: the table `importacoes`, which goes with the histories.
//!
//! The histories decide what is in. A record is added after that, so an import without one was cut
//! short: it is ended by repeating it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::Utc;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::ident;
use vitral_catalog::Catalog;
use vitral_store::{
    AppendTable, History, IMPORT_STATES, IMPORTS_TABLE, ImportedRows, Layout, Location, imports_schema, read_session,
};

use super::files::content_of;
use super::{File, Import, ImportReport};
use crate::error::BatchError;

/// A row for each thing that was done to an import.
pub const TABLE: &str = IMPORTS_TABLE;

/// What an import has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// Its rows are in.
    #[default]
    Imported,
    /// Cut short, or under way.
    Unfinished,
    /// Its rows were taken back.
    Undone,
    /// Another import took its place.
    Replaced,
}

impl State {
    const ALL: [Self; 4] = [Self::Imported, Self::Unfinished, Self::Undone, Self::Replaced];

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Unfinished => "unfinished",
            Self::Undone => "undone",
            Self::Replaced => "replaced",
        }
    }

    /// In the table.
    pub fn name(self) -> &'static str {
        let [imported, unfinished, undone, replaced] = IMPORT_STATES;
        match self {
            Self::Imported => imported,
            Self::Unfinished => unfinished,
            Self::Undone => undone,
            Self::Replaced => replaced,
        }
    }
}

/// What is known of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The import's id.
    pub id: String,
    /// When rows of it were last added, in microseconds.
    pub at_micros: i64,
    /// Whether its rows are in.
    pub state: State,
    /// The topic whose history has its rows.
    pub topic: String,
    /// The table that the user named; empty if a version imported it that kept no records.
    pub table: String,
    /// The file, as people called it.
    pub file: String,
    /// Rows that count.
    pub counted: u64,
    /// Rows with the event id of an earlier row.
    pub duplicate: u64,
    /// Rows that could not be understood and were meant to be.
    pub refused: u64,
    /// Rows of its file that were in already, by the import that has them; under an empty name
    /// those of the stream.
    pub known_of: BTreeMap<String, u64>,
    /// The oldest and newest event time of rows that count, in microseconds.
    pub period_micros: Option<(i64, i64)>,
    /// How its file was understood.
    pub understanding: String,
    /// The id of the import that took its place.
    pub replaced_by: Option<String>,
}

impl Record {
    /// Enough of an id to tell imports apart.
    pub fn short_id(&self) -> &str {
        short(&self.id)
    }

    /// Rows of its file that were in already.
    pub fn known(&self) -> u64 {
        self.known_of.values().sum()
    }

    /// The profile's view that its file was read by.
    fn view(&self) -> &str {
        self.understanding.rsplit(' ').next().unwrap_or_default()
    }
}

/// Imports of the same file into other tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Siblings {
    /// Brought along by the same profile with the file's main table, which this import is of: what
    /// is done to it is done to them.
    pub along: Vec<Record>,
    /// They are on their own.
    pub others: Vec<Record>,
}

/// The imports of the file of this import into other tables that are in.
pub async fn siblings(catalog: &Catalog, store: &Location, of: &Record) -> Result<Siblings, BatchError> {
    let views = || {
        let profile = catalog.profiles.iter().find(|view| view.name == of.view()).map(|view| &view.profile);
        catalog.profiles.iter().filter(move |view| Some(&view.profile) == profile)
    };
    let is_main = views().next().is_some_and(|main| main.name == of.view());
    let mut siblings = Siblings::default();
    for record in list(catalog, store).await? {
        let is_in = matches!(record.state, State::Imported | State::Unfinished);
        if !is_in || record.id == of.id || content_of(&record.id) != content_of(&of.id) {
            continue;
        }
        // One that was cut short does not say what it is of.
        let is_along = is_main && (record.state == State::Unfinished || views().any(|view| view.name == record.view()));
        if is_along { siblings.along.push(record) } else { siblings.others.push(record) }
    }
    Ok(siblings)
}

/// Records what was done; the imports that have rows of the file and understood them in another
/// way.
pub(super) async fn after(
    import: &Import,
    file: &File,
    store: &Location,
    replaced: Option<&str>,
    imported: &ImportReport,
) -> Result<Vec<String>, BatchError> {
    let others = newest(store).await?;
    let understanding = import.understanding();
    let mut otherwise: Vec<String> = imported
        .known_of
        .keys()
        .filter(|other| others.get(*other).is_some_and(|other| other.understanding != understanding))
        .cloned()
        .collect();
    otherwise.sort();
    let record = Record {
        id: imported.id.clone(),
        state: State::Imported,
        topic: import.topic.name.clone(),
        table: import.table.clone(),
        file: file.name.clone(),
        counted: imported.accepted,
        duplicate: imported.duplicate,
        refused: imported.mistaken(),
        known_of: imported
            .known_of
            .iter()
            .filter(|(of, _)| **of != imported.id)
            .map(|(a, b)| (a.clone(), *b))
            .collect(),
        period_micros: imported.period_micros,
        // A repeated import that changes nothing leaves what is there as it was understood.
        understanding: match others.get(&imported.id) {
            Some(before) if imported.accepted == 0 && replaced.is_none() => before.understanding.clone(),
            _ => understanding,
        },
        replaced_by: None,
        ..Record::default()
    };
    if let Some(taken) = replaced.filter(|taken| *taken != imported.id) {
        let before = others.get(taken).cloned().unwrap_or_default();
        let state = State::Replaced;
        let replaced_by = Some(imported.id.clone());
        let taken = Record { id: taken.to_owned(), topic: import.topic.name.clone(), state, replaced_by, ..before };
        add(store, &taken).await?;
    }
    add(store, &record).await?;
    Ok(otherwise)
}

/// Enough of an id to tell imports apart.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Every import, the oldest first.
pub async fn list(catalog: &Catalog, store: &Location) -> Result<Vec<Record>, BatchError> {
    let mut records = newest(store).await?;
    for topic in &catalog.topics {
        let Some(history) = History::read(topic, &Layout::of(store).history(topic)).await? else { continue };
        for (id, rows) in history.imports().await? {
            let record = records.remove(&id);
            records.insert(id.clone(), with_rows(record, &id, &topic.name, &rows));
        }
    }
    let mut records: Vec<Record> = records.into_values().collect();
    records.sort_by(|a, b| (a.at_micros, &a.id).cmp(&(b.at_micros, &b.id)));
    Ok(records)
}

/// The import whose id begins so.
pub async fn find(catalog: &Catalog, store: &Location, id: &str) -> Result<Record, BatchError> {
    let all = list(catalog, store).await?;
    if all.is_empty() {
        return Err(BatchError::NothingImported { store: store.to_string() });
    }
    // Every id begins with nothing, which names none of them.
    let mut found = all.into_iter().filter(|record| !id.is_empty() && record.id.starts_with(id));
    match (found.next(), found.next()) {
        (Some(record), None) => Ok(record),
        (Some(_), Some(_)) => Err(BatchError::ImportIds { id: id.to_owned() }),
        (None, _) => Err(BatchError::NoImport { id: id.to_owned() }),
    }
}

/// Where the rows say something else than the record, the rows are right: a record is added after
/// them.
fn with_rows(record: Option<Record>, id: &str, topic: &str, rows: &ImportedRows) -> Record {
    let has_record = record.is_some();
    let mut record = record.unwrap_or_else(|| Record {
        id: id.to_owned(),
        at_micros: rows.arrival_micros.unwrap_or_default(),
        topic: topic.to_owned(),
        file: rows.file.clone(),
        ..Record::default()
    });
    if rows.is_empty() {
        if rows.is_undone && record.state == State::Imported {
            record.state = State::Undone;
        }
        return record;
    }
    record.state = if has_record || rows.is_of_old_version { State::Imported } else { State::Unfinished };
    record.counted = rows.counted;
    record.duplicate = rows.duplicate;
    // Totals and headings are among the rows, and not in the record; rows that were read rightly
    // since are in the record, and not among the rows.
    record.refused = if has_record { record.refused.min(rows.refused) } else { rows.refused };
    record.period_micros = rows.period_micros;
    record.replaced_by = None;
    record
}

/// The newest record of each import.
pub(super) async fn newest(store: &Location) -> Result<BTreeMap<String, Record>, BatchError> {
    let failed = BatchError::engine(TABLE, "read");
    let Some(table) = AppendTable::read(TABLE, &Layout::of(store).table(TABLE)).await? else {
        return Ok(BTreeMap::new());
    };
    let provider = table.provider().await?;
    let run = async {
        let frame = read_session(1).read_table(provider)?;
        frame.sort(vec![ident("instante").sort(true, true)])?.collect().await
    };
    let mut records = BTreeMap::<String, Record>::new();
    for batch in run.await.map_err(&failed)? {
        for row in 0..batch.num_rows() {
            let mut record = read(&batch, row).map_err(&failed)?;
            // An import that was taken back, or repeated without effect, was still imported when it
            // was.
            if let Some(before) = records.get(&record.id)
                && (record.state != State::Imported || record.counted == 0)
            {
                record.at_micros = before.at_micros;
            }
            records.insert(record.id.clone(), record);
        }
    }
    Ok(records)
}

pub(super) async fn add(store: &Location, record: &Record) -> Result<(), BatchError> {
    let failed = BatchError::engine(TABLE, "written");
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values([text])) };
    let number =
        |number: u64| -> ArrayRef { Arc::new(Int64Array::from_value(i64::try_from(number).unwrap_or(i64::MAX), 1)) };
    let instant = |micros: Option<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter([micros]).with_timezone("UTC"))
    };
    let known_of = serde_json::to_string(&record.known_of).map_err(|source| failed(external(source)))?;
    let columns = vec![
        text(&record.id),
        instant(Some(Utc::now().timestamp_micros())),
        text(record.state.name()),
        text(&record.topic),
        text(&record.table),
        text(&record.file),
        number(record.counted),
        number(record.known()),
        number(record.duplicate),
        number(record.refused),
        instant(record.period_micros.map(|(oldest, _)| oldest)),
        instant(record.period_micros.map(|(_, newest)| newest)),
        text(&known_of),
        text(&record.understanding),
        Arc::new(StringArray::from_iter([record.replaced_by.as_deref()])),
    ];
    let rows = RecordBatch::try_new(imports_schema(), columns).map_err(|source| failed(source.into()))?;
    AppendTable::open(TABLE, &Layout::of(store).table(TABLE), imports_schema()).await?.append(rows).await?;
    Ok(())
}

fn read(batch: &RecordBatch, row: usize) -> Result<Record, DataFusionError> {
    let text = |column: usize| batch.column(column).as_string::<i32>().value(row).to_owned();
    let number =
        |column: usize| u64::try_from(batch.column(column).as_primitive::<Int64Type>().value(row)).unwrap_or_default();
    let instant = |column: usize| {
        let times = batch.column(column).as_primitive::<TimestampMicrosecondType>();
        times.is_valid(row).then(|| times.value(row))
    };
    let state = text(2);
    Ok(Record {
        id: text(0),
        at_micros: instant(1).unwrap_or_default(),
        state: State::ALL.into_iter().find(|known| known.name() == state).unwrap_or_default(),
        topic: text(3),
        table: text(4),
        file: text(5),
        counted: number(6),
        duplicate: number(8),
        refused: number(9),
        known_of: serde_json::from_str(&text(12)).map_err(external)?,
        period_micros: instant(10).zip(instant(11)),
        understanding: text(13),
        replaced_by: batch.column(14).is_valid(row).then(|| text(14)),
    })
}

fn external(source: serde_json::Error) -> DataFusionError {
    DataFusionError::External(Box::new(source))
}
