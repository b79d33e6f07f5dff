//! What else is wrong with items, so that their sender need not correct them one error at a time.
//!
//! The stream refuses a message for its first fault and looks no further. Here the field at fault
//! gets a value with which nothing is wrong, and the message is looked at again.

use std::collections::BTreeSet;

use serde_json::Value;
use vitral_query::utc_text;
use vitral_schemas::topic::{Column, ColumnKind};

use super::checked::add_field;
use super::faults::{Fault, Faults, OF_OTHERS};
use super::{Prepared, Request};
use crate::problem::Problem;

/// Faults that are named of one item.
const OF_ONE_MAX: usize = 10;
/// Faults that are named beyond the first of each item.
const MORE_MAX: usize = 1_000;

/// An item without what is known to be wrong with it.
struct Corrected {
    index: usize,
    payload: Vec<u8>,
    /// The columns that have other values than the item gave them.
    columns: BTreeSet<usize>,
    /// The next to be corrected.
    at_fault: usize,
}

impl Prepared {
    /// Adds what else is wrong with the items that have a fault.
    pub(super) fn add_further(
        &self,
        payloads: &[Vec<u8>],
        faults: &mut Faults,
        (request, now_ms): (&Request<'_>, i64),
    ) -> Result<(), Problem> {
        let mut items: Vec<Corrected> =
            faults.iter().filter_map(|(index, found)| self.begun(index, &payloads[index], found)).collect();
        let mut more = 0;
        for _ in 1..OF_ONE_MAX {
            items.iter_mut().for_each(|item| self.correct(item, now_ms));
            if items.is_empty() {
                break;
            }
            let found = self.decoded(items.iter().map(|item| item.payload.as_slice()), request, now_ms)?.1;
            let mut known = items.into_iter().enumerate();
            items = Vec::new();
            for (at, fault) in found {
                // Both are in the order of items.
                let Some((_, item)) = known.find(|(place, _)| *place == at) else { break };
                let Some(column) = self.certain(&item, &fault) else { continue };
                if more == MORE_MAX {
                    return Ok(());
                }
                faults.add(item.index, fault);
                more += 1;
                items.push(Corrected { at_fault: column, ..item });
            }
        }
        Ok(())
    }

    fn begun(&self, index: usize, payload: &[u8], found: &[Fault]) -> Option<Corrected> {
        let fault = found.first().filter(|fault| fault.code != OF_OTHERS)?;
        let at_fault = self.column_of(fault)?;
        Some(Corrected { index, payload: payload.to_vec(), columns: BTreeSet::new(), at_fault })
    }

    fn column_of(&self, fault: &Fault) -> Option<usize> {
        let field = fault.field.as_ref()?;
        self.topic.columns.iter().position(|column| column.name == *field)
    }

    fn correct(&self, item: &mut Corrected, now_ms: i64) {
        let column = &self.topic.columns[item.at_fault];
        add_field(&mut item.payload, &column.name, &harmless(column, now_ms));
        item.columns.insert(item.at_fault);
    }

    /// The column of a fault that the item has as it was sent.
    fn certain(&self, item: &Corrected, fault: &Fault) -> Option<usize> {
        let index = self.column_of(fault)?;
        let column = &self.topic.columns[index];
        let is_of = |kind: &str, rule: &str| fault.detail.starts_with(&format!("{}: {kind}{rule}", column.name));
        let check = column.check.as_ref().filter(|check| is_of("", check));
        let rule = check.or_else(|| column.default.as_ref().filter(|default| is_of("DEFAULT ", default)));
        let is_corrected =
            |word: &str| item.columns.iter().any(|corrected| self.topic.columns[*corrected].name == word);
        let is_doubtful = rule.is_some_and(|rule| words(rule).any(is_corrected));
        (!item.columns.contains(&index) && !is_doubtful).then_some(index)
    }
}

/// A value with which nothing is wrong: none, or what is as good as any.
fn harmless(column: &Column, now_ms: i64) -> Value {
    if !column.needed {
        return Value::Null;
    }
    match column.kind {
        ColumnKind::Text | ColumnKind::TextOrNumber => "x".into(),
        ColumnKind::Currency => "XXX".into(),
        ColumnKind::Integer => 1.into(),
        ColumnKind::Decimal { .. } => 0.into(),
        ColumnKind::Timestamp => utc_text(now_ms.saturating_mul(1_000)).into(),
        ColumnKind::Boolean => true.into(),
    }
}

/// The names in an expression, and what else looks like one.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
}
