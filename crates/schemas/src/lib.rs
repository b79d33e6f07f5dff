//! What the other crates agree on: the topics' shape, verdicts, windows, the catalog of SQL files, and the
//! view through which the stream hands its numbers to the API.
//!
//! Architecture invariant: this crate does no I/O besides reading the catalog and its reference tables, and depends on nothing of ours.

pub mod catalog;
pub mod health;
pub mod history;
pub mod notice;
pub mod published;
pub mod reconciliation;
pub mod reference;
pub mod time;
pub mod topic;
pub mod verdict;
pub mod view;
pub mod window;
