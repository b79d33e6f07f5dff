//! What was imported and taken back: the table `importacoes`, which goes with the histories. It has
//! a row for each thing that was done to an import.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use vitral_schemas::topic::timestamp_type;

/// Its name, and that of its folder.
pub const IMPORTS_TABLE: &str = "importacoes";

/// What an import may have come to: its rows are in; it was cut short, or is under way; its rows
/// were taken back; another import took its place.
pub const IMPORT_STATES: [&str; 4] = ["importada", "inacabada", "desfeita", "substituida"];

/// Its columns.
pub fn imports_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("instante", timestamp_type(), false),
        Field::new("estado", DataType::Utf8, false),
        Field::new("topico", DataType::Utf8, false),
        Field::new("tabela", DataType::Utf8, false),
        Field::new("arquivo", DataType::Utf8, false),
        Field::new("contadas", DataType::Int64, false),
        Field::new("conhecidas", DataType::Int64, false),
        Field::new("duplicadas", DataType::Int64, false),
        Field::new("recusadas", DataType::Int64, false),
        Field::new("de", timestamp_type(), true),
        Field::new("ate", timestamp_type(), true),
        Field::new("conhecidas_de", DataType::Utf8, false),
        Field::new("entendimento", DataType::Utf8, false),
        Field::new("substituida_por", DataType::Utf8, true),
    ]))
}
