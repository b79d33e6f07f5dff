//! Rows of an archive, whose own columns are read by what they are, not by where they stand.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::error::ArrowError;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Verdict;

/// The own columns' places in [`Topic::archive_schema`]; the topic's come after them.
const PARTITION: usize = 0;
const OFFSET: usize = 1;
const LOG: usize = 4;
const VERDICT: usize = 5;
const REASON: usize = 6;
const PAYLOAD: usize = 7;
const OWN_COLUMNS: usize = 8;

/// Rows in the schema of a topic's archive.
#[derive(Debug, Clone)]
pub struct ArchiveBatch(RecordBatch);

impl ArchiveBatch {
    /// Errors if the rows have another schema.
    pub fn new(topic: &Topic, rows: RecordBatch) -> Result<Self, ArrowError> {
        // Whether a column may be null is not looked at: it changes on the way through queries.
        RecordBatch::try_new(topic.archive_schema(), rows.columns().to_vec()).map(Self)
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.0.num_rows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The partitions that they came from.
    pub fn partitions(&self) -> &Int32Array {
        self.0.column(PARTITION).as_primitive::<Int32Type>()
    }

    /// Of a range that was never delivered, its first.
    pub fn offsets(&self) -> &Int64Array {
        self.0.column(OFFSET).as_primitive::<Int64Type>()
    }

    /// Identities of the logs that the rows came from.
    pub fn logs(&self) -> &StringArray {
        self.0.column(LOG).as_string()
    }

    /// None for a verdict of a later version.
    pub fn verdicts(&self) -> impl Iterator<Item = Option<Verdict>> + '_ {
        self.0.column(VERDICT).as_string::<i32>().iter().map(|name| name.and_then(Verdict::from_name))
    }

    /// What was kept of the messages as they came.
    pub fn payloads(&self) -> &BinaryArray {
        self.0.column(PAYLOAD).as_binary()
    }

    /// A column of the topic, by its index there.
    pub fn column(&self, index: usize) -> &ArrayRef {
        self.0.column(OWN_COLUMNS + index)
    }

    /// The topic's columns.
    pub fn columns(&self) -> &[ArrayRef] {
        &self.0.columns()[OWN_COLUMNS..]
    }

    /// `len` rows from `first` on.
    pub fn slice(&self, first: usize, len: usize) -> Self {
        Self(self.0.slice(first, len))
    }

    /// The rows with these numbers.
    pub fn take(&self, rows: &UInt64Array) -> Result<Self, ArrowError> {
        take_record_batch(&self.0, rows).map(Self)
    }

    /// By log, partition and offset.
    pub fn in_offset_order(&self) -> Result<Self, ArrowError> {
        let by = |column: usize| SortColumn { values: Arc::clone(self.0.column(column)), options: None };
        let order = lexsort_to_indices(&[by(LOG), by(PARTITION), by(OFFSET)], None)?;
        take_record_batch(&self.0, &order).map(Self)
    }

    /// The same rows with other verdicts, without reasons, and with other columns of the topic.
    /// Payloads stay: they are what the rows were made of.
    pub fn with_verdicts(&self, verdicts: &[Verdict], columns: &[ArrayRef]) -> Result<Self, ArrowError> {
        let mut all = self.0.columns()[..OWN_COLUMNS].to_vec();
        all[VERDICT] = Arc::new(StringArray::from_iter_values(verdicts.iter().map(|verdict| verdict.name())));
        all[REASON] = Arc::new(StringArray::new_null(self.len()));
        all.extend(columns.iter().cloned());
        RecordBatch::try_new(self.0.schema(), all).map(Self)
    }

    /// As they are stored.
    pub fn into_rows(self) -> RecordBatch {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use vitral_catalog::{Catalog, DomainSettings};
    use vitral_schemas::topic::archive_columns;

    use super::*;

    #[test]
    fn columns_stand_where_the_schema_has_them() {
        let catalog = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog");
        let schema = catalog.topics[0].archive_schema();
        use archive_columns as names;
        for (index, name) in [
            (PARTITION, names::PARTITION),
            (OFFSET, names::OFFSET),
            (LOG, names::LOG),
            (VERDICT, names::VERDICT),
            (REASON, names::REASON),
            (PAYLOAD, names::PAYLOAD),
            (OWN_COLUMNS, catalog.topics[0].columns[0].name.as_str()),
        ] {
            assert_eq!(schema.field(index).name(), name);
        }
        let nothing = ArchiveBatch::new(&catalog.topics[0], RecordBatch::new_empty(schema)).expect("the schema");
        assert!(nothing.is_empty() && nothing.columns().len() == catalog.topics[0].columns.len());
        let other = RecordBatch::new_empty(catalog.topics[0].schema());
        assert!(ArchiveBatch::new(&catalog.topics[0], other).is_err());
    }
}
