//! Which of a file's columns becomes which of the topic's, and a row's cells as the message that would have said the same.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use vitral_schemas::catalog::ImportTarget;
use vitral_schemas::topic::{ColumnKind, Topic};

use super::ImportError;
use super::forms::{self, NumberForms, Numbers};
use super::source::{Cell, Row};

#[derive(Debug)]
pub(super) struct Mapping {
    /// For each of the file's columns the topic's that it fills.
    columns: Vec<Option<(String, ColumnKind)>>,
    /// Fields that every row has.
    constants: Vec<(String, String)>,
    /// The file's columns that fill none.
    pub(super) unused: Vec<String>,
}

impl Mapping {
    /// By `named` first, then by the names' likeness: `ID Produto` is `id_produto`.
    pub(super) fn new(
        file: &str,
        header: &[String],
        topic: &Topic,
        target: &ImportTarget,
        named: &BTreeMap<String, String>,
    ) -> Result<Self, ImportError> {
        let wrong = |reason: String| ImportError::Mapping {
            file: file.to_owned(),
            reason,
            found: header.join(", "),
            columns: topic.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", "),
        };
        if let Some(stranger) = named.keys().find(|name| !header.contains(name)) {
            return Err(wrong(format!("it has no column {stranger}")));
        }
        let mut columns = Vec::new();
        let mut unused = Vec::new();
        let mut filled = BTreeMap::<String, String>::new();
        for name in header {
            let wanted = named.get(name).cloned().unwrap_or_else(|| plain(name));
            let wanted = target.aliases.get(&wanted).cloned().unwrap_or(wanted);
            let column = topic.columns.iter().find(|column| column.name == wanted);
            let is_constant = target.constants.iter().any(|(constant, _)| *constant == wanted);
            match column {
                Some(column) if !is_constant => {
                    if let Some(other) = filled.insert(wanted.clone(), name.clone()) {
                        return Err(wrong(format!("both {other} and {name} would fill {wanted}")));
                    }
                    columns.push(Some((wanted, column.kind)));
                }
                None if named.contains_key(name) => {
                    return Err(wrong(format!("there is no column {wanted} for {name}")));
                }
                _ => {
                    unused.push(name.clone());
                    columns.push(None);
                }
            }
        }
        let time = &topic.columns[topic.event_time].name;
        if !filled.contains_key(time) {
            return Err(wrong(format!("none of its columns fills {time}")));
        }
        Ok(Self { columns, constants: target.constants.clone(), unused })
    }

    /// Looks at a row's numbers.
    pub(super) fn see(&self, row: &Row, seen: &mut NumberForms) {
        for (cell, column) in row.cells.iter().zip(&self.columns) {
            if let (Some(cell), Some((_, ColumnKind::Decimal { .. } | ColumnKind::Integer))) = (cell, column)
                && !cell.is_typed
            {
                seen.see(&cell.text);
            }
        }
    }

    /// The row as a JSON object. A cell that cannot be read as its column wants it stands in it as it is.
    pub(super) fn message(&self, row: &Row, numbers: Numbers) -> Vec<u8> {
        let mut message = Map::new();
        for (name, text) in &self.constants {
            message.insert(name.clone(), Value::String(text.clone()));
        }
        for (cell, column) in row.cells.iter().zip(&self.columns) {
            if let (Some(cell), Some((name, kind))) = (cell, column) {
                message.insert(name.clone(), value(cell, *kind, numbers));
            }
        }
        Value::Object(message).to_string().into_bytes()
    }
}

fn value(cell: &Cell, kind: ColumnKind, numbers: Numbers) -> Value {
    let numbers = if cell.is_typed { Numbers::Plain } else { numbers };
    let cell = cell.text.as_str();
    let text = |text: String| Value::String(text);
    match kind {
        ColumnKind::Text | ColumnKind::TextOrNumber => text(cell.trim().to_owned()),
        ColumnKind::Decimal { .. } => text(forms::number(cell, numbers).unwrap_or_else(|| cell.to_owned())),
        ColumnKind::Integer => match forms::number(cell, numbers).as_deref().map(whole) {
            Some(Some(number)) => Value::Number(number.into()),
            Some(None) | None => text(cell.to_owned()),
        },
        ColumnKind::Timestamp => text(forms::time(cell).unwrap_or_else(|| cell.to_owned())),
        ColumnKind::Boolean => match cell.trim().to_lowercase().as_str() {
            "true" | "sim" | "s" | "1" | "verdadeiro" => Value::Bool(true),
            "false" | "não" | "nao" | "n" | "0" | "falso" => Value::Bool(false),
            _ => text(cell.to_owned()),
        },
    }
}

/// A number without a fraction, or with one of zeros.
fn whole(number: &str) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    fraction.bytes().all(|byte| byte == b'0').then(|| whole.parse().ok()).flatten()
}

/// Lower case, without accents, words joined by underscores.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    for character in name.trim().to_lowercase().chars() {
        match character {
            'á' | 'à' | 'â' | 'ã' | 'ä' => plain.push('a'),
            'é' | 'è' | 'ê' | 'ë' => plain.push('e'),
            'í' | 'ì' | 'î' | 'ï' => plain.push('i'),
            'ó' | 'ò' | 'ô' | 'õ' | 'ö' => plain.push('o'),
            'ú' | 'ù' | 'û' | 'ü' => plain.push('u'),
            'ç' => plain.push('c'),
            'ñ' => plain.push('n'),
            character if character.is_ascii_alphanumeric() => plain.push(character),
            _ if plain.is_empty() || plain.ends_with('_') => {}
            _ => plain.push('_'),
        }
    }
    plain.trim_end_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_plain() {
        assert_eq!(plain(" ID do Pedido "), "id_do_pedido");
        assert_eq!(plain("Preço (R$)"), "preco_r");
        assert_eq!(plain("região"), "regiao");
    }
}
