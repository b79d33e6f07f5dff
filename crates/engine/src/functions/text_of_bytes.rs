//! `text_of_bytes(binary)`: payloads for people.

use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility};
use datafusion::prelude::create_udf;

/// `text_of_bytes(binary)`: what is not UTF-8 becomes the replacement character, as in dead
/// letters' details.
pub fn text_of_bytes() -> ScalarUDF {
    let run = |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let bytes = cast(&arrays[0], &DataType::Binary)?;
        let bytes = bytes.as_binary::<i32>();
        let texts: StringArray = bytes.iter().map(|bytes| bytes.map(String::from_utf8_lossy)).collect();
        Ok(ColumnarValue::Array(Arc::new(texts)))
    };
    create_udf("text_of_bytes", vec![DataType::Binary], DataType::Utf8, Volatility::Immutable, Arc::new(run))
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, RecordBatch};
    use arrow::datatypes::{Field, Schema};
    use datafusion::datasource::MemTable;
    use datafusion::logical_expr::ident;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn bytes_that_are_no_text_are_shown_all_the_same() {
        let bytes = BinaryArray::from(vec![Some("não é JSON".as_bytes()), Some(b"\xff{"), None]);
        let schema = Arc::new(Schema::new(vec![Field::new("conteudo", DataType::Binary, true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(bytes)]).expect("a batch");
        let table = MemTable::try_new(schema, vec![vec![batch]]).expect("a table");
        let frame = SessionContext::new().read_table(Arc::new(table)).expect("a table");
        let texts = frame.select(vec![text_of_bytes().call(vec![ident("conteudo")])]).expect("planned");
        let batches = texts.collect().await.expect("texts");
        let texts: Vec<Option<&str>> = batches[0].column(0).as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("não é JSON"), Some("\u{fffd}{"), None]);
    }
}
