//! Items held to everything that the stream would hold them to, and to what their sender may write.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::util::display::array_value_to_string;
use serde_json::Value;
use uuid::Uuid;
use vitral_connect::Outgoing;
use vitral_messages::decode::Decoder;
use vitral_query::{Principal, QueryError};
use vitral_schemas::verdict::Reason;

use super::faults::{Fault, Faults, OF_OTHERS};
use super::repeats::RepeatKey;
use super::{Prepared, Request};
use crate::problem::{ItemsProblem, Problem};

impl Prepared {
    /// The messages that these items are, each with an id if the topic's events have one; a problem
    /// if any of them is not right.
    pub(super) fn checked(
        &self,
        mut payloads: Vec<Vec<u8>>,
        key: Option<&RepeatKey>,
        (request, now_ms): (&Request<'_>, i64),
    ) -> Result<Vec<Outgoing>, ItemsProblem> {
        let all = |payloads: &[Vec<u8>]| self.decoded(payloads.iter().map(Vec::as_slice), request, now_ms);
        let (rows, refused) = all(&payloads)?;
        let mut faults: Faults = refused.into_iter().collect();
        self.add_rows_of_others(&rows, &request.principal, &mut faults)?;
        if faults.is_empty()
            && let Some(column) = self.topic.event_id
        {
            let ids = rows.column(column);
            let without: Vec<usize> = (0..payloads.len()).filter(|index| ids.is_null(*index)).collect();
            for index in &without {
                let id = match key {
                    Some(key) => key.of_item(*index),
                    // In the order of time, as ids in tables should be.
                    None => Uuid::now_v7().to_string(),
                };
                add_field(&mut payloads[*index], &self.topic.columns[column].name, &id.into());
            }
            if !without.is_empty() {
                // An id is bounded too, and so is a message with it.
                faults = all(&payloads)?.1.into_iter().collect();
            }
        }
        if !faults.is_empty() {
            self.add_further(&payloads, &mut faults, (request, now_ms))?;
            return Err(faults.problem());
        }
        let keys = self.entrance.key.map(|column| rows.column(column).as_string::<i32>());
        let messages = payloads.into_iter().enumerate().map(|(index, payload)| {
            let key = keys.filter(|keys| keys.is_valid(index)).map(|keys| keys.value(index).as_bytes().to_vec());
            Outgoing { key, payload, headers: Vec::new() }
        });
        Ok(messages.collect())
    }

    /// The rows that the stream would make of the payloads, and what it would refuse, each for its
    /// first fault.
    pub(super) fn decoded<'a>(
        &self,
        payloads: impl Iterator<Item = &'a [u8]>,
        request: &Request<'_>,
        now_ms: i64,
    ) -> Result<(RecordBatch, BTreeMap<usize, Fault>), Problem> {
        let mut decoder = Decoder::new(&self.topic, request.shared.settings.time_zone);
        let decoded = decoder.decode(payloads.map(Some));
        let (rows, forbidden) = self.rules.apply(decoded.columns, now_ms).map_err(QueryError::from)?;
        let refused = decoded.refused.into_iter().map(|refusal| (refusal.row, (refusal.reason, refusal.detail)));
        let faults = refused.chain(forbidden).map(|(row, (reason, detail))| (row, self.fault(reason, detail)));
        Ok((rows, faults.collect()))
    }

    /// The words begin with the field that they are about.
    fn fault(&self, reason: Reason, detail: String) -> Fault {
        let is_about =
            |name: &&String| detail.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with([':', ' ']));
        let field = self.topic.columns.iter().map(|column| &column.name).find(is_about);
        Fault { field: field.cloned(), code: reason.name(), detail }
    }

    /// What is written within row filters is what is seen within them.
    fn add_rows_of_others(
        &self,
        rows: &RecordBatch,
        principal: &Principal,
        faults: &mut Faults,
    ) -> Result<(), Problem> {
        for (name, values) in principal.filters().iter() {
            let column = rows.column_by_name(name);
            let column = column.ok_or_else(|| Problem::without_filter_column(&self.topic.name, name))?;
            for row in 0..rows.num_rows() {
                let is_of_others = text(column, row).is_none_or(|text| !values.contains(&text));
                // A row that is refused is null everywhere.
                if is_of_others && faults.of(row).is_empty() {
                    let detail = format!("{name} is not one that this key may write");
                    faults.add(row, Fault { field: Some(name.to_owned()), code: OF_OTHERS, detail });
                }
            }
        }
        Ok(())
    }
}

fn text(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) { None } else { array_value_to_string(column, row).ok() }
}

/// Adds a field behind all others: of one that occurs twice the last one counts.
pub(super) fn add_field(payload: &mut Vec<u8>, name: &str, value: &Value) {
    let end = payload.trim_ascii_end().len().saturating_sub(1);
    payload.truncate(end);
    let comma = if payload.trim_ascii_end().ends_with(b"{") { "" } else { "," };
    payload.extend_from_slice(format!("{comma}{}:{value}}}", Value::from(name)).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_added_behind_the_others() {
        let mut payload = b"{\"a\": 1 } \n".to_vec();
        add_field(&mut payload, "id", &"k\"/0".into());
        assert_eq!(String::from_utf8_lossy(&payload), "{\"a\": 1 ,\"id\":\"k\\\"/0\"}");
        let mut empty = b" { }".to_vec();
        add_field(&mut empty, "id", &Value::Null);
        assert_eq!(String::from_utf8_lossy(&empty), " { \"id\":null}");
    }
}
