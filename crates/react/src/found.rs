//! What an alert's query has found: its keys, each with its rows.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use siphasher::sip128::{Hasher128, SipHasher13};
use vitral_query::{Format, QueryError, RowStream, Rows};

/// More keys are rather a query without a condition than so many alerts.
const KEYS_MAX: usize = 10_000;
/// More rows of one key are counted and not shown.
const SHOWN_ROWS_MAX: usize = 10;
/// A longer key is shortened: it is part of ids, headers and tables. Anybody's texts may be keys,
/// so that none may stop an alert.
const KEY_BYTES_MAX: usize = 512;
const CONTENT_BYTES_MAX: usize = 64 << 10;
/// How a key is written that is null. A text that looks like it begins with a backslash.
const NULL: &str = "(nulo)";

/// Keys and their rows.
#[derive(Debug, Clone, Default)]
pub struct Found {
    keys: BTreeMap<String, KeyRows>,
    batches: Vec<RecordBatch>,
}

#[derive(Debug, Clone, Default)]
struct KeyRows {
    count: i64,
    /// Batch and row of the first of them.
    first: Vec<(usize, usize)>,
    /// For rows that are not in a batch.
    content: Option<String>,
}

impl Found {
    /// Keys with one row each, which is given as a JSON object.
    pub fn of_rows(rows: impl IntoIterator<Item = (String, String)>) -> Self {
        let keys = rows
            .into_iter()
            .map(|(key, row)| (key, KeyRows { count: 1, first: Vec::new(), content: Some(format!("[{row}]")) }));
        Self { keys: keys.collect(), batches: Vec::new() }
    }

    /// Reads a query's rows to the end. The second kind of error is a sentence about these rows.
    pub(crate) async fn read(mut rows: RowStream, key: &[String]) -> Result<Result<Self, String>, QueryError> {
        let mut found = Self::default();
        while let Some(batch) = rows.next().await.transpose()? {
            if batch.num_rows() == 0 {
                continue;
            }
            if let Err(reason) = found.add(batch, key)? {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(found))
    }

    fn add(&mut self, batch: RecordBatch, key: &[String]) -> Result<Result<(), String>, QueryError> {
        let options = FormatOptions::default().with_null(NULL);
        let columns = key.iter().map(|name| {
            let column = batch.column_by_name(name);
            column.ok_or_else(|| QueryError::Unavailable(name.clone()))
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let cells = columns.into_iter().map(|column| Ok((column, ArrayFormatter::try_new(column, &options)?)));
        let cells = cells.collect::<Result<Vec<_>, ArrowError>>()?;
        let index = self.batches.len();
        for row in 0..batch.num_rows() {
            let key = shortened(key_of(&cells, row));
            if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(&key) {
                return Ok(Err(format!("its rows have more than {KEYS_MAX} keys: give the query a condition")));
            }
            let rows = self.keys.entry(key).or_default();
            rows.count += 1;
            if rows.first.len() < SHOWN_ROWS_MAX {
                rows.first.push((index, row));
            }
        }
        drop(cells);
        self.batches.push(batch);
        Ok(Ok(()))
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Whether a key is among the rows.
    pub fn contains(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// How many rows a key has.
    pub fn count(&self, key: &str) -> i64 {
        self.keys.get(key).map_or(0, |rows| rows.count)
    }

    /// The first rows of a key, as a JSON array.
    pub fn content(&self, key: &str) -> String {
        let Some(rows) = self.keys.get(key) else { return "[]".to_owned() };
        if let Some(content) = &rows.content {
            return content.clone();
        }
        let rows = rows.first.iter().map(|(batch, row)| self.batches[*batch].slice(*row, 1));
        json(rows).unwrap_or_else(|| "[]".to_owned())
    }
}

/// The first rows of a report, as a JSON array, and how many there are.
pub(crate) async fn read_report(mut rows: RowStream, shown: usize) -> Result<(i64, String), QueryError> {
    let (mut count, mut first) = (0, Vec::new());
    while let Some(batch) = rows.next().await.transpose()? {
        let missing = shown.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        first.push(batch.slice(0, batch.num_rows().min(missing)));
        count += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
    }
    Ok((count, json(first.into_iter()).unwrap_or_else(|| "[]".to_owned())))
}

/// None for types that JSON has no form for, or for no rows.
fn json(batches: impl Iterator<Item = RecordBatch>) -> Option<String> {
    let mut rows: Option<Rows> = None;
    for batch in batches {
        let schema: Arc<Schema> = batch.schema();
        let rows = rows.get_or_insert_with(|| Rows::new(Format::Json, &schema));
        if rows.waiting() < CONTENT_BYTES_MAX {
            rows.push(&batch, 0, CONTENT_BYTES_MAX).ok()?;
        }
    }
    String::from_utf8(rows?.finish()).ok()
}

/// One column is its text; several are joined so that no two keys come to the same.
fn key_of(cells: &[(&ArrayRef, ArrayFormatter<'_>)], row: usize) -> String {
    let text = |(column, cell): &(&ArrayRef, ArrayFormatter<'_>)| {
        let text = cell.value(row).to_string();
        // Null and a text that says so are two keys.
        let looks_null = column.is_valid(row) && text.trim_start_matches('\\') == NULL;
        (text, looks_null)
    };
    match cells {
        [cell] => match text(cell) {
            (text, true) => format!(r"\{text}"),
            (text, false) => text,
        },
        cells => {
            let parts = cells.iter().map(|cell| {
                let (text, looks_null) = text(cell);
                let text = text.replace('\\', r"\\").replace('|', r"\|");
                if looks_null { format!(r"\{text}") } else { text }
            });
            parts.collect::<Vec<_>>().join("|")
        }
    }
}

/// A key that is too long is its beginning and a hash of all of it.
fn shortened(key: String) -> String {
    if key.len() <= KEY_BYTES_MAX {
        return key;
    }
    let mut hasher = SipHasher13::new();
    hasher.write(key.as_bytes());
    let hash = format!("...{:032x}", hasher.finish128().as_u128());
    let mut end = KEY_BYTES_MAX - hash.len();
    while !key.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{hash}", &key[..end])
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, StringArray};

    use super::*;

    fn found(key: &[&str]) -> Found {
        let text = |values: [Option<&str>; 3]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let price = Decimal128Array::from(vec![1250, 300, 1]).with_precision_and_scale(18, 2).expect("a decimal");
        let batch = RecordBatch::try_from_iter([
            ("a", text([Some("x|y"), Some("x"), None])),
            ("b", text([Some("z"), Some("y|z"), Some("z")])),
            ("preco", Arc::new(price) as ArrayRef),
        ]);
        let mut found = Found::default();
        let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
        found.add(batch.expect("a batch"), &key).expect("columns").expect("few keys");
        found
    }

    #[test]
    fn keys_are_texts_and_no_two_are_the_same() {
        assert_eq!(found(&["a"]).keys().collect::<Vec<_>>(), ["(nulo)", "x", "x|y"]);
        let both = found(&["a", "b"]);
        assert_eq!(both.keys().collect::<Vec<_>>(), ["(nulo)|z", r"x\|y|z", r"x|y\|z"]);
    }

    fn keys(texts: &[&[Option<&str>]]) -> Vec<String> {
        let columns = texts
            .iter()
            .enumerate()
            .map(|(index, texts)| (format!("c{index}"), Arc::new(StringArray::from(texts.to_vec())) as ArrayRef));
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let key: Vec<String> = (0..texts.len()).map(|index| format!("c{index}")).collect();
        let mut found = Found::default();
        found.add(batch, &key).expect("columns").expect("few keys");
        found.keys().map(str::to_owned).collect()
    }

    #[test]
    fn null_and_a_text_that_says_so_are_two_keys() {
        let texts = [None, Some("(nulo)"), Some(r"\(nulo)"), Some(r"\\(nulo)"), Some("x")];
        assert_eq!(keys(&[&texts]).len(), 5, "{:?}", keys(&[&texts]));
        assert_eq!(keys(&[&[None, Some("(nulo)")]]), ["(nulo)", r"\(nulo)"]);
        assert_eq!(keys(&[&texts, &[Some("y"); 5]]).len(), 5);
    }

    #[test]
    fn a_long_key_is_shortened_and_stays_apart_from_others() {
        let (long, other) = ("ç".repeat(400), format!("{}x", "ç".repeat(400)));
        let found = keys(&[&[Some(&long), Some(&other), Some("p1")]]);
        assert_eq!((found.len(), found[0].as_str()), (3, "p1"));
        assert!(found[1..].iter().all(|key| key.starts_with("çç") && key.len() <= KEY_BYTES_MAX), "{found:?}");
        let half = "p".repeat(256);
        assert_eq!(keys(&[&[Some(&half)], &[Some(&half)]]).len(), 1, "two columns of the longest texts");
        assert_eq!(keys(&[&[Some(&"p".repeat(512))]]), ["p".repeat(512)], "what fits is as it was");
    }

    #[test]
    fn rows_keep_their_decimals() {
        let found = found(&["b"]);
        assert_eq!((found.count("z"), found.count("nada")), (2, 0));
        assert_eq!(found.content("y|z"), r#"[{"a":"x","b":"y|z","preco":3.00}]"#);
        assert_eq!(found.content("z"), r#"[{"a":"x|y","b":"z","preco":12.50},{"a":null,"b":"z","preco":0.01}]"#);
    }
}
