//! Logs: text on a terminal, else one JSON object a line, with the ids of the spans they belong to.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::Log;

/// Logs go to standard error: standard output belongs to the command's answer.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .parse(directives(&log.level))
        .with_context(|| format!("configuration: log.level is {:?}", log.level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).with_current_span(true).init();
    }
    Ok(())
}

/// A plain level is ours; the engines say much that only their developers need.
fn directives(level: &str) -> String {
    const OURS: [&str; 10] = [
        "vitral",
        "vitral_api",
        "vitral_batch",
        "vitral_broker",
        "vitral_connect",
        "vitral_connect_kafka",
        "vitral_panes",
        "vitral_schemas",
        "vitral_store",
        "vitral_stream",
    ];
    if level.contains(['=', ',']) {
        return level.to_owned();
    }
    let ours: Vec<String> = OURS.iter().map(|name| format!("{name}={level}")).collect();
    format!("warn,librdkafka=off,deltalake_core::writer=error,buoyant_kernel::snapshot=off,{}", ours.join(","))
}
