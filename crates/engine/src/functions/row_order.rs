//! Keys of bytes: where a row comes in an order, and in which bucket a text is.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::functions::expr_fn::concat_ws;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast as cast_expr, lit,
};

/// `row_order(a, b, ...)`: bytes that compare as the integers do, one after the other. None of them
/// may be null. Times are counted in their own unit.
pub fn row_order() -> ScalarUDF {
    ScalarUDF::from(RowOrder { signature: Signature::variadic_any(Volatility::Immutable) })
}

/// `text_bucket(text)`: a number below 2^32 that is the same for the same text; 0 for null.
pub fn text_bucket() -> ScalarUDF {
    ScalarUDF::from(TextBucket { signature: Signature::string(1, Volatility::Immutable) })
}

/// Whether rows with this key, of one column or several, are in one bucket out of so many.
pub fn in_key_bucket(key: impl IntoIterator<Item = Expr>, (bucket, buckets): (i64, i64)) -> Expr {
    let mut key: Vec<Expr> = key.into_iter().map(|column| cast_expr(column, DataType::Utf8)).collect();
    let key = if key.len() == 1 { key.swap_remove(0) } else { concat_ws(lit("/"), key) };
    (text_bucket().call(vec![key]) % lit(buckets)).eq(lit(bucket))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowOrder {
    signature: Signature,
}

impl ScalarUDFImpl for RowOrder {
    fn name(&self) -> &str {
        "row_order"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let numbers = arrays.iter().map(|array| cast(array, &DataType::Int64)).collect::<Result<Vec<_>, _>>()?;
        let numbers: Vec<&Int64Array> = numbers.iter().map(|array| array.as_primitive::<Int64Type>()).collect();
        let bytes = numbers.len() * size_of::<i64>();
        // A batch of scalars alone is one row.
        let rows = numbers.first().map_or(0, |first| first.values().len());
        let mut keys = BinaryBuilder::with_capacity(rows, rows * bytes);
        let mut key = Vec::with_capacity(bytes);
        for row in 0..rows {
            key.clear();
            for column in &numbers {
                // With the sign turned round, bytes compare as numbers do.
                key.extend((column.value(row) ^ i64::MIN).to_be_bytes());
            }
            keys.append_value(&key);
        }
        Ok(ColumnarValue::Array(Arc::new(keys.finish()) as ArrayRef))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TextBucket {
    signature: Signature,
}

impl ScalarUDFImpl for TextBucket {
    fn name(&self) -> &str {
        "text_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [texts] = arrays.as_slice() else { return exec_err!("text_bucket takes one string") };
        let bucket = |text: Option<&str>| text.map_or(0, fnv);
        let buckets = match texts.data_type() {
            DataType::Utf8View => Int64Array::from_iter_values(texts.as_string_view().iter().map(bucket)),
            DataType::LargeUtf8 => Int64Array::from_iter_values(texts.as_string::<i64>().iter().map(bucket)),
            _ => Int64Array::from_iter_values(texts.as_string::<i32>().iter().map(bucket)),
        };
        Ok(ColumnarValue::Array(Arc::new(buckets) as ArrayRef))
    }
}

/// FNV-1a of 32 bits: short, the same everywhere, and spread well enough for buckets.
fn fnv(text: &str) -> i64 {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    i64::from(hash)
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatch;
    use datafusion::logical_expr::{ident, lit};
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn bytes_compare_as_numbers_do() {
        let ordered = [(i64::MIN, 5), (-1, 0), (-1, 7), (0, -1), (0, 0), (3, i64::MAX), (i64::MAX, 0)];
        let column =
            |of: fn(&(i64, i64)) -> i64| -> ArrayRef { Arc::new(ordered.iter().map(of).collect::<Int64Array>()) };
        let batch = RecordBatch::try_from_iter([("a", column(|row| row.0)), ("b", column(|row| row.1))]).expect("rows");
        let frame = SessionContext::new().read_batch(batch).expect("rows");
        let frame = frame.select(vec![row_order().call(vec![ident("a"), lit(1_i64), ident("b")])]).expect("planned");
        let rows = frame.collect().await.expect("keys");
        let keys: Vec<Vec<u8>> = rows[0].column(0).as_binary::<i32>().iter().flatten().map(<[u8]>::to_vec).collect();
        assert!(keys.len() == ordered.len() && keys.is_sorted() && keys.iter().all(|key| key.len() == 24), "{keys:?}");
    }

    #[test]
    fn a_bucket_is_of_the_text_alone() {
        assert_eq!((fnv(""), fnv("a")), (0x811c_9dc5, 0xe40c_292c));
    }
}
