//! Rows as CSV (RFC 4180): a line of names, then a line for each row; numbers and times as in JSON,
//! a null is an empty field.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use super::json::{columns, plain};

const END: &[u8] = b"\r\n";

/// Lines that wait to be sent.
#[derive(Debug)]
pub struct CsvRows(Vec<u8>);

impl CsvRows {
    /// Begins with the header.
    pub fn new(schema: &Schema) -> Self {
        let mut out = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_field(&mut out, field.name());
        }
        out.extend_from_slice(END);
        Self(out)
    }

    pub(super) fn push_some(&mut self, batch: &RecordBatch, from: usize, bytes: usize) -> Result<usize, ArrowError> {
        let plain = plain(batch)?;
        let columns = columns(batch, &plain)?;
        let out = &mut self.0;
        let mut value = Vec::new();
        for row in from..batch.num_rows() {
            if out.len() >= bytes {
                return Ok(row);
            }
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                value.clear();
                column.write(&mut value, row);
                match value.as_slice() {
                    b"null" if column.is_null(row) => {}
                    // A text: what JSON escapes, CSV does not. An empty one is quoted, for an empty
                    // field is a null.
                    [b'"', ..] => {
                        let text: String =
                            serde_json::from_slice(&value).map_err(|error| ArrowError::ExternalError(error.into()))?;
                        push_field(out, &text);
                    }
                    // JSON has no number for NaN.
                    b"null" => {}
                    number => out.extend_from_slice(number),
                }
            }
            out.extend_from_slice(END);
        }
        Ok(batch.num_rows())
    }

    pub(super) fn waiting(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

fn push_field(out: &mut Vec<u8>, text: &str) {
    let is_plain = !text.is_empty()
        && !text.bytes().any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'))
        && text.trim() == text;
    if is_plain {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn values_and_quotes() {
        let money = Decimal128Array::from(vec![Some(12_345_678_901_234_567_890_i128), None, Some(-5)])
            .with_precision_and_scale(38, 2)
            .expect("a decimal");
        let batch = RecordBatch::try_from_iter([
            ("nome, inteiro", Arc::new(StringArray::from(vec!["Café \"A\", 2", "", "a\nb"])) as ArrayRef),
            ("receita", Arc::new(money) as ArrayRef),
            ("quando", Arc::new(TimestampMicrosecondArray::from(vec![1, 0, 2]).with_timezone("UTC")) as ArrayRef),
            ("media", Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN), None])) as ArrayRef),
            ("nulo", Arc::new(StringArray::from(vec![None::<&str>, Some("null"), None])) as ArrayRef),
        ])
        .expect("a batch");
        let mut rows = CsvRows::new(&batch.schema());
        assert_eq!(rows.push_some(&batch, 0, usize::MAX).expect("rows"), 3);
        let expected = "\"nome, inteiro\",receita,quando,media,nulo\r\n\
            \"Café \"\"A\"\", 2\",123456789012345678.90,1970-01-01T00:00:00.000001Z,0.5,\r\n\
            \"\",,1970-01-01T00:00:00Z,,null\r\n\
            \"a\nb\",-0.05,1970-01-01T00:00:00.000002Z,,\r\n";
        assert_eq!(String::from_utf8(rows.finish()).expect("text"), expected);
    }
}
