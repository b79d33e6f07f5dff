//! The binary's parts: commands, configuration, logs, shutdown, the demo and its simulator.

mod allocator;
mod broker;
pub mod cli;
mod commands;
pub mod config;
mod doctor;
mod engine;
mod histories;
mod listening;
mod logging;
mod notices;
mod process;
mod proof;
mod replay;
mod server;
mod shutdown;
pub mod simulate;
mod status;
mod supervisor;
mod telemetry;
mod warehouse;
