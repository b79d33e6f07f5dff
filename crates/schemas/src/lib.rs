//! What the other crates agree on: the topics' shape, verdicts, windows and panes of time, places
//! in files, and health.
//!
//! Architecture invariant: this crate does no I/O, and depends on nothing of ours.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

pub mod changes;
pub mod diagnostic;
pub mod event_id;
pub mod event_time;
pub mod exact;
pub mod finding;
pub mod health;
pub mod kept_payload;
pub mod looked_up;
pub mod lookup;
pub mod metric_version;
pub mod notice;
pub mod position;
pub mod reconciliation;
pub mod text;
pub mod time;
pub mod topic;
pub mod verdict;
pub mod window;
pub mod written;
