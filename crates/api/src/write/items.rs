//! The items of a body: objects as the topic has them, or what another program sends.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use vitral_catalog::Input;
use vitral_schemas::topic::Topic;

use super::{ITEMS_MAX, foreign};
use crate::problem::{ItemsProblem, Problem};

/// The payload of each item, not yet held to the topic's rules.
pub(super) async fn payloads(
    body: &[u8],
    topic: &Topic,
    inputs: &[Input],
    now_ms: i64,
) -> Result<Vec<Vec<u8>>, ItemsProblem> {
    let whole: &RawValue =
        serde_json::from_slice(body).map_err(|error| Problem::not_items(format!("the body is not JSON: {error}")))?;
    let items = match whole.get().as_bytes().first() {
        Some(b'[') => {
            let items: Result<Vec<&RawValue>, _> = serde_json::from_str(whole.get());
            let items = items.map_err(|error| Problem::not_items(format!("the body is not JSON: {error}")))?;
            if items.len() > ITEMS_MAX {
                return Err(Problem::too_many_items(items.len(), ITEMS_MAX).into());
            }
            items.into_iter().map(|item| item.get().as_bytes().to_vec()).collect()
        }
        Some(b'{') => match input_of(whole, topic, inputs) {
            Some(input) => foreign::payloads(input, whole, topic, now_ms).await?,
            None => vec![whole.get().as_bytes().to_vec()],
        },
        _ => return Err(Problem::not_items("the body is neither an object nor an array").into()),
    };
    if items.is_empty() {
        return Err(Problem::not_items("the body has no items").into());
    }
    Ok(items)
}

/// The program that sends such objects: they have its list, and no time of their own.
fn input_of<'a>(whole: &RawValue, topic: &Topic, inputs: &'a [Input]) -> Option<&'a Input> {
    if inputs.is_empty() {
        return None;
    }
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(whole.get()).ok()?;
    if fields.contains_key(&topic.columns[topic.event_time].name) {
        return None;
    }
    let has_list = |input: &&Input| {
        let list = input.lists.first().and_then(|list| fields.get(list.split('.').next()?));
        list.is_some_and(|list| list.get().starts_with(['[', '{']))
    };
    inputs.iter().find(has_list)
}
