//! What a service answers: rows of texts. Numbers are kept as they are written, and what is wrong
//! with one row is said of that row alone.

use std::collections::HashMap;

use serde_json::value::RawValue;
use vitral_schemas::lookup::LookupTable;

/// A row of the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A text for each of the table's columns.
    Of(Vec<Option<String>>),
    /// It is there, and cannot be used.
    Unusable {
        /// Whose it is, if it says so.
        key: Option<String>,
        /// What is wrong with it.
        why: String,
    },
}

type Fields<'a> = HashMap<String, &'a RawValue>;

/// The row that was asked for by this key; the error says what else the answer is.
pub(super) fn one(table: &LookupTable, key: &str, body: &[u8]) -> Result<Row, String> {
    let answer: &RawValue = serde_json::from_slice(body).map_err(not_json)?;
    let Some(fields) = fields(answer) else { return Err(format!("{} is not an object", start(answer.get()))) };
    // Whose row it is was asked for.
    Ok(row(table, &fields, Some(key)))
}

/// The rows of an array; the error says what else the answer is.
pub(super) fn many(table: &LookupTable, body: &[u8]) -> Result<Vec<Row>, String> {
    let answer: &RawValue = serde_json::from_slice(body).map_err(not_json)?;
    let rows: Vec<&RawValue> = serde_json::from_str(answer.get())
        .map_err(|_| format!("an array of objects was expected, not {}", start(answer.get())))?;
    let rows = rows.into_iter().map(|each| match fields(each) {
        Some(fields) => row(table, &fields, None),
        None => Row::Unusable { key: None, why: format!("{} is not an object", start(each.get())) },
    });
    Ok(rows.collect())
}

fn row(table: &LookupTable, fields: &Fields<'_>, asked: Option<&str>) -> Row {
    let mut values = Vec::with_capacity(table.columns.len());
    let (mut key, mut wrong) = (asked.map(str::to_owned), None);
    for column in &table.columns {
        let is_key = column.name == table.key;
        let value = match (asked, fields.get(&column.name)) {
            (Some(asked), _) if is_key => Ok(Some(asked.to_owned())),
            (_, None) => Ok(None),
            (_, Some(value)) => text(value),
        };
        match value {
            Ok(value) => {
                if is_key {
                    key.clone_from(&value);
                }
                values.push(value);
            }
            Err(why) => wrong = Some(format!("the field {} {why}", column.name)),
        }
    }
    match wrong {
        None => Row::Of(values),
        Some(why) => Row::Unusable { key, why },
    }
}

fn fields(value: &RawValue) -> Option<Fields<'_>> {
    serde_json::from_str(value.get()).ok()
}

/// A single value as its text; numbers as they are written, with every digit.
fn text(value: &RawValue) -> Result<Option<String>, String> {
    let written = value.get();
    match written.as_bytes().first() {
        Some(b'"') => serde_json::from_str(written)
            .map(Some)
            .map_err(|error| format!("is not a string that can be read: {error}")),
        Some(b'[' | b'{') => Err("is not a single value".to_owned()),
        Some(b'n') => Ok(None),
        _ => Ok(Some(written.to_owned())),
    }
}

fn not_json(error: serde_json::Error) -> String {
    format!("the answer is not JSON: {error}")
}

/// For an error's words.
fn start(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use vitral_schemas::diagnostic::Position;
    use vitral_schemas::lookup::{LookupOrigin, NamedConnection, OnFailure};
    use vitral_schemas::topic::{Column, ColumnKind};

    use super::*;

    fn table() -> LookupTable {
        let connection = NamedConnection { name: "crm".to_owned(), position: Position::file("a.sql") };
        LookupTable {
            name: "perfis".to_owned(),
            columns: vec![
                Column::new("chave", ColumnKind::Text),
                Column::new("limite", ColumnKind::Decimal { precision: 18, scale: 2 }),
            ],
            key: "chave".to_owned(),
            origin: LookupOrigin::Http { connection, path: "/perfis".to_owned() },
            cache_ms: 0,
            timeout_ms: 1_000,
            retries: 0,
            on_failure: OnFailure::Null,
        }
    }

    fn of(key: &str, value: Option<&str>) -> Row {
        Row::Of(vec![Some(key.to_owned()), value.map(str::to_owned)])
    }

    #[test]
    fn numbers_keep_every_digit() {
        let body = br#"[{"chave": "a", "limite": 1234567890123456.78, "outra": [1, {"x": 1e400}]}, {"limite": "0.10", "chave": 7},
            {"chave": "c", "limite": null}, {"chave": "\u0064"}]"#;
        let rows = many(&table(), body).expect("rows");
        let expected = [of("a", Some("1234567890123456.78")), of("7", Some("0.10")), of("c", None), of("d", None)];
        assert_eq!(rows, expected);
        let row = one(&table(), "b", br#"{"chave": [], "limite": 100000000000000000000.10}"#).expect("a row");
        assert_eq!(row, of("b", Some("100000000000000000000.10")), "whose row it is was asked for");
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said_of_that_row() {
        let body = br#"[{"chave": "a", "limite": [1]}, 7, {"limite": {}}, {"chave": "b", "limite": "1"}, {"chave": "\ud800"}]"#;
        let rows = many(&table(), body).expect("rows");
        let keys = rows.iter().map(|row| match row {
            Row::Unusable { key, why } => (key.as_deref(), why.contains("limite") || why.contains("chave")),
            Row::Of(_) => (Some("usable"), true),
        });
        let expected = [(Some("a"), true), (None, false), (None, true), (Some("usable"), true), (None, true)];
        assert_eq!(keys.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_answer_that_is_something_else_is_said() {
        for (body, words) in
            [("<html>", "not JSON"), (r#"{"chave": "a"}"#, "array"), ("[NaN]", "not JSON"), ("", "not JSON")]
        {
            let why = many(&table(), body.as_bytes()).expect_err(body);
            assert!(why.contains(words), "{why}");
        }
        assert!(one(&table(), "a", b"[1]").expect_err("an array").contains("not an object"));
    }
}
