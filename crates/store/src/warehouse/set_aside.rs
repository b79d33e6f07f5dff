//! Finds rows that a database cannot take before they are sent: one of them would fail its whole
//! table, every time.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::NaiveDate;
use vitral_schemas::verdict::Reason;

use super::WarehouseTable;

/// How many rows and bytes are kept of those that are set aside at once; further ones are only
/// counted. All are in the archive too.
const ROWS_KEPT: usize = 100_000;
const BYTES_KEPT: usize = 64 << 20;
/// Characters kept of a string.
const TEXT_KEPT: usize = 1_000;

/// The largest values that a database takes.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Bytes of one text.
    pub text_bytes: usize,
    /// Bytes of a key's columns together.
    pub key_bytes: usize,
}

/// A row that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsideRow {
    /// Its day; none if that is what is wrong with it.
    pub day: Option<NaiveDate>,
    /// Why the database cannot take it.
    pub reason: Reason,
    /// The column, and what is wrong with its value.
    pub detail: String,
    /// As JSON, with long strings cut.
    pub row: String,
}

/// What was set aside of some days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetAside {
    /// How many there were.
    pub count: u64,
    /// The first of them.
    pub rows: Vec<AsideRow>,
    bytes: usize,
}

impl SetAside {
    /// Removes from the batch what the database cannot take.
    pub fn take_from(
        &mut self,
        batch: RecordBatch,
        table: &WarehouseTable,
        capacity: Capacity,
    ) -> Result<RecordBatch, ArrowError> {
        let mut offending: Vec<Option<(Reason, String)>> = Vec::new();
        let mut offend = |row: usize, reason: Reason, detail: String| {
            offending.resize(batch.num_rows(), None);
            offending[row].get_or_insert((reason, detail));
        };
        for (field, column) in table.schema.fields().iter().zip(batch.columns()) {
            check(field.name(), column, capacity, &mut offend);
        }
        check_key(&batch, table, capacity, &mut offend);
        if offending.is_empty() {
            return Ok(batch);
        }
        for (row, offence) in offending.iter().enumerate() {
            if let Some((reason, detail)) = offence {
                self.keep(&batch, row, table, *reason, detail)?;
            }
        }
        filter_record_batch(&batch, &BooleanArray::from_iter(offending.iter().map(|offence| Some(offence.is_none()))))
    }

    fn keep(
        &mut self,
        batch: &RecordBatch,
        row: usize,
        table: &WarehouseTable,
        reason: Reason,
        detail: &str,
    ) -> Result<(), ArrowError> {
        self.count += 1;
        if self.rows.len() >= ROWS_KEPT || self.bytes >= BYTES_KEPT {
            return Ok(());
        }
        let options = FormatOptions::new();
        let mut cells = serde_json::Map::new();
        for (field, column) in table.schema.fields().iter().zip(batch.columns()) {
            let cell = match column.is_null(row) {
                true => serde_json::Value::Null,
                false => cut(ArrayFormatter::try_new(column, &options)?.value(row).to_string()).into(),
            };
            cells.insert(field.name().clone(), cell);
        }
        let days =
            batch.column_by_name(&table.date).and_then(|column| column.as_primitive_opt::<Date32Type>().cloned());
        let day = days.filter(|days| days.is_valid(row)).and_then(|days| days.value_as_date(row));
        let text = serde_json::Value::Object(cells).to_string();
        self.bytes += text.len();
        self.rows.push(AsideRow { day, reason, detail: detail.to_owned(), row: text });
        Ok(())
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(TEXT_KEPT) {
        None => text,
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
    }
}

/// Only a column with an offending value is checked row by row.
fn check(name: &str, column: &ArrayRef, capacity: Capacity, offend: &mut impl FnMut(usize, Reason, String)) {
    let rows = || (0..column.len()).filter(|row| column.is_valid(*row));
    match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            let (first, last) = (texts.value_offsets()[0] as usize, texts.value_offsets()[texts.len()] as usize);
            let bytes = &texts.values()[first..last];
            let has_zero = bytes.contains(&0);
            if has_zero || bytes.len() > capacity.text_bytes {
                for row in rows() {
                    let text = texts.value(row);
                    if has_zero && text.contains('\0') {
                        offend(
                            row,
                            Reason::Value,
                            format!("{name} has a zero character, which the database does not accept"),
                        );
                    } else if text.len() > capacity.text_bytes {
                        let (has, takes) = (text.len(), capacity.text_bytes);
                        offend(row, Reason::Size, format!("{name} has {has} bytes, the database accepts {takes}"));
                    }
                }
            }
        }
        DataType::Decimal128(precision, scale) => {
            let numbers = column.as_primitive::<Decimal128Type>();
            let bound = 10_i128.checked_pow(u32::from(*precision)).unwrap_or(i128::MAX);
            let too_large = |number: i128| number >= bound || number <= -bound;
            let extremes = [arrow::compute::min(numbers), arrow::compute::max(numbers)];
            if extremes.into_iter().flatten().any(too_large) {
                for row in rows().filter(|row| too_large(numbers.value(*row))) {
                    offend(row, Reason::Value, format!("{name} does not fit into numeric({precision},{scale})"));
                }
            }
        }
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>();
            let [first, last] = calendar().map(Date32Type::from_naive_date);
            let is_outside = |day: i32| day < first || day > last;
            if [arrow::compute::min(days), arrow::compute::max(days)].into_iter().flatten().any(is_outside) {
                for row in rows().filter(|row| is_outside(days.value(*row))) {
                    offend(row, Reason::Time, format!("{name} is not within the years 1 to 9999"));
                }
            }
        }
        DataType::Timestamp(..) => {
            let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() else { return };
            let micros = |day: NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
            let [first, last] = calendar().map(micros);
            let is_outside = |time: i64| time < first || time > last;
            if [arrow::compute::min(times), arrow::compute::max(times)].into_iter().flatten().any(is_outside) {
                for row in rows().filter(|row| is_outside(times.value(*row))) {
                    offend(row, Reason::Time, format!("{name} is not within the years 1 to 9999"));
                }
            }
        }
        _ => {}
    }
}

/// The first and the last day that all databases and parsers of dates write in the same way.
fn calendar() -> [NaiveDate; 2] {
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    [day(1, 1, 1), day(9999, 12, 31)]
}

/// A unique index holds a key's columns together.
fn check_key(
    batch: &RecordBatch,
    table: &WarehouseTable,
    capacity: Capacity,
    offend: &mut impl FnMut(usize, Reason, String),
) {
    let texts = table.key.iter().filter_map(|name| batch.column_by_name(name)?.as_string_opt::<i32>());
    let texts: Vec<_> = texts.collect();
    let all: usize = texts.iter().map(|texts| texts.value_data().len()).sum();
    if all <= capacity.key_bytes {
        return;
    }
    for row in 0..batch.num_rows() {
        let has: usize = texts.iter().filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row).len()).sum();
        if has > capacity.key_bytes {
            let (key, takes) = (table.key.join(", "), capacity.key_bytes);
            offend(row, Reason::Size, format!("the key ({key}) has {has} bytes, the database accepts {takes}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Decimal128Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    const CAPACITY: Capacity = Capacity { text_bytes: 40, key_bytes: 10 };

    fn table() -> WarehouseTable {
        let fields = [
            ("data", DataType::Date32),
            ("categoria", DataType::Utf8),
            ("nota", DataType::Utf8),
            ("receita", DataType::Decimal128(4, 2)),
        ];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        WarehouseTable {
            name: "t".to_owned(),
            schema: Arc::new(Schema::new(fields.to_vec())),
            date: "data".to_owned(),
            key: vec!["data".to_owned(), "categoria".to_owned()],
        }
    }

    fn rows(rows: &[(i32, Option<&str>, &str, i128)]) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
            Arc::new(
                Decimal128Array::from_iter_values(rows.iter().map(|row| row.3))
                    .with_data_type(DataType::Decimal128(4, 2)),
            ),
        ];
        RecordBatch::try_new(table().schema, columns).expect("rows")
    }

    #[test]
    fn what_fits_goes_on_and_the_rest_is_kept_with_its_reason() {
        let good = [(20_000, Some("casa"), "uma nota", 9_999), (-719_162, None, "", -9_999)];
        let mut aside = SetAside::default();
        assert_eq!(aside.take_from(rows(&good), &table(), CAPACITY).expect("split"), rows(&good));
        assert_eq!(aside, SetAside::default());

        let long = "x".repeat(50);
        let bad = [
            (20_001, Some("ca\0sa"), "", 0),
            (20_002, Some("casa e jardim"), "", 0),
            (20_003, Some("casa"), long.as_str(), 0),
            (20_004, Some("casa"), "", 10_000),
            (-719_163, Some("casa"), "", 0),
            (3_000_000, Some("casa"), "", 0),
        ];
        let mixed: Vec<_> = bad.into_iter().flat_map(|row| [good[0], row]).collect();
        let kept = aside.take_from(rows(&mixed), &table(), CAPACITY).expect("split");
        assert_eq!(kept, rows(&[good[0]; 6]));
        let reasons: Vec<_> = aside.rows.iter().map(|row| row.reason.name()).collect();
        assert_eq!(reasons, ["valor", "tamanho", "tamanho", "valor", "tempo", "tempo"]);
        assert_eq!(aside.count, 6);
        assert!(aside.rows[1].detail.contains("data, categoria") && aside.rows[1].row.contains("casa e jardim"));
        assert_eq!(aside.rows[0].day, NaiveDate::from_ymd_opt(2024, 10, 5));
        // Only the strings of a slice's own rows count.
        let slice = rows(&mixed).slice(0, 1);
        assert_eq!(aside.take_from(slice.clone(), &table(), CAPACITY).expect("split"), slice);
    }

    #[test]
    fn long_texts_are_cut_where_they_are_kept() {
        let long = "ç".repeat(2_000);
        let shown = cut(long);
        assert!(shown.len() < 2_100 && shown.ends_with("(4000 bytes)"), "{shown}");
    }
}
