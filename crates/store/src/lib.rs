//! Where rows are kept: the archive of each topic and the table of each metric, as Delta tables.
//!
//! Architecture invariant: only this crate knows object storage. The archive's commit is the only one that
//! matters; a metric's table can be rebuilt from it.

pub mod archive;
mod error;
pub mod lock;
pub mod metric_table;
mod session;
mod table;

pub use archive::{Archive, ArchiveCommit, ArchiveReader, Counts};
pub use error::StoreError;
pub use lock::DataDirLock;
pub use metric_table::MetricTable;
pub use session::read_session;
