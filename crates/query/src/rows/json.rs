//! Arrow columns as JSON: decimals with exactly their digits, times in RFC 3339 UTC, straight into
//! one buffer.
//!
//! arrow-json would write decimals as texts.

use std::fmt::Display;
use std::io::Write;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, DecimalType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::temporal_conversions::as_datetime;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, SecondsFormat, Utc};

/// A JSON array of objects, one for each row pushed, or the same objects each in a line.
#[derive(Debug)]
pub struct JsonRows {
    out: Vec<u8>,
    has_rows: bool,
    is_lines: bool,
}

impl Default for JsonRows {
    fn default() -> Self {
        Self::new()
    }
}

impl JsonRows {
    /// Begins with the array's bracket.
    pub fn new() -> Self {
        Self { out: vec![b'['], has_rows: false, is_lines: false }
    }

    /// Each object in a line, and nothing around them.
    pub fn lines() -> Self {
        Self { out: Vec::new(), has_rows: false, is_lines: true }
    }

    /// All rows of a batch; false if they would not fit into so many bytes.
    pub fn push_within(&mut self, batch: &RecordBatch, bytes: usize) -> Result<bool, ArrowError> {
        Ok(self.push_some(batch, 0, bytes)? == batch.num_rows() && self.out.len() < bytes)
    }

    pub(super) fn push_some(&mut self, batch: &RecordBatch, from: usize, bytes: usize) -> Result<usize, ArrowError> {
        let plain = plain(batch)?;
        let columns = columns(batch, &plain)?;
        let out = &mut self.out;
        for row in from..batch.num_rows() {
            if out.len() >= bytes {
                return Ok(row);
            }
            out.extend_from_slice(if self.has_rows && !self.is_lines { b",{" } else { b"{" });
            self.has_rows = true;
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(&column.key);
                column.write(out, row);
            }
            out.extend_from_slice(if self.is_lines { b"}\n" } else { b"}" });
        }
        Ok(batch.num_rows())
    }

    pub(super) fn waiting(&self) -> usize {
        self.out.len()
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// What still waits, and the closing bracket.
    pub fn finish(mut self) -> Vec<u8> {
        if !self.is_lines {
            self.out.push(b']');
        }
        self.out
    }
}

/// A column with the means to write its values.
pub(super) struct Column<'a> {
    /// Its name as JSON writes it before a value.
    key: Vec<u8>,
    values: &'a ArrayRef,
    cell: Cell<'a>,
}

impl Column<'_> {
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.values.is_null(row)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, row: usize) {
        if self.is_null(row) { out.extend_from_slice(NULL) } else { (self.cell)(out, row) }
    }
}

/// The batch's columns, dictionaries looked up.
pub(super) fn plain(batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
    let plain = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Dictionary(_, values) => cast(column, values),
        _ => Ok(column.clone()),
    });
    plain.collect()
}

pub(super) fn columns<'a>(batch: &RecordBatch, plain: &'a [ArrayRef]) -> Result<Vec<Column<'a>>, ArrowError> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(plain).map(|(field, values)| {
        let mut key = Vec::new();
        push_text(&mut key, field.name());
        key.push(b':');
        Ok(Column { key, values, cell: cell(values)? })
    });
    columns.collect()
}

/// An instant as the API writes it; `None` beyond the years that chrono knows.
pub fn utc_text(micros: i64) -> Option<String> {
    DateTime::from_timestamp_micros(micros).map(time_text)
}

/// Fractions of a second only where there are some.
fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

const NULL: &[u8] = b"null";

/// Writes one value that is not null.
type Cell<'a> = Box<dyn Fn(&mut Vec<u8>, usize) + 'a>;

fn cell(array: &dyn Array) -> Result<Cell<'_>, ArrowError> {
    Ok(match array.data_type() {
        DataType::Null => Box::new(|out, _| out.extend_from_slice(NULL)),
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(|out, row| out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }))
        }
        DataType::Int8 => integer::<Int8Type>(array),
        DataType::Int16 => integer::<Int16Type>(array),
        DataType::Int32 => integer::<Int32Type>(array),
        DataType::Int64 => integer::<Int64Type>(array),
        DataType::UInt8 => integer::<UInt8Type>(array),
        DataType::UInt16 => integer::<UInt16Type>(array),
        DataType::UInt32 => integer::<UInt32Type>(array),
        DataType::UInt64 => integer::<UInt64Type>(array),
        DataType::Float32 => float::<Float32Type>(array),
        DataType::Float64 => float::<Float64Type>(array),
        DataType::Decimal128(..) => decimal::<Decimal128Type>(array),
        DataType::Decimal256(..) => decimal::<Decimal256Type>(array),
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            Box::new(|out, row| push_text(out, values.value(row)))
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            Box::new(|out, row| push_text(out, values.value(row)))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(|out, row| push_text(out, values.value(row)))
        }
        DataType::Timestamp(unit, zone) => {
            let zoned = zone.is_some();
            match unit {
                TimeUnit::Second => time::<TimestampSecondType>(array, zoned),
                TimeUnit::Millisecond => time::<TimestampMillisecondType>(array, zoned),
                TimeUnit::Microsecond => time::<TimestampMicrosecondType>(array, zoned),
                TimeUnit::Nanosecond => time::<TimestampNanosecondType>(array, zoned),
            }
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>();
            Box::new(|out, row| push_quoted(out, values.value_as_date(row)))
        }
        DataType::Date64 => {
            let values = array.as_primitive::<Date64Type>();
            Box::new(|out, row| push_quoted(out, values.value_as_date(row)))
        }
        // Nothing of the catalog stores the other types; what a query makes of them is shown as
        // text.
        _ => {
            let formatter = ArrayFormatter::try_new(array, &FormatOptions::default())?;
            Box::new(move |out, row| push_text(out, &formatter.value(row).to_string()))
        }
    })
}

fn integer<T: ArrowPrimitiveType<Native: Display>>(array: &dyn Array) -> Cell<'_> {
    let values = array.as_primitive::<T>();
    Box::new(|out, row| push(out, values.value(row)))
}

fn float<T: ArrowPrimitiveType<Native: Into<f64> + Display>>(array: &dyn Array) -> Cell<'_> {
    let values = array.as_primitive::<T>();
    Box::new(|out, row| {
        let value = values.value(row);
        // JSON has neither NaN nor infinities.
        if value.into().is_finite() { push(out, value) } else { out.extend_from_slice(NULL) }
    })
}

fn decimal<T: DecimalType>(array: &dyn Array) -> Cell<'_> {
    let values = array.as_primitive::<T>();
    let (precision, scale) = (values.precision(), values.scale());
    Box::new(move |out, row| push(out, T::format_decimal(values.value(row), precision, scale)))
}

fn time<T: ArrowPrimitiveType<Native = i64> + arrow::datatypes::ArrowTimestampType>(
    array: &dyn Array,
    zoned: bool,
) -> Cell<'_> {
    let values = array.as_primitive::<T>();
    Box::new(move |out, row| {
        let time = as_datetime::<T>(values.value(row));
        // A time without a zone is not an instant: it gets no Z.
        let text =
            time.map(
                |time| {
                    if zoned { time_text(time.and_utc()) } else { time.format("%Y-%m-%dT%H:%M:%S%.f").to_string() }
                },
            );
        push_quoted(out, text);
    })
}

fn push(out: &mut Vec<u8>, value: impl Display) {
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{value}");
}

/// For values whose text needs no escaping.
fn push_quoted(out: &mut Vec<u8>, value: Option<impl Display>) {
    match value {
        Some(value) => push(out, format_args!("\"{value}\"")),
        None => out.extend_from_slice(NULL),
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int64Array, StringArray,
        StringViewArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
    };

    use super::*;

    fn json(values: impl Array + 'static) -> String {
        let batch = RecordBatch::try_from_iter([("v", Arc::new(values) as ArrayRef)]).expect("a batch");
        let mut rows = JsonRows::new();
        rows.push_some(&batch, 0, usize::MAX).expect("rows");
        String::from_utf8(rows.finish()).expect("text").replace(r#"{"v":"#, "").replace('}', "")
    }

    fn money(values: Vec<Option<i128>>, precision: u8, scale: i8) -> String {
        json(Decimal128Array::from(values).with_precision_and_scale(precision, scale).expect("a decimal"))
    }

    #[test]
    fn money_has_exactly_its_digits() {
        assert_eq!(
            money(vec![Some(1250), Some(5), Some(0), Some(-5), Some(-1250), None], 38, 2),
            "[12.50,0.05,0.00,-0.05,-12.50,null]"
        );
        assert_eq!(money(vec![Some(10_i128.pow(38) - 1)], 38, 2), "[999999999999999999999999999999999999.99]");
        assert_eq!(money(vec![Some(7), Some(-70)], 18, 0), "[7,-70]");
        assert_eq!(money(vec![Some(7)], 18, 4), "[0.0007]");
    }

    #[test]
    fn numbers() {
        assert_eq!(json(Int64Array::from(vec![i64::MIN, 0, i64::MAX])), "[-9223372036854775808,0,9223372036854775807]");
        assert_eq!(json(UInt64Array::from(vec![u64::MAX])), "[18446744073709551615]");
        assert_eq!(
            json(Float64Array::from(vec![0.1, 1e21, f64::NAN, f64::INFINITY])),
            "[0.1,1000000000000000000000,null,null]"
        );
        assert_eq!(json(BooleanArray::from(vec![Some(true), Some(false), None])), "[true,false,null]");
    }

    #[test]
    fn times_and_dates() {
        let micros = vec![1_747_260_960_000_000, 1_747_260_960_120_000, 1_747_260_960_000_001];
        let times = TimestampMicrosecondArray::from(micros.clone());
        assert_eq!(
            json(times.clone().with_timezone("UTC")),
            r#"["2025-05-14T22:16:00Z","2025-05-14T22:16:00.120Z","2025-05-14T22:16:00.000001Z"]"#
        );
        assert_eq!(json(times.clone().with_timezone("America/Sao_Paulo")), json(times.clone().with_timezone("UTC")));
        assert_eq!(json(times.slice(0, 1)), r#"["2025-05-14T22:16:00"]"#);
        assert_eq!(
            json(TimestampNanosecondArray::from(vec![-1]).with_timezone("UTC")),
            r#"["1969-12-31T23:59:59.999999999Z"]"#
        );
        assert_eq!(json(Date32Array::from(vec![Some(20_222), None])), r#"["2025-05-14",null]"#);
    }

    #[test]
    fn texts_of_every_kind() {
        let expected = r#"["p\"1\"","a\nb\\","ção",null]"#;
        let texts = vec![Some("p\"1\""), Some("a\nb\\"), Some("ção"), None];
        assert_eq!(json(StringArray::from(texts.clone())), expected);
        assert_eq!(json(StringViewArray::from(texts.clone())), expected);
        assert_eq!(json(texts.into_iter().collect::<DictionaryArray<Int32Type>>()), expected);
    }

    #[test]
    fn rows_of_several_batches() {
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
            ("n", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef),
        ])
        .expect("a batch");
        let mut rows = JsonRows::new();
        rows.push_some(&batch.slice(0, 0), 0, usize::MAX).expect("rows");
        rows.push_some(&batch, 0, usize::MAX).expect("rows");
        rows.push_some(&batch.slice(0, 1), 0, usize::MAX).expect("rows");
        assert_eq!(rows.finish(), br#"[{"id":"a","n":1},{"id":"b","n":null},{"id":"a","n":1}]"#);
        assert_eq!(JsonRows::new().finish(), b"[]");
    }

    #[test]
    fn rows_in_pieces() {
        let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef)]);
        let batch = batch.expect("a batch");
        let mut rows = JsonRows::new();
        let (mut row, mut pieces) = (0, Vec::new());
        while row < batch.num_rows() {
            row = rows.push_some(&batch, row, 8).expect("rows");
            pieces.push(rows.take());
        }
        assert!(pieces.len() > 1);
        pieces.push(rows.finish());
        assert_eq!(pieces.concat(), br#"[{"n":1},{"n":2},{"n":3}]"#);
        assert!(JsonRows::new().push_within(&batch, 25).expect("rows"));
        assert!(!JsonRows::new().push_within(&batch, 24).expect("rows"));
    }
}
