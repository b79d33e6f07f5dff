//! The binary's parts: the arguments of this process, its logs and allocator, and the supervisor of
//! what it serves.
//!
//! What commands take, do and print is `vitral_commands`', what can be configured
//! `vitral_config`'s.

#![warn(clippy::too_many_lines)]

mod allocator;
pub mod cli;
#[cfg(feature = "demo")]
mod demo;
mod logging;
mod server;
mod shutdown;
mod stream;
mod supervisor;
