use arrow::array::{
    ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, Decimal256Array,
    DictionaryArray, FixedSizeBinaryArray, Float16Array, Float32Array, Float64Array, Int64Array, LargeStringArray,
    ListArray, StringArray, StringViewArray, Time32MillisecondArray, Time64MicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{Float16Type, Int32Type, Int64Type, i256};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::data_type::{Int96, Int96Type};
use datafusion::parquet::file::metadata::KeyValue;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::writer::SerializedFileWriter;
use datafusion::parquet::schema::parser::parse_message_type;

use super::*;
use crate::import::source::{Cell, Kind};

fn path() -> PathBuf {
    tempfile::tempdir().expect("a folder").keep().join("a.parquet")
}

fn write(columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let path = path();
    let rows = RecordBatch::try_from_iter(columns).expect("rows");
    let mut writer = ArrowWriter::try_new(File::create(&path).expect("a file"), rows.schema(), None).expect("a writer");
    writer.write(&rows).expect("written");
    writer.close().expect("closed");
    path
}

/// The cells of the one column of a file.
fn cells(column: ArrayRef) -> Vec<Option<Cell>> {
    let mut file = Columns::open(&write(vec![("a", column)]), "a.parquet").expect("opened");
    let rows = file.next().expect("rows");
    file.rewind().expect("rewound");
    assert_eq!(file.next().expect("rows"), rows);
    rows.into_iter().map(|mut row| row.cells.remove(0)).collect()
}

fn expected(kind: Kind, texts: &[&str]) -> Vec<Option<Cell>> {
    texts.iter().map(|text| Some(Cell::new((*text).to_owned(), kind))).collect()
}

#[test]
fn numbers_of_every_type() {
    assert_eq!(cells(Arc::new(UInt64Array::from(vec![u64::MAX]))), expected(Kind::Exact, &["18446744073709551615"]));
    let decimals = Decimal128Array::from(vec![12_345, -5]).with_precision_and_scale(10, 2).expect("a type");
    assert_eq!(cells(Arc::new(decimals)), expected(Kind::Exact, &["123.45", "-0.05"]));
    let wide = Decimal256Array::from(vec![i256::from_i128(1_050)]).with_precision_and_scale(60, 2).expect("a type");
    assert_eq!(cells(Arc::new(wide)), expected(Kind::Exact, &["10.50"]));
    let half = |number: f64| <Float16Type as arrow::array::ArrowPrimitiveType>::Native::from_f64(number);
    assert_eq!(cells(Arc::new(Float16Array::from(vec![half(10.1)]))), expected(Kind::Float, &["10.1"]));
    assert_eq!(cells(Arc::new(Float32Array::from(vec![59.97]))), expected(Kind::Float, &["59.97"]));
    let floats = Float64Array::from(vec![Some(17_850.0), Some(1e16), Some(f64::NAN), None]);
    let mut numbers = expected(Kind::Float, &["17850", "10000000000000000", "NaN"]);
    numbers.push(None);
    assert_eq!(cells(Arc::new(floats)), numbers);
}

#[test]
fn texts_of_every_type() {
    let texts = ["caf\u{e9}", "00042"];
    let written = expected(Kind::Written, &texts);
    let columns: [ArrayRef; 6] = [
        Arc::new(StringArray::from(texts.to_vec())),
        Arc::new(LargeStringArray::from(texts.to_vec())),
        Arc::new(StringViewArray::from(texts.to_vec())),
        Arc::new(BinaryArray::from_iter_values(texts.iter().map(|text| text.as_bytes()))),
        Arc::new(BinaryViewArray::from_iter_values(texts.iter().map(|text| text.as_bytes()))),
        Arc::new(texts.into_iter().collect::<DictionaryArray<Int32Type>>()),
    ];
    for column in columns {
        assert_eq!(cells(column), written);
    }
    assert_eq!(cells(Arc::new(StringArray::from(vec!["", "  "]))), [None, None]);
    let uuid = [0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x43, 0x33, 0x84, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55];
    let uuids = FixedSizeBinaryArray::try_from_iter([uuid].into_iter()).expect("rows");
    assert_eq!(cells(Arc::new(uuids)), expected(Kind::Exact, &["11111111-2222-4333-8444-555555555555"]));
    let bytes = BinaryArray::from_iter_values([[0xff_u8, 0xfe]]);
    assert_eq!(cells(Arc::new(bytes)), expected(Kind::Unusable, &["bytes that are not text"]));
    assert_eq!(cells(Arc::new(BooleanArray::from(vec![true]))), expected(Kind::Truth, &["true"]));
}

#[test]
fn times_of_every_type() {
    let seconds = 1_747_260_960;
    let zoned = TimestampMillisecondArray::from(vec![seconds * 1_000 + 250]).with_timezone("America/Sao_Paulo");
    assert_eq!(cells(Arc::new(zoned)), expected(Kind::Time, &["2025-05-14T22:16:00.250Z"]));
    let local: [ArrayRef; 2] = [
        Arc::new(TimestampSecondArray::from(vec![seconds])),
        Arc::new(TimestampNanosecondArray::from(vec![seconds * 1_000_000_000])),
    ];
    for column in local {
        assert_eq!(cells(column), expected(Kind::Time, &["2025-05-14T22:16:00"]));
    }
    assert_eq!(cells(Arc::new(Date32Array::from(vec![20_222]))), expected(Kind::Time, &["2025-05-14"]));
    assert_eq!(cells(Arc::new(Date64Array::from(vec![20_222 * 86_400_000]))), expected(Kind::Time, &["2025-05-14"]));
    assert_eq!(cells(Arc::new(Time32MillisecondArray::from(vec![69_360_000]))), expected(Kind::Clock, &["19:16:00"]));
    let micros = Time64MicrosecondArray::from(vec![69_360_000_001]);
    assert_eq!(cells(Arc::new(micros)), expected(Kind::Clock, &["19:16:00.000001"]));
    // A row alone, not the file.
    let impossible = cells(Arc::new(TimestampSecondArray::from(vec![i64::MAX, seconds])));
    assert_eq!(impossible[0].as_ref().map(|cell| cell.kind), Some(Kind::Unusable), "{impossible:?}");
    assert_eq!(impossible[1].as_ref().map(|cell| cell.kind), Some(Kind::Time));
}

#[test]
fn columns_that_hold_no_cells_or_are_not_used_are_not_read() {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2)]), None]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("itens", Arc::new(lists)),
        ("id", Arc::new(Int64Array::from(vec![7, 8]))),
        ("id ", Arc::new(Int64Array::from(vec![9, 10]))),
    ];
    let mut file = Columns::open(&write(columns), "a.parquet").expect("opened");
    assert_eq!(file.header(), ["itens", "id", "id_2"]);
    let texts = |rows: Vec<Row>| -> Vec<Vec<String>> {
        let text = |cell: &Option<Cell>| cell.as_ref().map(|cell| cell.text.clone()).unwrap_or_default();
        rows.iter().map(|row| row.cells.iter().map(text).collect()).collect()
    };
    assert_eq!(texts(file.next().expect("rows")), [["", "7", "9"], ["", "8", "10"]]);
    file.keep(&[true, false, true]).expect("kept");
    let rows = file.next().expect("rows");
    assert_eq!(rows[1].line, 3);
    assert_eq!(texts(rows), [["", "", "9"], ["", "", "10"]]);
}

/// Times in the type that older programs write.
fn int96(metadata: Option<Vec<KeyValue>>) -> (Vec<Option<Cell>>, Vec<String>) {
    let path = path();
    let schema = Arc::new(parse_message_type("message m { required int96 a; }").expect("a schema"));
    let properties = WriterProperties::builder().set_key_value_metadata(metadata).build();
    let file = File::create(&path).expect("a file");
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).expect("a writer");
    let mut rows = writer.next_row_group().expect("a group");
    let mut column = rows.next_column().expect("a column").expect("a column");
    let time = |day: u32, nanos: u64| {
        let mut value = Int96::new();
        value.set_data((nanos & 0xffff_ffff) as u32, (nanos >> 32) as u32, day);
        value
    };
    // Julian days: 2025-05-14, and 0001-01-01, which is not to become another year.
    let values = [time(2_460_810, 69_360_000_000_000), time(1_721_426, 0)];
    column.typed::<Int96Type>().write_batch(&values, None, None).expect("written");
    column.close().expect("closed");
    rows.close().expect("closed");
    writer.close().expect("closed");
    let mut file = Columns::open(&path, "a.parquet").expect("opened");
    let cells = file.next().expect("rows").into_iter().map(|mut row| row.cells.remove(0)).collect();
    (cells, file.notes().to_vec())
}

#[test]
fn times_of_older_programs_are_local_and_those_of_spark_in_utc() {
    let (cells, notes) = int96(None);
    assert_eq!(cells, expected(Kind::Time, &["2025-05-14T19:16:00", "0001-01-01T00:00:00"]));
    let said = "the times of a (INT96) do not say their zone, and are read like any local time; if the program wrote them in UTC, use \
        --time-zone UTC";
    assert_eq!(notes, [said]);
    for key in ["version", "sql.parquet.row.metadata"] {
        let (cells, notes) = int96(Some(vec![KeyValue::new(format!("{SPARK}{key}"), "3.5.1".to_owned())]));
        assert_eq!(cells, expected(Kind::Time, &["2025-05-14T19:16:00Z", "0001-01-01T00:00:00Z"]));
        assert_eq!(notes, [""; 0]);
    }
}
