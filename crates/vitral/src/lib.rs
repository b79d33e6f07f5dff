//! The binary's parts: commands, configuration, logs, shutdown and the demo.

mod allocator;
mod args;
#[cfg(feature = "demo")]
mod broker;
pub mod cli;
mod commands;
pub mod config;
mod doctor;
mod engine;
mod listening;
mod logging;
#[cfg(feature = "demo")]
mod notices;
mod output;
mod process;
mod server;
mod shutdown;
#[cfg(feature = "demo")]
mod status;
mod supervisor;
mod telemetry;
