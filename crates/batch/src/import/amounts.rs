//! What rows are worth, as their table's key says: its first amount, else the next times how many
//! there are.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use arrow::error::ArrowError;
use vitral_catalog::ImportTarget;
use vitral_schemas::topic::{ColumnKind, Topic};

/// Places behind the point that all amounts are compared with.
pub(super) const SCALE: u32 = 6;

/// The amounts of a table's key, by their names.
#[derive(Debug, Clone)]
pub(super) struct Amounts {
    /// What a row is worth in all, where the key has it besides the worth of one.
    pub(super) total: Option<String>,
    /// What one is worth.
    pub(super) price: Option<String>,
    /// How many there are.
    pub(super) count: Option<String>,
}

/// The amounts of some rows.
pub(super) struct Columns {
    pub(super) total: Option<Decimal128Array>,
    pub(super) price: Option<Decimal128Array>,
    pub(super) count: Option<Int64Array>,
}

impl Amounts {
    pub(super) fn of(topic: &Topic, target: &ImportTarget) -> Self {
        let kind = |name: &String| topic.columns.iter().find(|column| column.name == *name).map(|column| column.kind);
        let mut decimals = target.key.iter().filter(|name| matches!(kind(name), Some(ColumnKind::Decimal { .. })));
        let (first, second) = (decimals.next().cloned(), decimals.next().cloned());
        let count = target.key.iter().find(|name| matches!(kind(name), Some(ColumnKind::Integer))).cloned();
        let (total, price) = if second.is_some() { (first, second) } else { (None, first) };
        Self { total, price, count }
    }

    /// `values` by the topic's names.
    pub(super) fn columns(&self, values: &RecordBatch) -> Result<Columns, ArrowError> {
        let column = |name: &Option<String>, to: &DataType| -> Result<Option<ArrayRef>, ArrowError> {
            name.as_ref().and_then(|name| values.column_by_name(name)).map(|column| cast(column, to)).transpose()
        };
        let decimal = |name: &Option<String>| -> Result<Option<Decimal128Array>, ArrowError> {
            let decimals = column(name, &DataType::Decimal128(38, SCALE as i8))?;
            Ok(decimals.map(|column| column.as_primitive::<Decimal128Type>().clone()))
        };
        Ok(Columns {
            total: decimal(&self.total)?,
            price: decimal(&self.price)?,
            count: column(&self.count, &DataType::Int64)?.map(|column| column.as_primitive::<Int64Type>().clone()),
        })
    }
}

fn at<T: arrow::datatypes::ArrowPrimitiveType>(
    column: Option<&arrow::array::PrimitiveArray<T>>,
    row: usize,
) -> Option<T::Native> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
}

impl Columns {
    pub(super) fn total(&self, row: usize) -> Option<i128> {
        at(self.total.as_ref(), row)
    }

    pub(super) fn price(&self, row: usize) -> Option<i128> {
        at(self.price.as_ref(), row)
    }

    pub(super) fn count(&self, row: usize) -> Option<i64> {
        at(self.count.as_ref(), row)
    }

    /// None where no amount stands.
    pub(super) fn worth(&self, row: usize) -> Option<i128> {
        let product = || self.price(row).map(|price| price.saturating_mul(i128::from(self.count(row).unwrap_or(1))));
        self.total(row).or_else(product)
    }
}

/// An amount for people, with the two places that most have, or more.
pub(super) fn shown(amount: i128) -> String {
    let unit = 10_i128.pow(SCALE);
    let fraction = format!("{:06}", (amount % unit).abs());
    let rest = fraction[2..].trim_end_matches('0');
    let sign = if amount < 0 { "-" } else { "" };
    format!("{sign}{}.{}{rest}", (amount / unit).abs(), &fraction[..2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_with_their_places() {
        for (amount, expected) in [(0, "0.00"), (1_500_000, "1.50"), (-10_123_400, "-10.1234"), (-500_000, "-0.50")] {
            assert_eq!(shown(amount), expected);
        }
    }
}
