//! How rows are laid out in Parquet files.

use arrow::datatypes::DataType;
use deltalake::parquet::basic::{Compression, Encoding};
use deltalake::parquet::file::properties::{EnabledStatistics, WriterProperties};
use deltalake::parquet::schema::types::ColumnPath;

use super::Table;

/// A writer holds one row group in memory, and so does a reader: small ones keep merges small while
/// the stream runs.
const ROW_GROUP_ROWS: usize = 128 * 1024;

impl Table {
    /// Cheap compression: the archive is written once and merged twice, and its share of the
    /// stream's work is bounded. Times and integers, offsets above all, are packed by their
    /// differences, which costs less than dictionary encoding. No query prunes files by the
    /// smallest and largest string, so there are no such statistics.
    pub(crate) fn writer_properties(&self) -> WriterProperties {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
        for field in self.schema.fields() {
            let column = ColumnPath::new(vec![field.name().clone()]);
            properties = match field.data_type() {
                DataType::Int32 | DataType::Int64 | DataType::Timestamp(..) => properties
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED),
                DataType::Utf8 | DataType::Binary => {
                    let is_unique = self.unique.as_deref() == Some(field.name().as_str());
                    properties
                        .set_column_statistics_enabled(column.clone(), EnabledStatistics::None)
                        .set_column_dictionary_enabled(column, !is_unique)
                }
                _ => properties,
            };
        }
        properties.build()
    }
}
