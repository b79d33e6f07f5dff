//! The binary's parts: its arguments and allocator, and the supervisor of what it serves.
//!
//! Commands are in `vitral_commands`, what can be configured in `vitral_config`.

#![warn(clippy::too_many_lines)]

mod allocator;
pub mod cli;
#[cfg(feature = "demo")]
mod demo;
mod serve;
mod server;
mod shutdown;
mod stream;
mod supervisor;
