//! The binary's parts: commands, configuration, logs, shutdown, the demo and its simulator.

mod allocator;
#[cfg(feature = "demo")]
mod broker;
pub mod cli;
mod commands;
pub mod config;
mod doctor;
mod engine;
mod histories;
mod logging;
#[cfg(feature = "demo")]
mod notices;
mod process;
mod proof;
mod replay;
mod server;
mod shutdown;
pub mod simulate;
#[cfg(feature = "demo")]
mod status;
mod supervisor;
mod telemetry;
mod warehouse;
