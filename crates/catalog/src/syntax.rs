//! What all kinds of statements are made of: names, texts, and the options of `WITH`.

use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, ObjectNamePart, SqlOption, Value};

use super::{Diagnostic, Position};
use crate::position::InFile;

/// Of what a catalog declares.
const NAME_BYTES_MAX: usize = 128;

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
            Err(position.error(format!("{name} has signs that a name cannot have"), "use letters, digits and _".into()))
        }
        // With what is put before and behind it, a folder's name holds 255 bytes.
        [ObjectNamePart::Identifier(ident)] if ident.value.len() > NAME_BYTES_MAX => Err(position.error(
            format!("a name of {} bytes is too long", ident.value.len()),
            format!("use at most {NAME_BYTES_MAX}: folders, addresses and tables of databases are called by it"),
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

/// The options of a `WITH (key = value, ...)`; each must be taken, so that an unknown one is an error.
#[derive(Default)]
pub(super) struct Options(Vec<(String, Expr, Position)>);

impl Options {
    pub(super) fn read(options: &[SqlOption], position: &Position) -> Result<Self, Diagnostic> {
        options
            .iter()
            .map(|option| match option {
                SqlOption::KeyValue { key, value } => {
                    Ok((key.value.to_lowercase(), value.clone(), position.at(key.span)))
                }
                other => Err(position.error(format!("option {other} has no value"), "write key = value".into())),
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Self)
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.0.iter().any(|(name, ..)| name == key)
    }

    fn take(&mut self, key: &str) -> Option<(Expr, Position)> {
        let index = self.0.iter().position(|(name, ..)| name == key)?;
        let (_, value, position) = self.0.remove(index);
        Some((value, position))
    }

    pub(super) fn take_text(&mut self, key: &str) -> Result<Option<(String, Position)>, Diagnostic> {
        let Some((value, position)) = self.take(key) else { return Ok(None) };
        match text_literal(&value) {
            Some(text) => Ok(Some((text, position))),
            None => Err(position.error(format!("option {key} is {value}, not a text"), format!("write {key} = '...'"))),
        }
    }

    pub(super) fn take_count(&mut self, key: &str) -> Result<Option<usize>, Diagnostic> {
        let Some((value, position)) = self.take(key) else { return Ok(None) };
        value
            .to_string()
            .parse()
            .map(Some)
            .map_err(|_| position.error(format!("option {key} is {value}, not a count"), format!("write {key} = 100")))
    }

    /// The same with its place.
    pub(super) fn take_count_at(&mut self, key: &str) -> Result<Option<(usize, Position)>, Diagnostic> {
        let at = self.0.iter().find(|(name, ..)| name == key).map(|(.., position)| position.clone());
        Ok(self.take_count(key)?.zip(at))
    }

    /// Errors on an option that nobody took.
    pub(super) fn finish(self) -> Result<(), Diagnostic> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _, position)) => {
                Err(position
                    .error(format!("option {key} is not known here"), "remove it or correct its spelling".into()))
            }
        }
    }
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
