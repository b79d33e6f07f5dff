//! What all kinds of statements are made of: names, texts and lengths of time.

use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, ObjectNamePart, Value};

use super::{Diagnostic, Position};

/// Of what a catalog declares.
const NAME_BYTES_MAX: usize = 128;

/// Of a topic, in Kafka.
pub(super) const TOPIC_BYTES_MAX: usize = 249;

/// Whether a topic of Kafka can have this name.
pub(super) fn is_topic_name(name: &str, bytes_max: usize) -> bool {
    let is_sign = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '.' | '_' | '-');
    (1..=bytes_max).contains(&name.len()) && name.chars().all(is_sign) && !matches!(name, "." | "..")
}

pub(super) fn push_new<T>(
    items: &mut Vec<T>,
    item: T,
    name: impl Fn(&T) -> &String,
    position: &Position,
) -> Result<(), Vec<Diagnostic>> {
    if items.iter().any(|old| name(old) == name(&item)) {
        return Err(vec![position.error(
            format!("{} is declared twice in this folder", name(&item)),
            "rename or remove one of the two; a further folder of catalog.dirs may replace it".into(),
        )]);
    }
    items.push(item);
    Ok(())
}

pub(super) fn simple_name(name: &ObjectName, position: &Position) -> Result<String, Diagnostic> {
    match name.0.as_slice() {
        // Folders and addresses are called by it.
        [ObjectNamePart::Identifier(ident)] if !ident.value.chars().all(|c| c.is_alphanumeric() || c == '_') => {
            Err(position
                .error(format!("{name} has characters that a name cannot have"), "use letters, digits and _".into()))
        }
        // With what is put before and behind it, a folder's name holds 255 bytes.
        [ObjectNamePart::Identifier(ident)] if ident.value.len() > NAME_BYTES_MAX => Err(position.error(
            format!("a name of {} bytes is too long", ident.value.len()),
            format!("use at most {NAME_BYTES_MAX}: folders, addresses and tables of databases are named after it"),
        )),
        [ObjectNamePart::Identifier(ident)] => Ok(ident_text(ident)),
        _ => Err(position.error(format!("{name} is not a simple name"), "write a name without dots".into())),
    }
}

/// As SQL looks it up: a quoted name is taken literally.
pub(super) fn ident_text(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

pub(super) fn text_literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// What to write for a length of time, with an example.
pub(super) fn duration_like(example: &str) -> String {
    format!("write a count of milliseconds, seconds, minutes, hours or days, such as '{example}'")
}

/// `'10 seconds'`, `'1 hour'`: a count and a unit, in milliseconds.
pub fn duration_ms(text: &str) -> Option<i64> {
    let (count, unit) = text.trim().split_once(char::is_whitespace)?;
    let count: i64 = count.parse().ok().filter(|count| *count >= 0)?;
    let unit = unit.trim().to_lowercase();
    let unit_ms = match unit.trim_end_matches('s') {
        _ if unit == "ms" => 1,
        "millisecond" => 1,
        "second" => 1_000,
        "minute" => 60_000,
        "hour" => 3_600_000,
        "day" => 86_400_000,
        _ => return None,
    };
    count.checked_mul(unit_ms)
}

/// Whether a path stays within the folder that it starts from.
pub(super) fn is_below(path: &str) -> bool {
    std::path::Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)))
}
