//! Why a query has no answer.

use std::path::PathBuf;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use vitral_catalog::Diagnostics;
use vitral_panes::PanesError;
use vitral_store::StoreError;

/// Why there is no answer; fronts make of it what their protocol has.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields of its variant are")]
pub enum QueryError {
    /// What the catalog declares cannot be served.
    #[error("the catalog cannot be served")]
    Catalog(#[source] Diagnostics),
    /// Recovery is not done: numbers would be wrong.
    #[error("the stream is still recovering")]
    Starting,
    /// The principal may not read it, or it cannot be read row by row.
    #[error("{0} may not be read")]
    Forbidden(String),
    /// The statement cannot be planned: the user has to correct it.
    #[error("{0}")]
    Statement(Diagnostics),
    /// A topic or metric that the catalog declares and the stream does not show.
    #[error("{0} is not in the view")]
    Unavailable(String),
    /// The same, and why.
    #[error("topic {topic} cannot be read yet: {reason}")]
    TopicWaiting { topic: String, reason: String },
    /// Numbers without what was imported would be wrong.
    #[error("what was imported into {0} has not been read yet")]
    ImportsUnread(String),
    /// The same, after it was tried.
    #[error("what was imported into {topic} cannot be read: {reason}")]
    ImportsUnreadable { topic: String, reason: String },
    /// Windows of another version are stored, and none of the catalog's.
    #[error(
        "metric {metric} is not published as the catalog declares it now: a stream that starts with this catalog, or `vitral backfill`, \
         computes it"
    )]
    NotPublished { metric: String },
    /// A table of the warehouse that its job has not written.
    #[error("{table} has not been made yet: `vitral batch run {job}` makes it")]
    NotMade { table: String, job: String },
    /// The warehouse's database, and its replica if there is one, do not answer.
    #[error("the warehouse cannot be read over connection {connection}: {reason}")]
    WarehouseAway { connection: String, reason: String },
    /// The stream has set a table aside: what it has is not all.
    #[error(
        "table {table} is set aside, so nothing is computed from it: {reason}. GET /metricas/{table} has its rows as they were before"
    )]
    SetAside { table: String, reason: String },
    #[error(
        "nothing is stored of {names} in {place}: name the data directory of a stream or demo with --data-dir, or its bucket in the \
         configuration"
    )]
    /// A wrong place, or one that nothing has been written to yet.
    NothingStored { names: String, place: String },
    /// It took longer than [`crate::Limits::timeout`], waiting included.
    #[error("the query ran out of time")]
    Timeout,
    /// More than [`crate::Limits::waiting_max`] would wait.
    #[error("too many queries are already waiting")]
    Busy,
    /// More bytes than an answer may have.
    #[error("the answer would be larger than {0} bytes")]
    TooLarge(usize),
    /// What the query engine says of the rows.
    #[error("the query failed")]
    Engine(#[source] DataFusionError),
    /// Batches that do not fit together.
    #[error("rows could not be assembled")]
    Rows(#[from] ArrowError),
    /// A file that is not what its table declares.
    #[error("the file {path} of a reference table cannot be read")]
    Reference { path: PathBuf, source: ArrowError },
    /// What the store says.
    #[error("stored tables cannot be read")]
    Store(#[source] StoreError),
    /// What is wrong with a metric's statement.
    #[error("the metric cannot be computed")]
    Metric(#[from] PanesError),
}

impl QueryError {
    /// Whether it needs more memory than all queries together may hold.
    pub fn is_memory(&self) -> bool {
        matches!(self, Self::Engine(error) if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)))
    }

    /// What the engine says of a text that it could not read as another type. The text is quoted in
    /// it.
    pub fn unreadable_text(&self) -> Option<String> {
        let Self::Engine(error) = self else { return None };
        match error.find_root() {
            DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
                ArrowError::CastError(said) | ArrowError::ParseError(said) => Some(said.replace('"', "'")),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A database that is away is not a trouble of the store.
impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::WarehouseAway { connection, source } => {
                Self::WarehouseAway { connection, reason: causes(source.as_ref()) }
            }
            other => Self::Store(other),
        }
    }
}

/// An error with what it comes from.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What a table of the namespace says comes back through the engine, as itself.
impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => match other.downcast::<StoreError>() {
                    Ok(of_store) => (*of_store).into(),
                    Err(other) => Self::Engine(DataFusionError::External(other)),
                },
            },
            DataFusionError::Context(said, inner) => match Self::from(*inner) {
                Self::Engine(inner) => Self::Engine(DataFusionError::Context(said, Box::new(inner))),
                own => own,
            },
            other => Self::Engine(other),
        }
    }
}

impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Engine(error) => error,
            other => Self::External(Box::new(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_table_goes_through_the_engine_unchanged() {
        let through = QueryError::from(DataFusionError::from(QueryError::Unavailable("vendas".into())));
        assert!(matches!(through, QueryError::Unavailable(name) if name == "vendas"));
        let exhausted = DataFusionError::ResourcesExhausted("no more".into()).context("sorting");
        assert!(QueryError::from(exhausted).is_memory());
    }
}
