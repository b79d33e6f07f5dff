//! Columns as schemas of JSON: what a value of each type looks like in an answer, and in a message
//! that is sent.

use arrow::datatypes::{DataType, Field, Schema as Columns};
use utoipa::openapi::schema::{
    AdditionalProperties, KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use vitral_schemas::topic::{Column, ColumnKind, Topic};

/// A row of an answer, with all of its columns.
pub(super) fn row(columns: &Columns) -> Schema {
    let object = columns
        .fields()
        .iter()
        .fold(ObjectBuilder::new(), |object, field| object.property(field.name(), value(field)).required(field.name()));
    object.build().into()
}

/// A row of which only the template of its path is known.
pub(super) fn any_row() -> Schema {
    ObjectBuilder::new().additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true))).build().into()
}

fn value(field: &Field) -> ObjectBuilder {
    let (kind, object) = of_type(field.data_type());
    // JSON has neither NaN nor infinities.
    let may_be_null = field.is_nullable() || field.data_type().is_floating();
    object.schema_type(if may_be_null { or_null([kind]) } else { kind.into() })
}

pub(super) fn or_null(kinds: impl IntoIterator<Item = Type>) -> SchemaType {
    kinds.into_iter().chain([Type::Null]).collect()
}

pub(super) fn format(format: KnownFormat) -> Option<SchemaFormat> {
    Some(SchemaFormat::KnownFormat(format))
}

fn of_type(data_type: &DataType) -> (Type, ObjectBuilder) {
    let plain = ObjectBuilder::new();
    match data_type {
        DataType::Boolean => (Type::Boolean, plain),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => (Type::Integer, plain.format(format(KnownFormat::Int32))),
        DataType::Int64 => (Type::Integer, plain.format(format(KnownFormat::Int64))),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            (Type::Integer, plain.minimum(Some(0)))
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            (Type::Number, plain.format(format(KnownFormat::Double)))
        }
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => decimal(*scale),
        DataType::Timestamp(_, Some(_)) => (Type::String, plain.format(format(KnownFormat::DateTime))),
        DataType::Date32 | DataType::Date64 => (Type::String, plain.format(format(KnownFormat::Date))),
        DataType::Dictionary(_, values) => of_type(values),
        _ => (Type::String, plain),
    }
}

/// With exactly so many digits behind the point.
fn decimal(scale: i8) -> (Type, ObjectBuilder) {
    let plain = ObjectBuilder::new();
    if scale <= 0 { (Type::Integer, plain) } else { (Type::Number, plain.multiple_of(Some(smallest(scale)))) }
}

fn smallest(scale: i8) -> f64 {
    // Read as it is written: a power that is computed would be off in its last digits.
    format!("1e-{scale}").parse().unwrap_or(0.01)
}

/// A message of a topic, as it is sent.
pub(super) fn message(topic: &Topic) -> Schema {
    let sent = topic.columns.iter().filter(|column| column.lookup.is_none());
    let object = sent.fold(ObjectBuilder::new(), |object, column| {
        let object = object.property(&column.name, field(column));
        if column.needed { object.required(&column.name) } else { object }
    });
    let about = "Fields that are not declared are ignored.";
    object.description(Some(about)).build().into()
}

fn field(column: &Column) -> ObjectBuilder {
    let plain = ObjectBuilder::new();
    let (kinds, object): (Vec<Type>, _) = match column.kind {
        ColumnKind::Text => (vec![Type::String], text(plain, column)),
        ColumnKind::TextOrNumber => (vec![Type::String, Type::Number], text(plain, column)),
        ColumnKind::Currency => (vec![Type::String], plain.pattern(Some("^[A-Za-z]{3}$"))),
        ColumnKind::Integer => (vec![Type::Integer], plain.format(format(KnownFormat::Int64))),
        ColumnKind::Decimal { scale, .. } => {
            let (_, object) = decimal(scale);
            (vec![Type::Number, Type::String], object.pattern(Some(r"^[+-]?[0-9]*\.?[0-9]+$")))
        }
        ColumnKind::Timestamp => {
            let about = "Without an offset it is in the domain's time zone.";
            (vec![Type::String], plain.format(format(KnownFormat::DateTime)).description(Some(about)))
        }
        ColumnKind::Boolean => (vec![Type::Boolean], plain),
    };
    match (column.needed, kinds.as_slice()) {
        (true, [kind]) => object.schema_type(kind.clone()),
        (true, _) => object.schema_type(kinds.into_iter().collect::<SchemaType>()),
        (false, _) => object.schema_type(or_null(kinds)),
    }
}

/// NUL is refused everywhere.
fn text(object: ObjectBuilder, column: &Column) -> ObjectBuilder {
    let object = if column.needed { object.min_length(Some(1)) } else { object };
    object.max_length(Some(column.bytes_max)).pattern(Some("^[^\\u0000]*$"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use vitral_schemas::topic::timestamp_type;

    use super::*;

    fn json_of(schema: Schema) -> Value {
        serde_json::to_value(schema).expect("JSON")
    }

    #[test]
    fn values_of_every_type() {
        let columns = Columns::new(vec![
            Field::new("id", DataType::Utf8View, true),
            Field::new("receita", DataType::Decimal128(38, 2), true),
            Field::new("dias", DataType::Decimal128(9, 1), false),
            Field::new("unidades", DataType::Int64, false),
            Field::new("media", DataType::Float64, false),
            Field::new("janela", timestamp_type(), false),
            Field::new("dia", DataType::Date32, true),
            Field::new("lista", DataType::List(Arc::new(Field::new("item", DataType::Int64, true))), false),
        ]);
        let row = json_of(row(&columns));
        let expected = json!({
            "id": { "type": ["string", "null"] },
            "receita": { "type": ["number", "null"], "multipleOf": 0.01 },
            "dias": { "type": "number", "multipleOf": 0.1 },
            "unidades": { "type": "integer", "format": "int64" },
            "media": { "type": ["number", "null"], "format": "double" },
            "janela": { "type": "string", "format": "date-time" },
            "dia": { "type": ["string", "null"], "format": "date" },
            "lista": { "type": "string" },
        });
        assert_eq!(row["properties"], expected);
        assert_eq!(row["required"].as_array().map(Vec::len), Some(8));
    }
}
