//! The columns of a database's table as the engine has them, and how they are asked for.

use arrow::datatypes::{DataType, TimeUnit};
use vitral_store::StoreError;

use crate::sql::quoted;

/// As the database calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatabaseColumn {
    pub(super) name: String,
    pub(super) data_type: String,
}

/// A column that is read.
#[derive(Debug, Clone)]
pub(super) struct ReadColumn {
    pub(super) name: String,
    pub(super) data_type: DataType,
    /// What gives its value as a text that the engine reads.
    pub(super) select: String,
    pub(super) compared: Compared,
}

/// Which conditions mean the same in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// All of them.
    Alike,
    /// Equality, but for rows that a collation takes for equal too.
    Loosely,
    /// None but whether there is a value.
    Otherwise,
}

impl DatabaseColumn {
    /// How it is read.
    ///
    /// # Errors
    /// Its values have no exact form in the engine.
    pub(super) fn read(&self, table: &str) -> Result<ReadColumn, StoreError> {
        let (data_type, compared) = match self.data_type.as_str() {
            "bigint" => (DataType::Int64, Compared::Alike),
            "integer" => (DataType::Int32, Compared::Alike),
            "smallint" => (DataType::Int16, Compared::Alike),
            "boolean" => (DataType::Boolean, Compared::Alike),
            "date" => (DataType::Date32, Compared::Alike),
            "timestamp with time zone" => {
                (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), Compared::Alike)
            }
            "timestamp without time zone" => (DataType::Timestamp(TimeUnit::Microsecond, None), Compared::Alike),
            // Zero and NaN have another order there.
            "double precision" => (DataType::Float64, Compared::Otherwise),
            "real" => (DataType::Float32, Compared::Otherwise),
            "text" => (DataType::Utf8, Compared::Loosely),
            other if other.starts_with("character varying") => (DataType::Utf8, Compared::Loosely),
            other if other.starts_with("numeric") => match decimal(other) {
                Some(data_type) => (data_type, Compared::Alike),
                None => return Err(self.inexact(table)),
            },
            // As the database writes it.
            _ => (DataType::Utf8, Compared::Otherwise),
        };
        let name = quoted(&self.name);
        let is_other = data_type == DataType::Utf8 && compared == Compared::Otherwise;
        let select = if is_other { format!("{name}::text") } else { name };
        Ok(ReadColumn { name: self.name.clone(), data_type, select, compared })
    }

    fn inexact(&self, table: &str) -> StoreError {
        StoreError::InexactColumn {
            table: table.to_owned(),
            column: self.name.clone(),
            data_type: self.data_type.clone(),
        }
    }
}

/// `numeric(precision,scale)` with as many digits as the engine has.
fn decimal(data_type: &str) -> Option<DataType> {
    let digits = data_type.strip_prefix("numeric(")?.strip_suffix(')')?;
    let (precision, scale) = digits.split_once(',')?;
    let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    let is_kept = precision <= 38 && scale >= 0 && scale.unsigned_abs() <= precision;
    is_kept.then_some(DataType::Decimal128(precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data_type: &str) -> Result<ReadColumn, StoreError> {
        DatabaseColumn { name: "valor".to_owned(), data_type: data_type.to_owned() }.read("vendas")
    }

    #[test]
    fn types_are_read_as_they_are_written() {
        for (data_type, wanted) in [
            ("bigint", DataType::Int64),
            ("numeric(38,2)", DataType::Decimal128(38, 2)),
            ("numeric(5,0)", DataType::Decimal128(5, 0)),
            ("character varying(65535)", DataType::Utf8),
            ("timestamp with time zone", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ] {
            let column = read(data_type).expect("a type");
            assert_eq!((column.data_type, column.select.as_str()), (wanted, "\"valor\""));
        }
        let other = read("jsonb").expect("a text");
        assert_eq!((other.data_type, other.select.as_str()), (DataType::Utf8, "\"valor\"::text"));
    }

    #[test]
    fn numbers_that_would_lose_digits_are_refused_with_their_column() {
        for data_type in ["numeric", "numeric(50,2)", "numeric(3,5)", "numeric(5,-2)"] {
            let error = read(data_type).expect_err(data_type).to_string();
            assert!(error.contains("column valor of vendas") && error.contains("numeric(38, 10)"), "{error}");
        }
    }
}
