//! Logs: text on a terminal, else one JSON object a line, with the ids of the spans they belong to.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::Log;

/// Logs go to standard error: standard output belongs to the command's answer.
pub fn start(log: &Log) -> anyhow::Result<()> {
    // The embedded broker and the engines say much that only their developers need.
    let quiet = "tansu_broker=warn,tansu_storage=error,rama=warn,datafusion=warn,deltalake_core=warn,delta_kernel=warn";
    let filter = EnvFilter::builder()
        .parse(format!("{quiet},{}", log.level))
        .with_context(|| format!("configuration: log.level is {:?}", log.level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).with_current_span(true).init();
    }
    Ok(())
}
