//! What a reconciliation has found, as it is stored, served and shown: one row for each metric of a
//! run.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tokio::sync::watch;

use crate::topic::timestamp_type;

/// The table's name in SQL, and that of its folder.
pub const TABLE: &str = "reconciliacao";

/// Readers hold the receiving end: the last results, newest first, in [`schema`].
pub type ReconciliationReceiver = watch::Receiver<Arc<RecordBatch>>;

/// What a row says in `veredito`.
pub const EQUAL: &str = "igual";
/// A published row is not what the archive gives.
pub const DIFFERENT: &str = "diferente";
/// The metric's SQL fails on the archive's rows: there is nothing to compare with.
pub const FAILED: &str = "falha";

/// Who asked, in `origem`: somebody, by command.
pub const BY_COMMAND: &str = "comando";
/// Who asked, in `origem`: the check that runs alongside the stream.
pub const BY_ITSELF: &str = "continua";
/// Who asked, in `origem`: the same check, of sessions and of tables with one row for each key, a
/// part of the keys every six hours.
pub const BY_KEYS: &str = "chaves";

/// `instante` is when the comparison ended; `de` and `ate` bound the windows' starts; `quebras`
/// counts the places where the offsets of the topic's archive do not go on as they should;
/// `reparada` says that the row is of the comparison after a repair.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("instante", timestamp_type(), false),
        Field::new("origem", DataType::Utf8, false),
        Field::new("metrica", DataType::Utf8, false),
        Field::new("de", timestamp_type(), false),
        Field::new("ate", timestamp_type(), false),
        Field::new("publicada_ate", timestamp_type(), true),
        Field::new("janelas", DataType::Int64, false),
        Field::new("linhas", DataType::Int64, false),
        Field::new("diferencas", DataType::Int64, false),
        Field::new("quebras", DataType::Int64, false),
        Field::new("veredito", DataType::Utf8, false),
        Field::new("reparada", DataType::Boolean, false),
        Field::new("duracao_ms", DataType::Int64, false),
    ]))
}
