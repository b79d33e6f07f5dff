//! Sales history from files into the same tables as the stream's.
//!
//! Each row becomes the message that would have said the same, and is read by the stream's own
//! decoder and rules: what a message must be, a row must be. Only what files seldom have, such as
//! the user, may be missing. Accepted and refused rows are kept side by side, in one commit for
//! many. A row that is in already adds nothing, whatever file it comes in: an import that is
//! repeated, or was cut short, or is of a file that grew, adds what is new.

mod amounts;
mod attempt;
mod changes;
pub(crate) mod error;
mod files;
mod filler;
mod forms;
mod identity;
mod known;
mod left_out;
mod legacy;
mod looking_up;
mod mapping;
mod message;
mod oddities;
mod opening;
pub mod preview;
mod queried;
mod reader;
pub mod records;
mod sink;
mod source;
mod stored;
pub mod summary;
mod twice;
pub mod undo;
pub mod wording;

use std::collections::BTreeMap;

use chrono_tz::Tz;
use vitral_catalog::ImportTarget;
use vitral_connect::TopicLookups;
use vitral_schemas::topic::Topic;
use vitral_store::{ArchiveReader, Location};

use self::attempt::Outcome;
pub use self::changes::Changed;
pub use self::error::ImportError;
pub use self::files::{File, Files};
pub use self::forms::{Dates, Numbers};
use self::known::Standing;
pub use self::opening::{Understood, understand};
pub(crate) use self::queried::check as check_profile;
pub use self::queried::{Ask, recognise};
use self::sink::Committed;
pub use self::twice::Twice;
/// A row whose cells are not those of the header.
pub use vitral_schemas::topic::history_columns::ROW_REASON;

use crate::error::BatchError;
use crate::unanswered::Unanswered;

/// Columns from which on a file is wide: most of them are not read where the format stores them
/// apart.
const WIDE: usize = 200;
/// Times that an import begins again because others have brought rows of its file in.
const ATTEMPTS: usize = 50;

/// How files are to be understood.
#[derive(Debug, Clone)]
pub struct Import {
    /// The topic whose history the rows come into.
    pub topic: Topic,
    /// The table that the user names: the topic, or a view of it.
    pub table: String,
    /// How rows of that table become the topic's.
    pub target: ImportTarget,
    /// The file's column to the topic's, as the user says.
    pub named: BTreeMap<String, String>,
    /// As the user says; otherwise it is found for each file.
    pub numbers: Option<Numbers>,
    /// Likewise.
    pub dates: Option<Dates>,
    /// The line of the header, as the user says.
    pub header_row: Option<u32>,
    /// The sheets of workbooks that are meant, as the user says.
    pub sheets: Vec<String>,
    /// What amounts are in where a row does not say.
    pub currency: String,
    /// What is asked of the file before its rows are understood.
    pub ask: Ask,
    /// How its columns are written, if that was found before, by [`understand`].
    pub understood: Option<Understood>,
    /// The zone of times without one.
    pub zone: Tz,
    /// Whether the user says that the files' times are in this zone.
    pub is_zone_named: bool,
    /// The topic's columns that are looked up.
    pub lookups: TopicLookups,
    /// The wall clock, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// What became of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// The import's id.
    pub id: String,
    /// Rows that came in and count.
    pub accepted: u64,
    /// Rows with the event id of an earlier row of the file.
    pub duplicate: u64,
    /// Rows that could not be understood.
    pub refused: u64,
    /// Of those, totals, headings that come again, and titles: they were not meant to be rows.
    pub fillers: u64,
    /// The others of the refused rows by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Rows that were in already.
    pub known: u64,
    /// Of those, rows with other cells than what is in has.
    pub differing: u64,
    /// Rows that were in already, by the import that has them; under an empty name those of the
    /// stream.
    pub known_of: BTreeMap<String, u64>,
    /// Of those, rows that an earlier run of the same import had brought.
    pub own_before: u64,
    /// Imports that have rows of the file and understood them in another way.
    pub understood_otherwise: Vec<String>,
    /// The oldest and newest event time of accepted rows, in microseconds.
    pub period_micros: Option<(i64, i64)>,
    /// Columns of the file that were not used.
    pub unused: Vec<String>,
    /// What the file says otherwise than what is in, by the import that has it.
    pub changed: Vec<Changed>,
    /// Rows that came in though what is in means the same, by the import that has it; under an
    /// empty name the stream.
    pub twice: BTreeMap<String, Twice>,
    /// What else people should know of how the file was read.
    pub notes: Vec<String>,
    /// The first rows that were refused for each reason.
    pub examples: Vec<RefusedRow>,
    /// Accepted rows that could not be looked up.
    pub unanswered: Unanswered,
}

/// A row that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its sheet, in a workbook.
    pub sheet: Option<String>,
    /// Its line or row, from 1, as programs count them.
    pub line: i64,
    /// The reason's name, as the ledger has it.
    pub reason: String,
    /// What is wrong, for people.
    pub detail: String,
}

impl ImportReport {
    /// Every row of the file.
    pub fn rows(&self) -> u64 {
        self.accepted + self.duplicate + self.refused + self.known
    }

    /// Counts a row that is in already; whether it is.
    fn count_known(&mut self, standing: Standing) -> bool {
        let is_in = matches!(standing, Standing::In | Standing::InDiffering);
        self.known += u64::from(is_in);
        self.differing += u64::from(standing == Standing::InDiffering);
        is_in
    }

    /// Rows that could not be understood and were meant to be.
    pub fn mistaken(&self) -> u64 {
        self.refused - self.fillers
    }

    fn extend_period(&mut self, micros: Option<i64>) {
        let times = self.period_micros.into_iter().chain(micros.map(|micros| (micros, micros)));
        self.period_micros = times.reduce(|(oldest, newest), (a, b)| (oldest.min(a), newest.max(b)));
    }
}

impl Import {
    /// Imports one file; `progress` is called with how much of it is read, and of how much.
    pub async fn run(
        &self,
        file: &File,
        store: &Location,
        progress: impl FnMut(u64, u64),
    ) -> Result<ImportReport, BatchError> {
        self.bring_in(file, store, None, progress).await
    }

    /// Imports one file in place of what the import `taken` has added: one commit, so that either
    /// is there whatever happens.
    pub async fn replace(
        &self,
        taken: &str,
        file: &File,
        store: &Location,
        progress: impl FnMut(u64, u64),
    ) -> Result<ImportReport, BatchError> {
        self.bring_in(file, store, Some(taken), progress).await
    }

    async fn bring_in(
        &self,
        file: &File,
        store: &Location,
        replaced: Option<&str>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<ImportReport, BatchError> {
        let id = file.import_id(&format!("{} {:?}", self.topic.name, self.target.constants))?;
        let mut committed = Committed::default();
        for _ in 0..ATTEMPTS {
            let attempt = self.attempt((file, &id), store, replaced, committed, &mut progress).await?;
            match attempt {
                Outcome::Done(mut imported) => {
                    imported.understood_otherwise = records::after(self, file, store, replaced, &imported).await?;
                    return Ok(imported);
                }
                Outcome::Overtaken(so_far) => committed = so_far,
            }
        }
        Err(BatchError::ImportedMeanwhile)
    }

    /// From which event time on, in milliseconds, rows are the stream's.
    async fn stream_from_ms(&self, archive: Option<&ArchiveReader>) -> Result<Option<i64>, BatchError> {
        match archive {
            // Where no row is ever late, order is by event time alone, whenever a row comes.
            Some(archive) if !self.topic.is_never_late() => {
                Ok(archive.watermark().await?.map(|watermark| watermark.late_before(self.topic.lateness_ms).ms()))
            }
            _ => Ok(None),
        }
    }

    /// How its files are understood, for comparison with other imports.
    fn understanding(&self) -> String {
        let profile = self.ask.profile.as_ref().map(|profile| profile.name.as_str()).unwrap_or_default();
        format!("{:?} {:?} {:?} {} {profile}", self.named, self.numbers, self.dates, self.zone)
    }
}

fn failed(source: datafusion::error::DataFusionError) -> BatchError {
    BatchError::engine("rows of a file", "compared with what is in")(source)
}
