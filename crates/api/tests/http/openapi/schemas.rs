//! As much of JSON Schema as the description uses.

use serde_json::Value;

const NOTHING: &Value = &Value::Null;

/// What a reference leads to, or the value itself; null if it leads nowhere.
pub fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap_or(NOTHING),
        None => value,
    }
}

/// Where a value is not what its schema says.
pub fn wrong(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let schema = resolved(document, schema);
    let mut found = Vec::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        found.extend(wrong(document, part, value, at));
    }
    if let Some(forms) = schema["anyOf"].as_array()
        && forms.iter().all(|form| !wrong(document, form, value, at).is_empty())
    {
        found.push(format!("{at} is none of its forms"));
    }
    if !is_of_type(&schema["type"], value) {
        found.push(format!("{at} is {value}, not {}", schema["type"]));
        return found;
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        found.push(format!("{at} is {value}, not one of {}", schema["enum"]));
    }
    found.extend(wrong_scalar(schema, value).map(|why| format!("{at} is {value}: {why}")));
    if let Some(fields) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                found.push(format!("{at} has no {name}"));
            }
        }
        for (name, field) in fields {
            let at = format!("{at}/{name}");
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Bool(false)) => found.push(format!("{at} is not described")),
                (Value::Null, others @ Value::Object(_)) => found.extend(wrong(document, others, field, &at)),
                (Value::Null, _) => {}
                (described, _) => found.extend(wrong(document, described, field, &at)),
            }
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(wrong(document, &schema["items"], item, &format!("{at}/{index}")));
    }
    found
}

fn is_of_type(wanted: &Value, value: &Value) -> bool {
    let is = |wanted: &str| match wanted {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is not a type"),
    };
    match wanted {
        Value::Null => true,
        Value::String(one) => is(one),
        several => several.as_array().expect("types").iter().filter_map(Value::as_str).any(is),
    }
}

fn wrong_scalar(schema: &Value, value: &Value) -> Option<String> {
    if let (Some(step), Some(number)) = (schema["multipleOf"].as_f64(), value.as_f64()) {
        let times = number / step;
        if (times - times.round()).abs() > 1e-6 {
            return Some(format!("no multiple of {step}"));
        }
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        return Some(format!("less than {least}"));
    }
    if let (Some("date-time"), Some(text)) = (schema["format"].as_str(), value.as_str()) {
        return chrono::DateTime::parse_from_rfc3339(text).err().map(|error| error.to_string());
    }
    None
}
