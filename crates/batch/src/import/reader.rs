//! A file's rows as the history has them: read by the stream's own decoder and rules, with their
//! verdicts and marks.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, TimestampMicrosecondType};
use arrow::error::ArrowError;
use chrono::DateTime;
use datafusion::error::DataFusionError;
use serde_json::{Map, Value};
use vitral_engine::rules::RowRules;
use vitral_engine::{EngineConfig, engine_session};
use vitral_messages::decode::{Decoder, Refusal};
use vitral_panes::PanesError;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::verdict::{Reason, Verdict};

use super::filler::{Fillers, is_filler, totals};
use super::forms::Forms;
use super::identity::{Marks, heading};
use super::known::Known;
use super::legacy::Legacy;
use super::mapping::Mapping;
use super::oddities::Oddities;
use super::source::{Cell, Row};
use super::{Import, ImportReport, ROW_REASON, RefusedRow};
use crate::error::BatchError;

/// Refused rows that are shown for each reason.
const EXAMPLES: usize = 3;

pub(super) struct Reader<'a> {
    import: &'a Import,
    file: &'a str,
    id: &'a str,
    mapping: Mapping,
    forms: Forms,
    decoder: Decoder,
    rules: RowRules,
    oddities: Oddities,
    fillers: Fillers,
    header: Vec<String>,
    schema: Arc<Schema>,
    /// From this event time on, in milliseconds, rows are the stream's.
    stream_from_ms: Option<i64>,
}

/// A row's reason and its words.
type Refused = (String, String);

/// Rows in the topic's columns, and which of them could not be read.
pub(super) struct Values {
    pub(super) values: RecordBatch,
    pub(super) refused: BTreeMap<usize, Refused>,
}

fn read_failed(source: DataFusionError) -> BatchError {
    BatchError::engine("rows of a file", "read")(source)
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        import: &'a Import,
        (file, id): (&'a str, &'a str),
        mapping: Mapping,
        forms: Forms,
        header: Vec<String>,
        stream_from_ms: Option<i64>,
    ) -> Result<Self, BatchError> {
        let mut topic = import.topic.clone();
        for column in topic.columns.iter_mut().filter(|column| import.target.optional.contains(&column.name)) {
            column.needed = false;
        }
        let session = engine_session(EngineConfig::default()).map_err(BatchError::engine("the rules", "planned"))?;
        let rules = RowRules::new(&topic, &session).map_err(PanesError::from)?;
        let schema = topic.history_schema();
        let schema = Arc::new(Schema::new(schema.fields()[1..].to_vec()));
        let decoder = Decoder::new(&topic, import.zone);
        let oddities = Oddities::new(&import.topic, &import.target, &mapping);
        let fillers = Fillers::default();
        Ok(Self { import, file, id, mapping, forms, decoder, rules, oddities, fillers, header, schema, stream_from_ms })
    }

    /// The schema of what [`Self::read`] gives: the history's columns without its first.
    pub(super) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Rows as they are understood.
    pub(super) fn values<'r>(&mut self, rows: impl Iterator<Item = &'r Row> + Clone) -> Result<Values, BatchError> {
        let (mut bytes, mut places, mut refused) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (row, cells) in rows.clone().enumerate() {
            let start = bytes.len();
            match self.mapping.message(cells, &self.forms, &self.import.currency, &mut bytes) {
                Ok(()) => places.push(Some(start..bytes.len())),
                Err(why) => {
                    bytes.truncate(start);
                    places.push(None);
                    refused.insert(row, (why.reason.to_owned(), why.detail));
                }
            }
        }
        let messages = places.into_iter().map(|place| place.and_then(|place| bytes.get(place)));
        let decoded = self.decoder.decode(messages);
        let (values, forbidden) = self.rules.apply(decoded.columns, self.import.now_ms).map_err(read_failed)?;
        let decoded = decoded.refused.into_iter().map(|Refusal { row, reason, detail }| (row, (reason, detail)));
        let mut found: BTreeMap<usize, (Reason, String)> = decoded.collect();
        found.extend(forbidden);
        if !found.is_empty() {
            for (row, cells) in rows.clone().enumerate() {
                if let (Some((reason, detail)), None) = (found.get(&row), refused.get(&row)) {
                    refused.insert(row, (reason.name().to_owned(), self.mapping.explain(cells, detail)));
                }
            }
        }
        for (row, cells) in rows.enumerate() {
            if let Some(words) = totals(cells)
                && !refused.contains_key(&row)
            {
                refused.insert(
                    row,
                    (ROW_REASON.to_owned(), format!("a row of totals, not a row of data: it begins with {words}")),
                );
            }
        }
        Ok(Values { values, refused })
    }

    /// Rows that are new by their marks, as the history has them; those are left out that turn out
    /// to be in.
    pub(super) fn read(
        &mut self,
        rows: &[(Row, Marks)],
        known: &mut Known,
        legacy: &mut Legacy,
        imported: &mut ImportReport,
    ) -> Result<RecordBatch, BatchError> {
        let arrow = |source: ArrowError| read_failed(source.into());
        let Values { values, mut refused } = self.values(rows.iter().map(|(row, _)| row))?;
        let are_in = if legacy.is_empty() { Vec::new() } else { legacy.are_in(&values).map_err(arrow)? };
        let times = values.column(self.import.topic.event_time).as_primitive::<TimestampMicrosecondType>().clone();
        let mut verdicts = Vec::with_capacity(rows.len());
        for (row, (_, marks)) in rows.iter().enumerate() {
            let micros = times.is_valid(row).then(|| times.value(row));
            let of_stream = || self.of_the_stream(micros?);
            if !refused.contains_key(&row)
                && let Some(why) = of_stream()
            {
                refused.insert(row, why);
            }
            verdicts.push(if refused.contains_key(&row) {
                (!known.is_refused_again(marks)).then_some(Verdict::Refused)
            } else if are_in.get(row).copied().unwrap_or_default() {
                imported.known += 1;
                None
            } else if known.is_first(marks) {
                imported.accepted += 1;
                imported.extend_period(micros);
                Some(Verdict::Counted)
            } else {
                imported.duplicate += 1;
                Some(Verdict::Duplicate)
            });
        }
        self.report(rows, &refused, imported);
        let counts = |row: usize| verdicts.get(row) == Some(&Some(Verdict::Counted));
        self.oddities.see(rows.iter().map(|(row, _)| row), &values, counts).map_err(arrow)?;
        let batch = self.batch(rows, &values, &refused, &verdicts).map_err(arrow)?;
        if verdicts.iter().all(Option::is_some) {
            return Ok(batch);
        }
        let kept: BooleanArray = verdicts.iter().map(|verdict| Some(verdict.is_some())).collect();
        filter_record_batch(&batch, &kept).map_err(arrow)
    }

    /// What people should know of the rows that were read, once all are.
    pub(super) fn notes(&mut self) -> Vec<String> {
        self.fillers.note().into_iter().chain(self.oddities.notes()).collect()
    }

    /// Why a row of this event time is the stream's to count.
    fn of_the_stream(&self, micros: i64) -> Option<Refused> {
        let from_ms = self.stream_from_ms.filter(|from_ms| micros >= from_ms.saturating_mul(MICROS_PER_MS))?;
        let from = DateTime::from_timestamp_millis(from_ms)?.with_timezone(&self.import.zone);
        let words = format!(
            "still within reach of the stream, which accepts events from {} on; import it later",
            from.format("%Y-%m-%dT%H:%M:%S%:z")
        );
        Some((Reason::Time.name().to_owned(), words))
    }

    fn report(&mut self, rows: &[(Row, Marks)], refused: &BTreeMap<usize, Refused>, imported: &mut ImportReport) {
        for (row, (reason, detail)) in refused {
            imported.refused += 1;
            let row_of_file = &rows[*row].0;
            if is_filler(row_of_file, || self.mapping.lacks_needed(row_of_file)) {
                imported.fillers += 1;
                self.fillers.add(row_of_file);
                continue;
            }
            let of_reason = imported.reasons.entry(reason.clone()).or_default();
            *of_reason += 1;
            if *of_reason <= EXAMPLES as u64 {
                let Row { sheet, line, .. } = row_of_file;
                imported.examples.push(RefusedRow {
                    sheet: sheet.as_deref().map(str::to_owned),
                    line: *line,
                    reason: reason.clone(),
                    detail: detail.clone(),
                });
            }
        }
    }

    fn batch(
        &self,
        rows: &[(Row, Marks)],
        values: &RecordBatch,
        refused: &BTreeMap<usize, Refused>,
        verdicts: &[Option<Verdict>],
    ) -> Result<RecordBatch, ArrowError> {
        let count = rows.len();
        let same =
            |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count))) };
        let of_refused = |text: &dyn Fn(usize, &Refused) -> String| -> ArrayRef {
            let texts = (0..count).map(|row| refused.get(&row).map(|why| text(row, why)));
            Arc::new(texts.collect::<StringArray>())
        };
        let hashes = |hash: &dyn Fn(&Marks) -> u128| -> ArrayRef {
            Arc::new(BinaryArray::from_iter_values(rows.iter().map(|(_, marks)| hash(marks).to_be_bytes())))
        };
        let verdict = |verdict: &Option<Verdict>| verdict.unwrap_or(Verdict::Counted).name();
        let arrival = TimestampMicrosecondArray::from_value(self.import.now_ms * MICROS_PER_MS, count);
        let mut columns: Vec<ArrayRef> = vec![
            same(self.id),
            same(self.file),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|(row, _)| row.line))),
            Arc::new(arrival.with_timezone("UTC")),
            Arc::new(StringArray::from_iter_values(verdicts.iter().map(verdict))),
            of_refused(&|_, (reason, _)| reason.clone()),
            of_refused(&|_, (_, detail)| detail.clone()),
            of_refused(&|row, _| self.content(&rows[row].0)),
            Arc::new(rows.iter().map(|(row, _)| row.sheet.as_deref()).collect::<StringArray>()),
            hashes(&|marks| marks.key),
            hashes(&|marks| marks.cells),
            Arc::new(rows.iter().map(|(_, marks)| marks.item.map(u128::to_be_bytes)).collect::<BinaryArray>()),
        ];
        columns.extend(values.columns().iter().cloned());
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }

    /// A row as the file has it, for the person who corrects it.
    fn content(&self, row: &Row) -> String {
        let cell = |(index, cell): (usize, &Option<Cell>)| {
            let name = heading(self.header.get(index).map_or("", String::as_str), index);
            Some((name, Value::String(cell.as_ref()?.text.clone())))
        };
        Value::Object(row.cells.iter().enumerate().filter_map(cell).collect::<Map<_, _>>()).to_string()
    }
}
