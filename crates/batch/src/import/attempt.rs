//! One attempt at bringing a file's rows in: what is in is learnt first, then the file's rows pass
//! by once.

use std::collections::{BTreeSet, HashSet};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use vitral_store::{Archive, History, Layout, Location};

use super::changes::{Candidate, Changes};
use super::identity::{Marker, Marks};
use super::known::{Known, Standing};
use super::left_out::Left;
use super::legacy::Legacy;
use super::opening::Opened;
use super::reader::{Reader, Values};
use super::sink::{Committed, Sink, Spool};
use super::source::{Row, Source};
use super::twice::Meanings;
use super::{File, Import, ImportReport, failed, stored};
use crate::error::BatchError;

/// Rows of a commit.
const COMMIT_ROWS: usize = 512 * 1024;

/// What one attempt came to.
#[expect(clippy::large_enum_variant, reason = "one for each attempt")]
pub(super) enum Outcome {
    Done(ImportReport),
    /// Other imports have changed what is known of the file's rows. So many rows of it had been
    /// committed before.
    Overtaken(Committed),
}

/// A file's rows on their way in.
struct Attempt<'a> {
    import: &'a Import,
    id: &'a str,
    store: &'a Location,
    /// The imports in whose place the rows come in.
    taken: Vec<String>,
    source: Box<dyn Source>,
    history: History,
    known: Known,
    legacy: Legacy,
    marker: Marker,
    reader: Reader<'a>,
    sink: Sink,
    left: Vec<Left>,
    changes: Changes,
    meanings: Option<Meanings>,
    /// What people should know of how the file was opened.
    notes: Vec<String>,
    /// Rows that were read, and are not handed to the sink yet.
    waiting: Vec<RecordBatch>,
    /// The cells of rows that had been refused and are in by now.
    read_rightly: BTreeSet<u128>,
    imported: ImportReport,
    committed: Committed,
}

/// Rows by what is known of them.
struct Sorted {
    new: Vec<(Row, Marks)>,
    /// In with other cells, or, as the last says, new alongside such rows.
    differing: Vec<(Row, Marks, bool)>,
}

impl Import {
    /// Brings a file's rows in, of which `committed` came by earlier attempts.
    pub(super) async fn attempt(
        &self,
        (file, id): (&File, &str),
        store: &Location,
        replaced: Option<&str>,
        committed: Committed,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<Outcome, BatchError> {
        let before = committed.clone();
        let mut attempt = Attempt::begin(self, (file, id), store, replaced, committed, progress).await?;
        loop {
            let rows = attempt.source.next()?;
            let is_end = rows.is_empty();
            attempt.take(rows)?;
            if !attempt.hand_over(is_end).await? {
                return Ok(Outcome::Overtaken(attempt.committed));
            }
            let (done, of) = attempt.source.progress();
            progress(of + done, 2 * of);
            if is_end {
                break;
            }
        }
        attempt.end(&before).await
    }
}

impl<'a> Attempt<'a> {
    /// Learns what is in, up to the file's first row.
    async fn begin(
        import: &'a Import,
        (file, id): (&'a File, &'a str),
        store: &'a Location,
        replaced: Option<&str>,
        committed: Committed,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<Self, BatchError> {
        let topic = &import.topic;
        let history = History::open(topic, &Layout::of(store).history(topic)).await?;
        let archive = Archive::read(topic, store).await?;
        let stream_from_ms = import.stream_from_ms(archive.as_ref()).await?;
        let mut taken: Vec<String> = replaced.map(str::to_owned).into_iter().collect();
        if !taken.is_empty() && !taken.iter().any(|taken| taken == id) {
            taken.push(id.to_owned());
        }

        // What is in: without a history there is nothing to search.
        let mut known = Known::new(import.ask.is_by_item());
        let mut legacy = Legacy::new(topic, &import.target);
        let is_first = history.is_empty()? && archive.is_none();
        let of_file = if is_first { None } else { Some(&mut known) };
        let Opened { source, mapping, marker, forms, left, notes } = import.open(file, of_file, true, progress)?;
        if !is_first {
            stored::learn(import, Some(&history), archive, &marker, &taken, &mut known, &mut legacy).await?;
        }

        let notes = [notes, mapping.hints.clone()].concat();
        let imported = ImportReport { id: id.to_owned(), unused: mapping.unused.clone(), ..ImportReport::default() };
        let changes = Changes::new(topic, &mapping);
        let header = source.header().to_vec();
        let reader = Reader::new(import, (&file.name, id), mapping, forms, header, stream_from_ms)?;
        let sink = if taken.is_empty() {
            Sink::Append { seen: history.sequence().await?, is_first }
        } else {
            Sink::Replace { taken: taken.clone(), spool: Spool::new(reader.schema(), &file.name)? }
        };
        let meanings = if is_first { None } else { Meanings::new(topic, &import.target) };
        Ok(Self {
            import,
            id,
            store,
            taken,
            source,
            history,
            known,
            legacy,
            marker,
            reader,
            sink,
            left,
            changes,
            meanings,
            notes,
            waiting: Vec::new(),
            read_rightly: BTreeSet::new(),
            imported,
            committed,
        })
    }

    /// Reads rows as far as they are new, and keeps what they say otherwise than what is in.
    fn take(&mut self, rows: Vec<Row>) -> Result<(), BatchError> {
        let Sorted { new, differing } = self.sort(rows);
        if !differing.is_empty() {
            self.keep_changes(&differing)?;
        }
        if new.is_empty() {
            return Ok(());
        }
        let batch = self.reader.read(&new, &mut self.known, &mut self.legacy, &mut self.imported)?;
        self.read_rightly.extend(self.known.read_rightly(&batch));
        if let Some(meanings) = &mut self.meanings {
            let without: HashSet<u128> =
                differing.iter().filter(|(.., is_added)| *is_added).map(|(_, marks, _)| marks.cells).collect();
            meanings.add(&batch, &without).map_err(|source| failed(source.into()))?;
        }
        self.waiting.push(batch);
        Ok(())
    }

    fn sort(&mut self, rows: Vec<Row>) -> Sorted {
        let (mut new, mut differing) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            let marks = self.marker.marks(&row);
            let standing = self.known.standing(&marks);
            if self.imported.count_known(standing) && self.known.was_refused(&marks) {
                self.read_rightly.insert(marks.cells);
            }
            match standing {
                Standing::In => {}
                Standing::New => new.push((row, marks)),
                Standing::NewAmounts => {
                    differing.push((row.clone(), marks, true));
                    new.push((row, marks));
                }
                Standing::InDiffering => differing.push((row, marks, false)),
            }
        }
        Sorted { new, differing }
    }

    /// Keeps what rows say that are already in with other cells, or that come in alongside such
    /// rows.
    fn keep_changes(&mut self, rows: &[(Row, Marks, bool)]) -> Result<(), BatchError> {
        let Values { values, refused } = self.reader.values(rows.iter().map(|(row, ..)| row))?;
        let names: Vec<String> = rows.iter().map(|(row, ..)| self.marker.name(row)).collect();
        let candidates = rows.iter().zip(&names).enumerate().map(|(index, ((row, marks, is_added), name))| {
            let (marks, line, is_added) = (*marks, row.line, *is_added);
            (!refused.contains_key(&index)).then_some(Candidate { marks, name, line, is_added })
        });
        let candidates: Vec<_> = candidates.collect();
        self.changes.add(&candidates, &values).map_err(|source| failed(source.into()))
    }

    /// Hands the rows that wait to the sink, once they are enough for a commit or the last; false
    /// where another import has changed what is known of the file.
    async fn hand_over(&mut self, is_end: bool) -> Result<bool, BatchError> {
        let count: usize = self.waiting.iter().map(RecordBatch::num_rows).sum();
        if count == 0 || (count < COMMIT_ROWS && !is_end) {
            return Ok(true);
        }
        let rows = concat_batches(self.reader.schema(), self.waiting.iter()).map_err(|source| failed(source.into()))?;
        self.waiting.clear();
        let (rows, unanswered) = self.import.looked_up(rows).await?;
        let sink = &mut self.sink;
        if !sink.put(&mut self.history, (&rows, &unanswered), &mut self.known, &mut self.committed).await? {
            return Ok(false);
        }
        self.imported.unanswered.add(&unanswered);
        Ok(true)
    }

    /// After the last row: what became of the file, of which earlier attempts had committed
    /// `before`.
    async fn end(self, before: &Committed) -> Result<Outcome, BatchError> {
        let Self { import, id, taken, mut history, mut known, mut reader, mut imported, .. } = self;
        if !self.sink.finish(&mut history).await? {
            return Ok(Outcome::Overtaken(self.committed));
        }
        if !self.read_rightly.is_empty() {
            history.forget_refused(&self.read_rightly).await?;
        }
        history.compact().await?;
        imported.notes = [self.source.notes(), &self.notes, &reader.notes()].concat();
        imported.known_of = known.by_import();
        if let Some(meanings) = self.meanings {
            let archive = Archive::read(&import.topic, self.store).await?;
            let of_no_use = [taken.as_slice(), &[id.to_owned()]].concat();
            imported.twice =
                meanings.compare(Some(&history), archive, &known, imported.period_micros, &of_no_use).await?;
        }
        // The same file leaves out what its user wants of it now.
        let is_named = |import_id: &str| import_id != id || import.ask.condition.is_none();
        imported.changed = self.changes.compare(&history, &mut known, &self.left, &taken, is_named).await?;
        // What an earlier attempt of this run has committed is known to the last one, and came with
        // this run all the same.
        imported.accepted += before.counted;
        imported.duplicate += before.duplicate;
        imported.unanswered.add(&before.unanswered);
        let earlier = before.counted + before.duplicate;
        imported.known = imported.known.saturating_sub(earlier);
        imported.own_before = imported.known_of.get(id).copied().unwrap_or_default().saturating_sub(earlier);
        Ok(Outcome::Done(imported))
    }
}
