//! Texts on a terminal. Cells of files, names and payloads are other people's, and a terminal obeys
//! what is in them: it changes colours, rewrites lines, sets its title or answers as if somebody
//! had typed. So they are shown instead.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::util::pretty::pretty_format_batches;

/// A text of several lines, ours, with what is in it: every character that a terminal would obey is
/// written as its number, as in `\u{1b}`. Line ends and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |character| !['\n', '\t'].contains(&character) && is_obeyed(character))
}

/// A text of others within a line of ours.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed)
}

/// The same for JSON, which has a form of its own for them.
pub fn visible_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && is_obeyed(character) {
            let mut units = [0; 2];
            character.encode_utf16(&mut units).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Rows as a table, each in one line.
pub fn table(batches: &[RecordBatch]) -> Result<String, NotShown> {
    let shown: Result<Vec<_>, _> = batches.iter().map(with_visible_texts).collect();
    Ok(shown.and_then(|batches| pretty_format_batches(&batches).map(|table| table.to_string()))?)
}

/// Rows that have no form as text.
#[derive(Debug, thiserror::Error)]
#[error("the rows cannot be shown")]
pub struct NotShown(#[from] ArrowError);

fn with_visible_texts(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema_ref();
    let column = |(column, field): (&ArrayRef, &Arc<Field>)| -> Result<(ArrayRef, Field), ArrowError> {
        let field = field.as_ref().clone().with_name(one_line(field.name()));
        if !matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            return Ok((Arc::clone(column), field));
        }
        let texts = cast(column, &DataType::Utf8)?;
        let texts: StringArray = texts.as_string::<i32>().iter().map(|text| text.map(one_line)).collect();
        Ok((Arc::new(texts), field.with_data_type(DataType::Utf8)))
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(column).collect::<Result<Vec<_>, _>>()?;
    let (columns, fields): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_escaped(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and those that change the order or the lines of what is around them.
fn is_obeyed(character: char) -> bool {
    let changes_order =
        matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || changes_order || matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let title = "\u{1b}]0;x\u{7}\u{1b}[2Jcaf\u{e9}\r\u{9b}1m\n\u{202e}txt";
        let expected = r"\u{1b}]0;x\u{7}\u{1b}[2Jcafé\r\u{9b}1m";
        let expected = expected.replace("\\r", "\\u{d}");
        assert_eq!(visible(title), format!("{expected}\n\\u{{202e}}txt"));
        assert_eq!(one_line("a\nb\tc"), r"a\u{a}b\u{9}c");
        assert!(matches!(visible("maçã 1\n🍎"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_stays_json() {
        let value = serde_json::json!({ "found": "a\u{1b}[0m\u{9b}\u{7f}\u{202e}\n" });
        let shown = visible_json(&serde_json::to_string_pretty(&value).expect("JSON"));
        assert!(!shown.contains(['\u{1b}', '\u{9b}', '\u{7f}', '\u{202e}']), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
    }

    #[test]
    fn a_cell_takes_one_line_of_a_table() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a\n\u{1b}[31mVERDICT: ok"), None]));
        let batch = RecordBatch::try_from_iter([("x\u{1b}", texts)]).expect("a batch");
        let shown = table(&[batch]).expect("a table");
        assert_eq!(shown.lines().count(), 6, "{shown}");
        assert!(shown.contains(r"a\u{a}\u{1b}[31mVERDICT: ok") && shown.contains(r"x\u{1b}"), "{shown}");
    }
}
