//! The look-ups of a process: which tables there are, and the columns of a topic's rows that are
//! found in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{not, nullif};
use arrow::error::ArrowError;
use vitral_schemas::topic::Topic;

use crate::ConnectError;
use crate::cached::{LookupCounts, TableLookup};

/// Look-up tables by the names that the catalog has for them.
#[derive(Debug, Clone, Default)]
pub struct Lookups(BTreeMap<String, Arc<TableLookup>>);

/// The looked-up columns of one topic.
#[derive(Debug, Clone, Default)]
pub struct TopicLookups(Vec<Group>);

/// Columns that are found by the same key in the same table.
#[derive(Debug, Clone)]
struct Group {
    table: Arc<TableLookup>,
    /// The topic's column with the keys.
    key: usize,
    /// Each column of the topic, and the table's that fills it.
    columns: Vec<(usize, usize)>,
}

/// What was found for a batch.
#[derive(Debug, Clone, Default)]
pub struct LookedUp {
    /// Columns of the topic with their values, one for each row of the batch.
    columns: Vec<(usize, ArrayRef)>,
    /// What became of the keys, by each of these columns.
    counts: Vec<(usize, LookupCounts)>,
}

impl Lookups {
    /// The tables by their names.
    pub fn new(tables: impl IntoIterator<Item = (String, TableLookup)>) -> Self {
        Self(tables.into_iter().map(|(name, table)| (name, Arc::new(table))).collect())
    }
}

impl TopicLookups {
    /// Fails where a table of a looked-up column, or a column of it, is not there.
    pub fn new(topic: &Topic, lookups: &Lookups) -> Result<Self, ConnectError> {
        let mut groups: Vec<(&str, &str, Group)> = Vec::new();
        for (index, column) in topic.columns.iter().enumerate() {
            let Some(lookup) = &column.lookup else { continue };
            let missing = |what: &str| {
                ConnectError::permanent(format!("column {} of {}: {what} is not open", column.name, topic.name))
            };
            let table = lookups.0.get(&lookup.table).ok_or_else(|| missing(&lookup.table))?;
            let found = table.column(&lookup.column);
            let found = found.ok_or_else(|| missing(&format!("{}.{}", lookup.table, lookup.column)))?;
            let known = groups.iter_mut().find(|(table, key, _)| *table == lookup.table && *key == lookup.key);
            match known {
                Some((.., group)) => group.columns.push((index, found)),
                None => {
                    let key = topic.columns.iter().position(|column| column.name == lookup.key);
                    let key = key.ok_or_else(|| missing(&lookup.key))?;
                    let group = Group { table: Arc::clone(table), key, columns: vec![(index, found)] };
                    groups.push((&lookup.table, &lookup.key, group));
                }
            }
        }
        Ok(Self(groups.into_iter().map(|(.., group)| group).collect()))
    }

    /// Whether no column of the topic is looked up.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Finds the columns of those of the rows, in the topic's columns, that count; the others have
    /// null.
    pub async fn find(&self, rows: &RecordBatch, counts: &BooleanArray) -> Result<LookedUp, ArrowError> {
        let mut found = LookedUp::default();
        for Group { table, key, columns } in &self.0 {
            let keys = rows.column(*key);
            let keys =
                if counts.true_count() == rows.num_rows() { Arc::clone(keys) } else { nullif(keys, &not(counts)?)? };
            let answers = table.get(&keys).await;
            for (own, its) in columns {
                found.columns.push((*own, Arc::clone(answers.rows.column(*its))));
                found.counts.push((*own, answers.counts));
            }
        }
        Ok(found)
    }
}

impl LookedUp {
    /// What became of the keys, by the topic's looked-up columns.
    pub fn counts(&self) -> &[(usize, LookupCounts)] {
        &self.counts
    }

    /// The same rows with what was found; the topic's columns begin at `first`.
    pub fn put_into(&self, rows: &RecordBatch, first: usize) -> Result<RecordBatch, ArrowError> {
        let mut columns = rows.columns().to_vec();
        for (column, values) in &self.columns {
            columns[first + column] = Arc::clone(values);
        }
        RecordBatch::try_new(rows.schema(), columns)
    }
}
