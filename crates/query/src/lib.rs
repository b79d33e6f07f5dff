//! What can be read, by whom, and within which limits: one namespace over live results and stored
//! tables.
//!
//! An answer is computed from one [`ReadPoint`], taken once: published and provisional rows never
//! overlap in it and never leave a gap. Fronts (HTTP, the command line) bring a statement and its
//! parameters, and turn rows or a [`QueryError`] into an answer.
//!
//! Architecture invariant: nothing here knows domains, topics or columns by name; all of that is
//! the catalog's. Nothing here writes: sessions refuse everything but queries. Nothing here knows
//! HTTP.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod cache;
mod check;
mod error;
mod keyed_rows;
mod known_names;
mod labels;
mod ledger;
mod limits;
mod made_rows;
pub mod metric_rows;
mod namespace;
mod not_yet;
mod open_rows;
mod open_sessions;
mod parameter_rules;
mod permits;
mod placeholders;
mod plan;
mod planning;
mod principal;
mod read_point;
mod read_points;
mod reader;
mod recent_rows;
mod reference;
pub mod remote;
mod rollup;
mod rows;
mod seen_rows;
mod set_aside;
mod shared;
mod stored;
mod tables;
mod time_range;
mod trace;
mod trial;
mod visibility;
mod warehouse;
mod warehouse_rows;

pub use cache::{
    Asked, Cache, CacheCounts, CatalogVersion, Entry, Flight, Freshness, Kept, KeptAnswer, Key, LevelCounts,
    SharedCache, SharedCacheError, State, Turn,
};
pub use check::{ENGINE_PATHS, ServedColumns, in_order, served_errors};
/// Rows as they are computed.
pub use datafusion::execution::SendableRecordBatchStream as RowStream;
pub use error::QueryError;
pub use keyed_rows::{ChangedAfter, KeyedFilter};
pub use labels::Labels;
pub use limits::Limits;
pub use not_yet::notes_on_windows;
pub use open_rows::make_open_rows;
pub use parameter_rules::{ParameterRule, filter_rules};
pub use permits::Permit;
pub use placeholders::{FROM, LIMIT, LIMIT_MAX, NOW, UNTIL, placeholder_values};
pub use principal::{Principal, RowFilters, Scopes};
pub use read_point::ReadPoint;
pub use read_points::ReadPoints;
pub use reader::{ExtraSchemas, Planned, Reader};
pub use reference::References;
pub use rollup::{SumsPlan, SumsQuestion};
pub use rows::{ArrowRows, CsvRows, Format, JsonRows, Rows, utc_text, write_parquet};
pub use set_aside::REASON_UNTOLD;
pub use stored::Store;
pub use tables::{PROVISIONAL_COLUMN, utc};
pub use time_range::TimeRange;
pub use trace::{Number, Proof, Searched, TRACE_SCOPE, Trace, TracedRow};
pub use trial::{EndpointTrial, MetricTrial, TriedWindows};
pub use visibility::sees_completeness;
pub use warehouse::Warehouse;
pub use warehouse_rows::WarehouseRows;
