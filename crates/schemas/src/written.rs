//! The columns of rows that are written to other systems: their types, and those that every copy
//! has.

use arrow::datatypes::{DataType, TimeUnit};

/// Of what is written by key: whether the row is deleted.
pub const DELETED_COLUMN: &str = "_apagada";
/// In a target's rows: the epoch that wrote them.
pub const EPOCH_COLUMN: &str = "_epoch";

/// The type as which values of this type are written; none for types of which no target has a form.
pub fn written_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Boolean => DataType::Boolean,
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into())),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
            if *scale >= 0 =>
        {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Dictionary(_, values) => return written_type(values),
        _ => return None,
    })
}
