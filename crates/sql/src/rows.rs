//! Rows of one statement on their way to a client: batch by batch, never all at once.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::BytesMut;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::results::{FieldFormat, FieldInfo};
use datafusion_postgres::pgwire::error::PgWireError;
use datafusion_postgres::pgwire::messages::data::DataRow;
use futures::StreamExt;
use vitral_query::{QueryError, RowStream};

use crate::column_names::ColumnNames;
use crate::error::{code, fault, of_arrow, of_query};
use crate::types::{pg_type, plain_rows, plain_schema, plain_type};
use crate::values::put_with_length;

/// A row of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub batch: &'a RecordBatch,
    pub index: usize,
}

impl Row<'_> {
    /// As a client gets it.
    pub(crate) fn data(self, fields: &[FieldInfo]) -> Result<DataRow, PgWireError> {
        let mut out = BytesMut::with_capacity(16 * fields.len());
        for (column, field) in self.batch.columns().iter().zip(fields) {
            put_with_length(column.as_ref(), self.index, field.format() == FieldFormat::Binary, &mut out)?;
        }
        Ok(DataRow::new(out, i16::try_from(fields.len()).unwrap_or(i16::MAX)))
    }
}

/// The rows of a statement that runs.
pub(crate) struct Rows {
    stream: RowStream,
    schema: SchemaRef,
    batch: Option<RecordBatch>,
    /// Of the next row in the batch.
    next: usize,
    /// What may still be sent.
    bytes_left: usize,
    bytes_max: usize,
    /// What the client hears before them.
    pub notice: Option<String>,
}

impl Rows {
    /// Rows for a client that has heard of these columns, or hears of those of the rows. At most so
    /// many bytes of them are sent.
    pub(crate) fn new(stream: RowStream, described: Option<&Schema>, bytes_max: usize) -> Result<Self, PgWireError> {
        let found = plain_schema(&stream.schema());
        let schema = match described {
            Some(described) => as_described(&found, described)?,
            None => found,
        };
        Ok(Self { stream, schema, batch: None, next: 0, bytes_left: bytes_max, bytes_max, notice: None })
    }

    /// The same rows, whose columns have these names.
    pub(crate) fn named(mut self, names: &ColumnNames) -> Self {
        self.schema = names.applied(&self.schema);
        self
    }

    /// A few rows that are there already, all of texts.
    pub(crate) fn of_texts(names: &[&str], rows: Vec<Vec<String>>) -> Result<Self, PgWireError> {
        let schema = text_schema(names);
        let column = |index: usize| {
            let texts = rows.iter().map(|row| row.get(index).map(String::as_str));
            Arc::new(texts.collect::<StringArray>()) as _
        };
        let columns = (0..names.len()).map(column).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| of_arrow(&error))?;
        let stream = futures::stream::iter([Ok(batch)]);
        let stream = RecordBatchStreamAdapter::new(Arc::clone(&schema), stream);
        Self::new(Box::pin(stream), None, usize::MAX)
    }

    /// Their columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next row; none after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Row<'_>>, PgWireError> {
        while self.batch.as_ref().is_none_or(|batch| self.next >= batch.num_rows()) {
            let Some(batch) = self.stream.next().await else {
                self.batch = None;
                return Ok(None);
            };
            let batch = batch.map_err(|error| of_query(QueryError::from(error), ""))?;
            self.batch = Some(plain_rows(&batch, &self.schema).map_err(|error| of_arrow(&error))?);
            self.next = 0;
        }
        let index = self.next;
        self.next += 1;
        Ok(self.batch.as_ref().map(|batch| Row { batch, index }))
    }

    /// The next row as it is sent.
    pub(crate) async fn next_data(&mut self, fields: &[FieldInfo]) -> Result<Option<DataRow>, PgWireError> {
        let Some(row) = self.next().await? else { return Ok(None) };
        let data = row.data(fields)?;
        self.count(data.data.len())?;
        Ok(Some(data))
    }

    /// Refuses more than an answer may have.
    pub(crate) fn count(&mut self, bytes: usize) -> Result<(), PgWireError> {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                Ok(())
            }
            None => {
                let message = format!("the answer would be larger than {} bytes", self.bytes_max);
                let remedy = "ask for fewer rows or columns, or raise sql.result_bytes in the server's configuration";
                Err(fault(code::TOO_LARGE, message, remedy))
            }
        }
    }
}

/// The columns as the client knows them. A value never becomes another one for that.
fn as_described(found: &SchemaRef, described: &Schema) -> Result<SchemaRef, PgWireError> {
    let changed = || {
        let message = "cached plan must not change result type";
        fault(
            code::NOT_SUPPORTED,
            message,
            "prepare the statement again; cast columns whose type follows from a parameter",
        )
    };
    if found.fields().len() != described.fields().len() {
        return Err(changed());
    }
    let column = |(found, described): (&FieldRef, &FieldRef)| {
        let (is, was) = (pg_type(found), pg_type(described));
        let plain = if is == was || is.oid() == was.oid() {
            found.data_type().clone()
        } else if was == Type::TEXT {
            DataType::Utf8
        } else if *found.data_type() == DataType::Null
            || (is == Type::INT4 && plain_type(described.data_type()) == DataType::Int32)
        {
            plain_type(described.data_type())
        } else {
            return Err(changed());
        };
        Ok(Field::new(described.name(), plain, true).with_metadata(described.metadata().clone()))
    };
    let columns = found.fields().iter().zip(described.fields()).map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Schema::new(columns)))
}

/// Columns of texts.
pub(crate) fn text_schema(names: &[&str]) -> SchemaRef {
    let field = |name: &&str| Field::new(*name, DataType::Utf8, true);
    Arc::new(Schema::new(names.iter().map(field).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use datafusion_postgres::pgwire::api::portal::Format;
    use datafusion_postgres::pgwire::error::ErrorInfo;

    use super::*;
    use crate::types::fields;

    #[tokio::test]
    async fn answers_end_where_they_are_too_large() {
        let rows = vec![vec!["abc".to_owned()]; 4];
        let mut rows = Rows::of_texts(&["t"], rows).expect("rows");
        // Each has four bytes for its length.
        rows.bytes_left = 20;
        let fields = fields(rows.schema(), &Format::UnifiedText);
        for _ in 0..2 {
            assert!(rows.next_data(&fields).await.expect("a row").is_some());
        }
        let refused = ErrorInfo::from(rows.next_data(&fields).await.expect_err("too large"));
        assert_eq!(refused.code, code::TOO_LARGE);
    }
}
