//! The columns of a `CREATE TABLE`: their types, and the rules that they declare.

use datafusion::sql::sqlparser::ast::{
    CharacterLength, ColumnDef, ColumnOption, DataType, ExactNumberInfo, TimezoneInfo,
};
use vitral_schemas::topic::{Column, ColumnKind, TEXT_BYTES_MAX};

use crate::position::InFile;
use crate::{Diagnostic, Position, lookup};

/// The columns that can be read, and what is wrong with any.
pub(super) fn columns(definitions: &[ColumnDef], position: &Position) -> (Vec<Column>, Vec<Diagnostic>) {
    let mut columns: Vec<Column> = Vec::new();
    let mut errors = Vec::new();
    for definition in definitions {
        let at = position.at(definition.name.span);
        match column(definition, &at) {
            Ok(column) if columns.iter().any(|other| other.name == column.name) => errors
                .push(at.error(format!("column {} is declared twice", column.name), "remove one of the two".into())),
            Ok(column) => columns.push(column),
            Err(error) => errors.push(error),
        }
    }
    errors.extend(lookup::misuses(definitions, &columns, position));
    (columns, errors)
}

fn column(definition: &ColumnDef, position: &Position) -> Result<Column, Diagnostic> {
    let name = definition.name.value.clone();
    if name.starts_with('_') {
        return Err(position.error(
            format!("column {name} starts with an underscore"),
            "rename it: such names belong to the archive's own columns".into(),
        ));
    }
    let (kind, bytes_max) = kind(&definition.data_type, &name, position)?;
    let mut column = Column { bytes_max, ..Column::new(name, kind) };
    for option in &definition.options {
        match &option.option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => column.needed = true,
            ColumnOption::Default(expr) => column.default = Some(expr.to_string()),
            ColumnOption::Check(check) => column.check = Some(check.expr.to_string()),
            generated @ ColumnOption::Generated { .. } => column.lookup = Some(lookup::generated(generated, position)?),
            other => {
                return Err(position.error(
                    format!("column {} has {other}, which is not supported", column.name),
                    "use NOT NULL, DEFAULT, CHECK or GENERATED ALWAYS AS (lookup(...)) STORED".into(),
                ));
            }
        }
    }
    Ok(column)
}

/// What a column of this type holds, and how many bytes where it is one of texts.
fn kind(data_type: &DataType, name: &str, position: &Position) -> Result<(ColumnKind, usize), Diagnostic> {
    let mut bytes_max = TEXT_BYTES_MAX;
    let kind = match data_type {
        DataType::Text | DataType::Varchar(None) | DataType::String(None) => ColumnKind::Text,
        DataType::Varchar(Some(CharacterLength::IntegerLength { length, .. })) => {
            bytes_max = text_bound(&length.to_string(), name, position)?;
            ColumnKind::Text
        }
        DataType::Custom(custom, bound) if custom.to_string().eq_ignore_ascii_case("text_or_number") => {
            if let [bound, ..] = bound.as_slice() {
                bytes_max = text_bound(bound, name, position)?;
            }
            ColumnKind::TextOrNumber
        }
        DataType::Custom(custom, bound) if custom.to_string().eq_ignore_ascii_case("currency") && bound.is_empty() => {
            ColumnKind::Currency
        }
        DataType::BigInt(None) | DataType::Int8(None) => ColumnKind::Integer,
        DataType::Decimal(ExactNumberInfo::PrecisionAndScale(precision, scale))
        | DataType::Numeric(ExactNumberInfo::PrecisionAndScale(precision, scale))
            if (1..=38).contains(precision) && (0..=i64::try_from(*precision).unwrap_or(38)).contains(scale) =>
        {
            ColumnKind::Decimal {
                precision: u8::try_from(*precision).unwrap_or(38),
                scale: i8::try_from(*scale).unwrap_or(0),
            }
        }
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
            ColumnKind::Timestamp
        }
        DataType::Boolean | DataType::Bool => ColumnKind::Boolean,
        other => {
            return Err(position.error(
                format!("column {name} has the type {other}, which is not supported"),
                "use TEXT, VARCHAR(n), TEXT_OR_NUMBER, CURRENCY, BIGINT, DECIMAL(p, s), TIMESTAMP or BOOLEAN".into(),
            ));
        }
    };
    Ok((kind, bytes_max))
}

/// How many bytes a text column may hold.
fn text_bound(bound: &str, column: &str, position: &Position) -> Result<usize, Diagnostic> {
    bound.parse().ok().filter(|bytes| *bytes > 0).ok_or_else(|| {
        position.error(
            format!("column {column} has the length {bound}, which is not a count of bytes"),
            "write for example VARCHAR(256)".into(),
        )
    })
}
