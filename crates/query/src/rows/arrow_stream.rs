//! Rows as Arrow's IPC stream: types and digits as they are computed, for further computation.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;

/// Rows that are written together: so many fill about a piece of an answer.
const BATCH_ROWS: usize = 1024;

/// Batches that wait to be sent.
pub struct ArrowRows {
    schema: SchemaRef,
    /// Or why there is none: a column's type has no place in the format.
    writer: Result<StreamWriter<Vec<u8>>, String>,
}

impl ArrowRows {
    /// Begins with the schema. Texts have one type, however they are kept: clients should not see
    /// another one when there happens to be no row in memory.
    pub fn new(schema: &Schema) -> Self {
        let field = |field: &Arc<Field>| {
            let data_type = plain_type(field.data_type());
            Field::new(field.name(), data_type, field.is_nullable())
        };
        let schema = Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()));
        let writer = StreamWriter::try_new(Vec::new(), &schema).map_err(|error| error.to_string());
        Self { schema, writer }
    }

    pub(super) fn push_some(
        &mut self,
        batch: &RecordBatch,
        mut from: usize,
        bytes: usize,
    ) -> Result<usize, ArrowError> {
        let writer = self.writer.as_mut().map_err(|error| ArrowError::IpcError(error.clone()))?;
        while from < batch.num_rows() && writer.get_ref().len() < bytes {
            let rows = batch.slice(from, BATCH_ROWS.min(batch.num_rows() - from));
            let columns = rows.columns().iter().zip(self.schema.fields());
            let columns = columns.map(|(column, field)| cast(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?;
            from += rows.num_rows();
        }
        Ok(from)
    }

    pub(super) fn waiting(&self) -> usize {
        self.writer.as_ref().map_or(0, |writer| writer.get_ref().len())
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        self.writer.as_mut().map(|writer| std::mem::take(writer.get_mut())).unwrap_or_default()
    }

    /// Memory takes whatever is written to it: an answer without its end would be refused by every
    /// reader.
    pub(super) fn finish(self) -> Vec<u8> {
        self.writer.ok().and_then(|writer| writer.into_inner().ok()).unwrap_or_default()
    }
}

impl fmt::Debug for ArrowRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArrowRows").field("schema", &self.schema).finish_non_exhaustive()
    }
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, StringViewArray};
    use arrow::datatypes::Decimal128Type;
    use arrow::ipc::reader::StreamReader;

    use super::*;

    fn batch(rows: i64) -> RecordBatch {
        let money = (0..rows).map(|row| (row > 0).then(|| 1_234_567_890_123_456_789_i128 + i128::from(row)));
        let money = money.collect::<Decimal128Array>().with_precision_and_scale(38, 2).expect("a decimal");
        let texts = (0..rows).map(|row| Some(format!("a text that is longer than a view holds: {row}")));
        RecordBatch::try_from_iter([
            ("n", Arc::new((0..rows).collect::<Int64Array>()) as ArrayRef),
            ("receita", Arc::new(money) as ArrayRef),
            ("nome", Arc::new(texts.collect::<StringViewArray>()) as ArrayRef),
        ])
        .expect("a batch")
    }

    fn read(bytes: &[u8]) -> Vec<RecordBatch> {
        let reader = StreamReader::try_new(bytes, None).expect("a stream");
        assert_eq!(reader.schema().field(2).data_type(), &DataType::Utf8);
        reader.collect::<Result<_, _>>().expect("batches")
    }

    #[test]
    fn rows_in_pieces_are_one_stream() {
        let all = batch(3_000);
        let mut rows = ArrowRows::new(&all.schema());
        let (mut bytes, mut from, mut pieces) = (Vec::new(), 0, 0);
        while from < all.num_rows() {
            from = rows.push_some(&all, from, 1 << 10).expect("written");
            bytes.extend(rows.take());
            pieces += 1;
        }
        bytes.extend(rows.finish());
        assert!(pieces > 1);
        let found = read(&bytes);
        assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 3_000);
        let money = found[0].column(1).as_primitive::<Decimal128Type>();
        assert!(money.is_null(0) && money.value(1) == 1_234_567_890_123_456_790);
    }

    #[test]
    fn no_rows_have_their_columns() {
        let rows = ArrowRows::new(&batch(0).schema());
        assert!(read(&rows.finish()).is_empty());
    }
}
