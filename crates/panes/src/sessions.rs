//! Spans of time that belong together: of one key, and nearer to each other than a gap.
//!
//! Joining is associative: spans that were joined before, in any parts, join to what all of them
//! give at once.

use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use crate::rows::u32_of;

/// The first and the last event time of a session, or of a part of one, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// Spans with their keys, to be joined.
pub(crate) struct Spans {
    gap_micros: i64,
    /// The different keys, each with its number.
    keys: Box<dyn GroupValues>,
    /// Scratch: the number of each row's key.
    numbers: Vec<usize>,
    rows: Vec<Row>,
}

struct Row {
    key: u32,
    index: u32,
    span: Span,
}

impl Spans {
    /// None yet; keys have these columns.
    pub(crate) fn new(keys: SchemaRef, gap_micros: i64) -> Result<Self> {
        let keys = new_group_values(keys, &GroupOrdering::None)?;
        Ok(Self { gap_micros, keys, numbers: Vec::new(), rows: Vec::new() })
    }

    /// Adds rows by the columns of their keys, and their spans.
    pub(crate) fn add(&mut self, keys: &[ArrayRef], spans: impl IntoIterator<Item = Span>) -> Result<()> {
        self.keys.intern(keys, &mut self.numbers)?;
        self.rows.reserve(self.numbers.len());
        for (number, span) in self.numbers.iter().zip(spans) {
            self.rows.push(Row { key: u32_of(*number)?, index: u32_of(self.rows.len())?, span });
        }
        Ok(())
    }

    /// For each row, in the order in which they were added, the session that it is part of.
    pub(crate) fn join(self) -> Vec<Span> {
        let Self { gap_micros, keys, mut rows, .. } = self;
        drop(keys);
        rows.sort_unstable_by_key(|row| (row.key, row.span.first));
        let mut joined = vec![Span { first: 0, last: 0 }; rows.len()];
        let mut start = 0;
        while start < rows.len() {
            let Row { key, span: Span { first, mut last }, .. } = rows[start];
            let more = rows[start + 1..].iter().take_while(|next| {
                let joins = next.key == key && next.span.first.saturating_sub(last) < gap_micros;
                if joins {
                    last = last.max(next.span.last);
                }
                joins
            });
            let end = start + 1 + more.count();
            for row in &rows[start..end] {
                joined[row.index as usize] = Span { first, last };
            }
            start = end;
        }
        joined
    }
}

/// The schema of these columns, which may hold nulls.
pub(crate) fn key_schema<'a>(types: impl IntoIterator<Item = &'a arrow::datatypes::DataType>) -> SchemaRef {
    let fields = types
        .into_iter()
        .enumerate()
        .map(|(index, data_type)| arrow::datatypes::Field::new(index.to_string(), data_type.clone(), true));
    std::sync::Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;
    use arrow::datatypes::DataType;
    use proptest::prelude::*;

    use super::*;

    const GAP: i64 = 10;

    fn join(rows: &[(u8, Span)]) -> Vec<Span> {
        let mut spans = Spans::new(key_schema([&DataType::Utf8]), GAP).expect("a schema");
        for part in rows.chunks(3) {
            let keys = StringArray::from_iter(part.iter().map(|(key, _)| (*key > 0).then(|| key.to_string())));
            spans.add(&[Arc::new(keys)], part.iter().map(|(_, span)| *span)).expect("added");
        }
        spans.join()
    }

    fn at(time: i64) -> Span {
        Span { first: time, last: time }
    }

    #[test]
    fn a_distance_of_the_gap_begins_a_new_session() {
        let rows = [(1, at(0)), (2, at(5)), (1, at(9)), (1, at(19)), (1, at(28)), (0, at(3)), (0, at(12))];
        let session = |first, last| Span { first, last };
        let expected = [
            session(0, 9),
            session(5, 5),
            session(0, 9),
            session(19, 28),
            session(19, 28),
            session(3, 12),
            session(3, 12),
        ];
        assert_eq!(join(&rows), expected);
    }

    #[test]
    fn a_span_within_another_does_not_end_it() {
        assert_eq!(
            join(&[(1, Span { first: 0, last: 30 }), (1, at(5)), (1, at(39))]),
            [Span { first: 0, last: 39 }; 3]
        );
    }

    proptest! {
        #[test]
        fn parts_that_were_joined_before_join_to_the_same(
            times in prop::collection::vec((0u8..3, 0i64..200), 1..60),
            cut in 0usize..60,
        ) {
            let rows: Vec<(u8, Span)> = times.iter().map(|(key, time)| (*key, at(*time))).collect();
            let (left, right) = rows.split_at(cut.min(rows.len()));
            let parts = [left, right].into_iter().flat_map(|part| {
                part.iter().zip(join(part)).map(|((key, _), span)| (*key, span)).collect::<Vec<_>>()
            });
            prop_assert_eq!(join(&parts.collect::<Vec<_>>()), join(&rows));
        }
    }
}
