//! Items held to everything that the stream would hold them to, and to what their sender may write.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::util::display::array_value_to_string;
use serde_json::{Value, json};
use uuid::Uuid;
use vitral_connect::Outgoing;
use vitral_messages::decode::Decoder;
use vitral_query::{Principal, QueryError};
use vitral_schemas::verdict::Reason;

use super::repeats::RepeatKey;
use super::{Prepared, Request};
use crate::problem::{ItemsProblem, Problem};

/// Why an item is refused that the stream would take: the sender may not write it.
const OF_OTHERS: &str = "fora_do_filtro";

/// What is wrong with items, by their place.
#[derive(Default)]
struct Faults(BTreeMap<usize, Fault>);

struct Fault {
    field: Option<String>,
    code: &'static str,
    detail: String,
}

impl Faults {
    fn problem(self) -> ItemsProblem {
        let items = self.0.iter().map(|(index, Fault { field, code, detail })| {
            json!({ "indice": index, "campo": field, "codigo": code, "detalhe": detail })
        });
        let items: Value = items.collect();
        let are_of_others = self.0.values().all(|fault| fault.code == OF_OTHERS);
        let problem = match self.0.len() {
            count if are_of_others => Problem::items_of_others(count),
            count => Problem::invalid_items(count),
        };
        ItemsProblem::new(problem, "erros", items)
    }
}

impl Prepared {
    /// The messages that these items are, each with an id if the topic's events have one; a problem
    /// if any of them is not right.
    pub(super) fn checked(
        &self,
        mut payloads: Vec<Vec<u8>>,
        key: Option<&RepeatKey>,
        (request, now_ms): (&Request<'_>, i64),
    ) -> Result<Vec<Outgoing>, ItemsProblem> {
        let (rows, mut faults) = self.decoded(&payloads, request, now_ms)?;
        self.add_rows_of_others(&rows, &request.principal, &mut faults)?;
        if faults.0.is_empty()
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
                add_field(&mut payloads[*index], &self.topic.columns[column].name, &id);
            }
            if !without.is_empty() {
                // An id is bounded too, and so is a message with it.
                faults = self.decoded(&payloads, request, now_ms)?.1;
            }
        }
        if !faults.0.is_empty() {
            return Err(faults.problem());
        }
        let keys = self.entrance.key.map(|column| rows.column(column).as_string::<i32>());
        let messages = payloads.into_iter().enumerate().map(|(index, payload)| {
            let key = keys.filter(|keys| keys.is_valid(index)).map(|keys| keys.value(index).as_bytes().to_vec());
            Outgoing { key, payload, headers: Vec::new() }
        });
        Ok(messages.collect())
    }

    /// The rows that the stream would make of the payloads, and what it would refuse.
    fn decoded(
        &self,
        payloads: &[Vec<u8>],
        request: &Request<'_>,
        now_ms: i64,
    ) -> Result<(RecordBatch, Faults), Problem> {
        let mut decoder = Decoder::new(&self.topic, request.shared.settings.time_zone);
        let decoded = decoder.decode(payloads.iter().map(|payload| Some(payload.as_slice())));
        let (rows, forbidden) = self.rules.apply(decoded.columns, now_ms).map_err(QueryError::from)?;
        let refused = decoded.refused.into_iter().map(|refusal| (refusal.row, (refusal.reason, refusal.detail)));
        let faults = refused.chain(forbidden).map(|(row, (reason, detail))| (row, self.fault(reason, detail)));
        Ok((rows, Faults(faults.collect())))
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
                if text(column, row).is_none_or(|text| !values.contains(&text)) {
                    faults.0.entry(row).or_insert_with(|| Fault {
                        field: Some(name.to_owned()),
                        code: OF_OTHERS,
                        detail: format!("{name} is not one that this key may write"),
                    });
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
fn add_field(payload: &mut Vec<u8>, name: &str, value: &str) {
    let end = payload.trim_ascii_end().len().saturating_sub(1);
    payload.truncate(end);
    payload.extend_from_slice(format!(",{}:{}}}", Value::from(name), Value::from(value)).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_added_behind_the_others() {
        let mut payload = b"{\"a\": 1 } \n".to_vec();
        add_field(&mut payload, "id", "k\"/0");
        assert_eq!(String::from_utf8_lossy(&payload), "{\"a\": 1 ,\"id\":\"k\\\"/0\"}");
    }
}
