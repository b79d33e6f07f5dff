//! Which type of PostgreSQL a column is sent as, and the form that its values have until then.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_postgres::arrow_pg::datatypes::{PG_OID_ALIAS_KEY, is_pg_char_field, pg_type_for_alias_kind};
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::{FieldFormat, FieldInfo};

/// Marks lists that are written with spaces, as vectors of `pg_catalog` are.
pub(crate) const VECTOR_KEY: &str = "vitral.vector";
/// What PostgreSQL adds to precision and scale in a type's modifier.
const MODIFIER_HEADER: i32 = 4;

/// The few types that values are written from; each of the others becomes one of them, exactly.
pub(crate) fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Null | DataType::Boolean | DataType::Binary | DataType::Date32 => data_type.clone(),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => DataType::Int16,
        DataType::UInt16 | DataType::Int32 => DataType::Int32,
        DataType::UInt32 | DataType::Int64 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 | DataType::Float32 => DataType::Float32,
        DataType::Float64 => DataType::Float64,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => DataType::Decimal128(*precision, *scale),
        DataType::Decimal256(_, scale) => DataType::Decimal128(38, *scale),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Interval(_) | DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)
            if !matches!(plain_type(item.data_type()), DataType::List(_)) =>
        {
            DataType::List(Arc::new(Field::new(item.name(), plain_type(item.data_type()), true)))
        }
        // Texts, and what has no type of its own there: structs, maps, lists of lists.
        _ => DataType::Utf8,
    }
}

/// The type that clients hear of.
pub(crate) fn pg_type(field: &Field) -> Type {
    let alias = field.metadata().get(PG_OID_ALIAS_KEY).and_then(|kind| pg_type_for_alias_kind(kind));
    match alias {
        Some(alias) if matches!(field.data_type(), DataType::Int32) => alias,
        _ if is_pg_char_field(field) => Type::CHAR,
        _ => pg_type_of(&plain_type(field.data_type())),
    }
}

/// The same of a plain type.
pub(crate) fn pg_type_of(plain: &DataType) -> Type {
    match plain {
        DataType::Boolean => Type::BOOL,
        DataType::Int16 => Type::INT2,
        DataType::Int32 => Type::INT4,
        DataType::Int64 => Type::INT8,
        DataType::Float32 => Type::FLOAT4,
        DataType::Float64 => Type::FLOAT8,
        DataType::Decimal128(_, _) => Type::NUMERIC,
        DataType::Binary => Type::BYTEA,
        DataType::Date32 => Type::DATE,
        DataType::Time64(_) => Type::TIME,
        DataType::Timestamp(_, None) => Type::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => Type::TIMESTAMPTZ,
        DataType::Interval(_) => Type::INTERVAL,
        DataType::List(item) => list_of(&pg_type_of(item.data_type())),
        _ => Type::TEXT,
    }
}

fn list_of(item: &Type) -> Type {
    match *item {
        Type::BOOL => Type::BOOL_ARRAY,
        Type::INT2 => Type::INT2_ARRAY,
        Type::INT4 => Type::INT4_ARRAY,
        Type::INT8 => Type::INT8_ARRAY,
        Type::FLOAT4 => Type::FLOAT4_ARRAY,
        Type::FLOAT8 => Type::FLOAT8_ARRAY,
        Type::NUMERIC => Type::NUMERIC_ARRAY,
        Type::BYTEA => Type::BYTEA_ARRAY,
        Type::DATE => Type::DATE_ARRAY,
        Type::TIME => Type::TIME_ARRAY,
        Type::TIMESTAMP => Type::TIMESTAMP_ARRAY,
        Type::TIMESTAMPTZ => Type::TIMESTAMPTZ_ARRAY,
        Type::INTERVAL => Type::INTERVAL_ARRAY,
        _ => Type::TEXT_ARRAY,
    }
}

/// The length of a type's values; negative if they differ.
pub(crate) fn type_size(pg_type: &Type) -> i16 {
    match *pg_type {
        Type::BOOL | Type::CHAR => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::FLOAT4 | Type::DATE | Type::OID => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => 8,
        Type::INTERVAL => 16,
        _ => -1,
    }
}

/// Precision and scale as PostgreSQL has them; -1 where there are none.
pub(crate) fn type_modifier(plain: &DataType) -> i32 {
    match plain {
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            (i32::from(*precision) << 16 | i32::from(*scale)) + MODIFIER_HEADER
        }
        _ => -1,
    }
}

/// The schema with plain types; names and what is known of columns stay.
pub(crate) fn plain_schema(schema: &Schema) -> SchemaRef {
    let plain = |field: &Arc<Field>| {
        let kind = if is_vector(field) { DataType::Utf8 } else { plain_type(field.data_type()) };
        let plain = Field::new(field.name(), kind, field.is_nullable());
        plain.with_metadata(field.metadata().clone())
    };
    Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>()))
}

/// What a client hears of each column. Columns without a format are texts.
pub(crate) fn fields(schema: &Schema, format: &Format) -> Arc<Vec<FieldInfo>> {
    let field = |(index, field): (usize, &Arc<Field>)| {
        let format = match format {
            Format::UnifiedText => FieldFormat::Text,
            Format::UnifiedBinary => FieldFormat::Binary,
            Format::Individual(codes) => codes.get(index).map_or(FieldFormat::Text, |code| FieldFormat::from(*code)),
        };
        let pg_type = pg_type(field);
        let size = type_size(&pg_type);
        FieldInfo::new(field.name().clone(), None, None, pg_type, format)
            .with_type_size(size)
            .with_type_modifier(type_modifier(&plain_type(field.data_type())))
    };
    Arc::new(schema.fields().iter().enumerate().map(field).collect())
}

/// The rows in the types of a plain schema.
pub(crate) fn plain_rows(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| match field.data_type() {
        DataType::Utf8 if field.metadata().contains_key(VECTOR_KEY) => vector_texts(column),
        wanted => plain_column(column, wanted),
    });
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    // Whether there are nulls is not compared: plans promise less than their rows keep.
    let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let nullable = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    RecordBatch::try_new_with_options(nullable, columns.collect::<Result<_, _>>()?, &options)
}

fn is_vector(field: &Field) -> bool {
    field.metadata().contains_key(VECTOR_KEY) && matches!(field.data_type(), DataType::List(_))
}

/// `1 2`
fn vector_texts(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if !matches!(column.data_type(), DataType::List(_)) {
        return plain_column(column, &DataType::Utf8);
    }
    let texts = cast(column, &DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))))?;
    let text = |items: Option<ArrayRef>| -> Option<String> {
        Some(items?.as_string::<i32>().iter().flatten().collect::<Vec<_>>().join(" "))
    };
    Ok(Arc::new(texts.as_list::<i32>().iter().map(text).collect::<StringArray>()))
}

/// A column in a plain type.
pub(crate) fn plain_column(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == wanted {
        return Ok(Arc::clone(column));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let is_text_of = *wanted == DataType::Utf8 && column.data_type().is_nested();
    if is_text_of {
        let formatter = ArrayFormatter::try_new(column, &FormatOptions::default())?;
        let text = |row: usize| column.is_valid(row).then(|| formatter.value(row).to_string());
        return Ok(Arc::new((0..column.len()).map(text).collect::<StringArray>()));
    }
    cast_with_options(column, wanted, &options)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, DurationSecondArray, UInt64Array};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn rows_become_plain_without_a_loss() {
        let dictionary: arrow::array::DictionaryArray<Int32Type> = [Some("a"), None, Some("b")].into_iter().collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("large", Arc::new(UInt64Array::from(vec![u64::MAX, 1, 2]))),
            ("words", Arc::new(dictionary)),
            ("long", Arc::new(DurationSecondArray::from(vec![1, 2, 3]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("rows");
        let schema = plain_schema(&batch.schema());
        let plain = plain_rows(&batch, &schema).expect("plain rows");
        let types: Vec<Type> = schema.fields().iter().map(|field| pg_type(field)).collect();
        assert_eq!(types, [Type::NUMERIC, Type::TEXT, Type::INTERVAL]);
        assert_eq!(plain.column(1).null_count(), 1);
        let large = arrow::array::AsArray::as_primitive::<arrow::datatypes::Decimal128Type>(plain.column(0));
        assert_eq!(large.value_as_string(0), u64::MAX.to_string());
    }

    #[test]
    fn fewer_formats_than_columns_are_no_panic() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)]);
        let found = fields(&schema, &Format::Individual(vec![1]));
        assert_eq!((found[0].format(), found[1].format()), (FieldFormat::Binary, FieldFormat::Text));
    }
}
