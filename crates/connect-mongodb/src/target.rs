//! What is written where.

/// A collection that rows are written into, and what tells them apart there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkTarget {
    /// The sink's own name, under which its progress is kept in the collection `vitral_sinks`.
    pub name: String,
    /// The collection.
    pub collection: String,
    /// The columns that make up `_id`: of one its value, of several their texts with `/` between
    /// them.
    pub key: Vec<String>,
    /// The column with the time after which a row may go.
    pub expires: Option<String>,
}
