//! Rows as messages: a JSON object for each, with decimals as numbers of exactly their digits and
//! times in RFC 3339; and their keys.

use std::io::Write;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, SecondsFormat};

use crate::sink::DELETED_COLUMN;

/// One row of a batch that a sink writes, as a JSON object. What no number of JSON can be is null.
pub fn row_json(batch: &RecordBatch, row: usize) -> Vec<u8> {
    let mut out = vec![b'{'];
    let schema = batch.schema();
    for (field, column) in
        schema.fields().iter().zip(batch.columns()).filter(|(field, _)| field.name() != DELETED_COLUMN)
    {
        if out.len() > 1 {
            out.push(b',');
        }
        push_text(&mut out, field.name());
        out.push(b':');
        if push_value(&mut out, column.as_ref(), row).is_none() {
            out.extend_from_slice(b"null");
        }
    }
    out.push(b'}');
    out
}

/// A row's key as one text: a single column is its text, several are joined so that no two keys
/// come to the same.
pub fn key_text(batch: &RecordBatch, key: &[String], row: usize) -> String {
    let part = |name: &String| {
        let column = batch.column_by_name(name)?;
        if *column.data_type() == DataType::Utf8 {
            return Some(column.as_string::<i32>().value(row).to_owned());
        }
        let mut out = Vec::new();
        push_value(&mut out, column.as_ref(), row)?;
        let text = String::from_utf8_lossy(&out).into_owned();
        // Of times and days, which are texts in JSON alone.
        Some(text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map(str::to_owned).unwrap_or(text))
    };
    let parts = key.iter().map(|name| part(name).unwrap_or_default());
    match key.len() {
        1 => parts.collect(),
        _ => parts.map(|part| part.replace('\\', r"\\").replace('|', r"\|")).collect::<Vec<_>>().join("|"),
    }
}

/// None for null, and for what JSON has no form for.
fn push_value(out: &mut Vec<u8>, column: &dyn Array, row: usize) -> Option<()> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8 => push_text(out, column.as_string::<i32>().value(row)),
        DataType::Int64 => push_display(out, column.as_primitive::<Int64Type>().value(row)),
        DataType::Boolean => push_display(out, column.as_boolean().value(row)),
        DataType::Decimal128(..) => push_display(out, column.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            push_display(out, serde_json::Number::from_f64(value)?);
        }
        DataType::Date32 => {
            push_text(out, &column.as_primitive::<Date32Type>().value_as_date(row)?.to_string());
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let time = DateTime::from_timestamp_micros(micros)?;
            let text = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
            // A time without a zone is of no place.
            push_text(out, if zone.is_some() { &text } else { text.trim_end_matches('Z') });
        }
        _ => {
            let options = FormatOptions::default();
            push_text(out, &ArrayFormatter::try_new(column, &options).ok()?.value(row).to_string());
        }
    }
    Some(())
}

fn push_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Memory takes all that is written to it.
    let _ = write!(out, "{value}");
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    push_display(out, serde_json::Value::from(text));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    };

    use super::*;

    fn batch() -> RecordBatch {
        let price = Decimal128Array::from(vec![Some(1250), None]).with_precision_and_scale(18, 2).expect("a decimal");
        let times = TimestampMicrosecondArray::from(vec![1_747_264_560_000_000, 1_747_264_560_500_000]);
        RecordBatch::try_from_iter([
            ("janela_inicio", Arc::new(times.clone().with_timezone("UTC")) as ArrayRef),
            ("local", Arc::new(times) as ArrayRef),
            ("nome", Arc::new(StringArray::from(vec!["a\"b\n", "x|y"])) as ArrayRef),
            ("receita", Arc::new(price) as ArrayRef),
            ("n", Arc::new(Int64Array::from(vec![-3, 4])) as ArrayRef),
            ("taxa", Arc::new(Float64Array::from(vec![0.5, f64::NAN])) as ArrayRef),
            ("dia", Arc::new(Date32Array::from(vec![20_222, 0])) as ArrayRef),
            ("aberta", Arc::new(BooleanArray::from(vec![true, false])) as ArrayRef),
            (DELETED_COLUMN, Arc::new(BooleanArray::from(vec![false, false])) as ArrayRef),
        ])
        .expect("a batch")
    }

    #[test]
    fn a_row_is_an_object_with_exact_numbers() {
        let text = |row| String::from_utf8(row_json(&batch(), row)).expect("a text");
        assert_eq!(
            text(0),
            r#"{"janela_inicio":"2025-05-14T23:16:00Z","local":"2025-05-14T23:16:00","nome":"a\"b\n","receita":12.50,"n":-3,"taxa":0.5,"dia":"2025-05-14","aberta":true}"#
        );
        assert_eq!(
            text(1),
            r#"{"janela_inicio":"2025-05-14T23:16:00.500Z","local":"2025-05-14T23:16:00.500","nome":"x|y","receita":null,"n":4,"taxa":null,"dia":"1970-01-01","aberta":false}"#
        );
    }

    #[test]
    fn no_two_keys_are_one_text() {
        let key = |names: &[&str], row| {
            key_text(&batch(), &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), row)
        };
        assert_eq!(key(&["nome"], 1), "x|y");
        assert_eq!(key(&["nome", "n"], 1), r"x\|y|4");
        assert_eq!(key(&["janela_inicio", "nome"], 1), r"2025-05-14T23:16:00.500Z|x\|y");
        assert_eq!(key(&["dia"], 1), "1970-01-01");
    }

    #[test]
    fn quotes_are_part_of_a_text() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["p1", "\"p1\"", "\"\""]));
        let batch = RecordBatch::try_from_iter([("p", texts)]).expect("a batch");
        let keys = [0, 1, 2].map(|row| key_text(&batch, &["p".to_owned()], row));
        assert_eq!(keys, ["p1", "\"p1\"", "\"\""]);
    }
}
