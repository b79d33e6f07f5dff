//! Windowed aggregation, stretched over time and partitions.
//!
//! A metric is planned once ([`plan`]) into what runs on each decoded batch, what merges states,
//! and what turns states into rows. [`state`] keeps the partial states of open panes per partition;
//! [`watermark`] says how far event time has come.
//!
//! Architecture invariant: no I/O, no clock and no tasks here; time is an argument. Given the same
//! rows, every split into batches and partitions gives the same results.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod error;
pub mod open_windows;
mod pane_column;
pub mod plan;
mod rows;
mod sessions;
pub mod state;
pub mod view;
pub mod watermark;

pub use error::PanesError;
pub use rows::{in_order, split_by_window, stored_rows};

#[cfg(test)]
mod tests;
