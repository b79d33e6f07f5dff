//! Notifications that fail while others are accepted, as they are noted next to the transitions:
//! JSON, replaced when they change.

use serde_json::{Value, json};

use super::Delay;

pub(super) fn written(delays: &[Delay]) -> String {
    let each = delays.iter().map(|Delay { id, destination, attempts, reason }| {
        json!({ "id": id, "destino": destination, "tentativas": attempts, "motivo": reason })
    });
    Value::from_iter(each).to_string()
}

/// What cannot be read is not known: it is a note, and no delivery depends on it.
pub(super) fn read(text: &str) -> Vec<Delay> {
    let Ok(Value::Array(found)) = serde_json::from_str(text) else { return Vec::new() };
    let delay = |value: &Value| {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let attempts = value["tentativas"].as_i64()?;
        Some(Delay { id: text("id")?, destination: text("destino")?, attempts, reason: text("motivo")? })
    };
    found.iter().filter_map(delay).collect()
}
