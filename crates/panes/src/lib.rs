//! Windowed aggregation, stretched over time and partitions.
//!
//! A metric is planned once ([`plan`]) into what runs on each decoded batch, what merges states, and what turns states into rows.
//! [`state`] keeps the partial states of open panes per partition; [`watermark`] says how far event time has come.
//!
//! Architecture invariant: no I/O, no clock and no tasks here; time is an argument. Given the same rows, every split
//! into batches and partitions gives the same results.

mod distinct;
mod error;
mod exact;
mod functions;
pub mod plan;
mod rows;
pub mod rules;
mod session;
pub mod state;
pub mod watermark;

pub use distinct::count_distinct_text_of_batches;
pub use error::PanesError;
pub use exact::{exact_aggregates, exact_functions, make_exact};
pub use functions::divide_half_up;
pub use rows::{split_by_window, stored_rows};
pub use session::{EngineConfig, engine_session};

#[cfg(test)]
mod tests;
