//! Where rows are kept: the archive and the history of each topic and the table of each metric, as
//! Delta tables.
//!
//! Architecture invariant: only this crate reads and writes object storage; `connect-kafka` uses
//! the same library to find AWS keys, and nothing else of it. The archive's commit is the only one
//! that matters; a metric's table can be rebuilt from it.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

pub mod alerts;
mod append_table;
pub mod archive;
mod audit;
mod described_rows;
pub mod doctor;
mod drift;
mod durable;
mod error;
mod histories;
mod history;
mod history_poller;
mod imports;
pub mod keyed;
mod layout;
pub mod lease;
pub mod location;
pub mod lock;
pub mod maintenance;
mod merge;
pub mod metric_table;
mod predicates;
mod private_files;
mod probe;
mod quarantine;
pub mod refusals;
pub mod row_log;
mod session;
pub mod sinks;
pub mod snapshot;
mod stored_at;
mod table;
pub mod warehouse;

pub use alerts::{AlertLog, AlertReceiver};
pub use append_table::AppendTable;
pub use archive::{Advance, Archive, ArchiveCommit, ArchiveReader, Counts};
pub use audit::{AUDIT_TABLE, Act, audit_schema, audit_trail};
pub use drift::Drift;
pub use error::StoreError;
pub use histories::{Histories, HistoryReceiver};
pub use history::{History, ImportedRows};
pub use history_poller::HistoryPoller;
pub use imports::{IMPORT_STATES, IMPORTS_TABLE, imports_schema};
pub use keyed::{KeyedPlan, KeyedRows, KeyedTable};
pub use layout::Layout;
pub use lease::{Holder, Lease};
pub use location::Location;
pub use lock::DataDirLock;
pub use metric_table::{MetricProgress, MetricTable, PublishedVersion, PublishedWindows};
pub use probe::{StoreProbe, probe};
pub use quarantine::{QUARANTINE_TABLE, Quarantine};
pub use session::{bulk_session, read_session};
pub use snapshot::Snapshots;
pub use stored_at::stored_at;
pub use table::{StoredAt, StoredRows, rows_version};
