//! Conditions of the engine as the database says them, where both mean the same.

use arrow::datatypes::{DataType, Date32Type, Decimal128Type, DecimalType};
use chrono::{DateTime, Datelike};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::columns::{Compared, ReadColumn};
use crate::sql::{escaped, quoted};

/// A condition in SQL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) sql: String,
    /// Whether it holds for the same rows; otherwise for some more.
    pub(super) is_exact: bool,
}

impl Condition {
    fn exact(sql: String) -> Self {
        Self { sql, is_exact: true }
    }

    /// What the database can say of an expression; none if it would mean something else there.
    pub(super) fn of(condition: &Expr, columns: &[ReadColumn]) -> Option<Self> {
        let column = |expr: &Expr| match expr {
            Expr::Column(column) => columns.iter().find(|known| known.name == column.name),
            _ => None,
        };
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let (left, right) = (Self::of(left, columns)?, Self::of(right, columns)?);
                let is_exact = left.is_exact && right.is_exact;
                Some(Self { sql: format!("({} {op} {})", left.sql, right.sql), is_exact })
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (column, Expr::Literal(value, _)) = (column(left)?, right.as_ref()) else { return None };
                let op = operator(*op)?;
                let is_exact = column.is_exact_for(op == "=")?;
                Some(Self { sql: format!("{} {op} {}", quoted(&column.name), column.literal(value)?), is_exact })
            }
            Expr::InList(InList { expr, list, negated }) => {
                let column = column(expr)?;
                let is_exact = column.is_exact_for(!negated)?;
                let value = |item: &Expr| match item {
                    Expr::Literal(value, _) => column.literal(value),
                    _ => None,
                };
                let values = list.iter().map(value).collect::<Option<Vec<_>>>().filter(|values| !values.is_empty())?;
                let not = if *negated { "NOT " } else { "" };
                Some(Self { sql: format!("{} {not}IN ({})", quoted(&column.name), values.join(", ")), is_exact })
            }
            Expr::IsNull(inner) => Some(Self::exact(format!("{} IS NULL", quoted(&column(inner)?.name)))),
            Expr::IsNotNull(inner) => Some(Self::exact(format!("{} IS NOT NULL", quoted(&column(inner)?.name)))),
            Expr::Not(inner) => is_true(column(inner)?).map(|name| Self::exact(format!("NOT {name}"))),
            Expr::Column(_) => is_true(column(condition)?).map(Self::exact),
            _ => None,
        }
    }
}

/// A column that is a condition itself.
fn is_true(column: &ReadColumn) -> Option<String> {
    (column.data_type == DataType::Boolean).then(|| quoted(&column.name))
}

fn operator(op: Operator) -> Option<&'static str> {
    Some(match op {
        Operator::Eq => "=",
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        _ => return None,
    })
}

impl ReadColumn {
    /// Whether a comparison holds for the same rows there; none if it may leave some out.
    fn is_exact_for(&self, is_equality: bool) -> Option<bool> {
        match self.compared {
            Compared::Alike => Some(true),
            Compared::Loosely => is_equality.then_some(false),
            Compared::Otherwise => None,
        }
    }

    /// A value of the column's own type.
    fn literal(&self, value: &ScalarValue) -> Option<String> {
        let is_text = self.data_type == DataType::Utf8;
        match value {
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text))
                if is_text =>
            {
                // No text there has a zero character.
                (!text.contains('\0')).then(|| escaped(text))
            }
            _ if value.data_type() != self.data_type => None,
            ScalarValue::Int64(Some(number)) => Some(number.to_string()),
            ScalarValue::Int32(Some(number)) => Some(number.to_string()),
            ScalarValue::Int16(Some(number)) => Some(number.to_string()),
            ScalarValue::Boolean(Some(is_true)) => Some(is_true.to_string()),
            ScalarValue::Decimal128(Some(number), precision, scale) => {
                Some(Decimal128Type::format_decimal(*number, *precision, *scale))
            }
            ScalarValue::Date32(Some(days)) => {
                let day = Date32Type::to_naive_date_opt(*days)?;
                let is_written_alike = (1..=9999).contains(&day.year());
                is_written_alike.then(|| format!("CAST('{}' AS date)", day.format("%Y-%m-%d")))
            }
            ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
                let time = DateTime::from_timestamp_micros(*micros).filter(|time| (1..=9999).contains(&time.year()))?;
                let time = time.format("%Y-%m-%d %H:%M:%S%.6f");
                Some(match zone {
                    Some(_) => format!("CAST('{time}+00' AS timestamp with time zone)"),
                    None => format!("CAST('{time}' AS timestamp without time zone)"),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{cast, col, lit, not};

    use super::super::columns::DatabaseColumn;
    use super::*;

    fn columns() -> Vec<ReadColumn> {
        let columns = [
            ("n", "bigint"),
            ("receita", "numeric(10,2)"),
            ("regiao", "text"),
            ("dia", "date"),
            ("quando", "timestamp with time zone"),
            ("media", "double precision"),
            ("aberta", "boolean"),
            ("codigo", "character(4)"),
        ];
        let read = |(name, data_type): (&str, &str)| {
            let column = DatabaseColumn { name: name.to_owned(), data_type: data_type.to_owned() };
            column.read("vendas").expect("a column")
        };
        columns.map(read).to_vec()
    }

    fn said(condition: &Expr) -> Option<(String, bool)> {
        Condition::of(condition, &columns()).map(|said| (said.sql, said.is_exact))
    }

    #[test]
    fn what_means_the_same_is_said_in_sql() {
        let zone = Some("UTC".into());
        for (condition, sql, is_exact) in [
            (col("n").gt_eq(lit(-5_i64)), "\"n\" >= -5", true),
            (col("n").in_list(vec![lit(1_i64), lit(2_i64)], true), "\"n\" NOT IN (1, 2)", true),
            (col("receita").lt(lit(ScalarValue::Decimal128(Some(-105), 10, 2))), "\"receita\" < -1.05", true),
            (col("dia").eq(lit(ScalarValue::Date32(Some(0)))), "\"dia\" = CAST('1970-01-01' AS date)", true),
            (
                col("quando").lt(lit(ScalarValue::TimestampMicrosecond(Some(1), zone))),
                "\"quando\" < CAST('1970-01-01 00:00:00.000001+00' AS timestamp with time zone)",
                true,
            ),
            (col("regiao").eq(lit("d'água\\")), "\"regiao\" = E'd''água\\\\'", false),
            (
                col("n").is_null().and(col("aberta").or(not(col("aberta")))),
                "(\"n\" IS NULL AND (\"aberta\" OR NOT \"aberta\"))",
                true,
            ),
            (col("media").is_not_null(), "\"media\" IS NOT NULL", true),
        ] {
            assert_eq!(said(&condition), Some((sql.to_owned(), is_exact)), "{condition}");
        }
    }

    #[test]
    fn what_could_mean_something_else_stays_with_the_engine() {
        for condition in [
            // Collations order texts in their own way, and may take two for one.
            col("regiao").gt(lit("a")),
            col("regiao").not_eq(lit("a")),
            col("regiao").in_list(vec![lit("a")], true),
            col("regiao").eq(lit("a\0")),
            // Blanks are added to it.
            col("codigo").eq(lit("a")),
            col("media").eq(lit(0.0)),
            col("n").eq(lit(1_i32)),
            cast(col("n"), DataType::Utf8).eq(lit("1")),
            col("n").eq(col("receita")),
            col("n").eq(lit(ScalarValue::Int64(None))),
            col("n").in_list(vec![lit(1_i64), lit(ScalarValue::Int64(None))], true),
            col("n").eq(lit(1_i64)).or(col("regiao").gt(lit("a"))),
            col("dia").eq(lit(ScalarValue::Date32(Some(i32::MAX)))),
        ] {
            assert_eq!(said(&condition), None, "{condition}");
        }
    }
}
