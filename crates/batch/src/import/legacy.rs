//! Rows of versions that kept no identities: they are known by what they were understood as.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use vitral_catalog::ImportTarget;
use vitral_schemas::event_id::is_none;
use vitral_schemas::topic::Topic;

use super::identity::hash;
use super::mapping::id_columns;

#[derive(Debug)]
pub(super) struct Legacy {
    counts: HashMap<u128, u64>,
    /// The topic's columns, each with whether it is of the key.
    columns: Vec<(String, bool)>,
    first: Option<String>,
    /// Of these, words for nothing are nothing, as they were not in versions that stored them.
    ids: Vec<String>,
}

impl Legacy {
    pub(super) fn new(topic: &Topic, target: &ImportTarget) -> Self {
        let is_of_key =
            |name: &String| target.key.contains(name) || target.constants.iter().any(|(constant, _)| constant == name);
        let columns = topic.columns.iter().map(|column| (column.name.clone(), is_of_key(&column.name)));
        Self {
            counts: HashMap::new(),
            columns: columns.collect(),
            first: target.key.first().cloned(),
            ids: id_columns(topic, target),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Takes counted rows into account, in any schema that has the topic's columns.
    pub(super) fn learn(&mut self, counted: &RecordBatch) -> Result<(), ArrowError> {
        for mark in self.marks(counted)? {
            *self.counts.entry(mark).or_default() += 1;
        }
        Ok(())
    }

    /// For each row whether it is in. Each row is asked for once.
    pub(super) fn are_in(&mut self, rows: &RecordBatch) -> Result<Vec<bool>, ArrowError> {
        let marks = self.marks(rows)?;
        Ok(marks.into_iter().map(|mark| self.take(mark)).collect())
    }

    fn take(&mut self, mark: u128) -> bool {
        match self.counts.get_mut(&mark) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    fn marks(&self, rows: &RecordBatch) -> Result<Vec<u128>, ArrowError> {
        let text = |name: &str| -> Result<Option<ArrayRef>, ArrowError> {
            rows.column_by_name(name).map(|column| cast(column, &DataType::Utf8)).transpose()
        };
        let first = self.first.as_deref().map(&text).transpose()?.flatten();
        let is_first_id = self.first.as_ref().is_some_and(|first| self.ids.contains(first));
        let mut columns = Vec::new();
        for (name, is_of_key) in &self.columns {
            columns.extend(text(name)?.map(|texts| (texts, *is_of_key, self.ids.contains(name))));
        }
        let value = |texts: &ArrayRef, row: usize, is_id: bool| {
            let text = if texts.is_valid(row) { texts.as_string::<i32>().value(row) } else { "" };
            if is_id && is_none(text.as_bytes()) { String::new() } else { text.to_owned() }
        };
        let marks = (0..rows.num_rows()).map(|row| {
            let has_key = first.as_ref().is_some_and(|first| !value(first, row, is_first_id).is_empty());
            let used = columns.iter().filter(|(_, is_of_key, _)| *is_of_key || !has_key);
            let texts: Vec<String> = used.map(|(texts, _, is_id)| value(texts, row, *is_id)).collect();
            hash(texts.iter().map(String::as_str))
        });
        Ok(marks.collect())
    }
}
