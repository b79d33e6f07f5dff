//! Rows as a Parquet file.

use std::io::Write;

use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::errors::ParquetError;
use futures::StreamExt;

use crate::error::QueryError;

/// Writes all rows, a row group at a time.
pub async fn write_parquet(mut rows: SendableRecordBatchStream, to: impl Write + Send) -> Result<(), QueryError> {
    let failed = |error: ParquetError| QueryError::from(DataFusionError::ParquetError(Box::new(error)));
    let mut writer = ArrowWriter::try_new(to, rows.schema(), None).map_err(failed)?;
    while let Some(batch) = rows.next().await.transpose()? {
        writer.write(&batch).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}
