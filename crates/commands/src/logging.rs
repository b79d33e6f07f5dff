//! Logs: text on a terminal, else one JSON object a line, with the ids of the spans they belong to.

use std::io::IsTerminal;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;
use vitral_config::Config;

/// Logs go to standard error: standard output belongs to the command's answer.
pub fn start(config: &Config) -> anyhow::Result<()> {
    let level = &config.log.level;
    // The parser's own error names levels that are not documented.
    let filter = EnvFilter::builder().parse(directives(level)).map_err(|_| {
        anyhow!(
            "configuration: {} is {level:?}: write error, warn, info, debug, or directives such as vitral_stream=debug,info",
            config.key("log.level")
        )
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).with_current_span(true).init();
    }
    Ok(())
}

/// A plain level is that of our crates; the engines say much that only their developers need. The
/// Kafka library's errors are logged by `vitral_connect_kafka`, with what to do. What Delta's
/// transactions log they return, too, to code that tries again or fails with it.
fn directives(level: &str) -> String {
    if level.contains(['=', ',']) {
        return level.to_owned();
    }
    format!(
        "warn,librdkafka=off,rdkafka::client=off,deltalake_core::writer=error,\
         deltalake_core::kernel::transaction=off,buoyant_kernel::snapshot=off,vitral={level}"
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Result, Write};
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, events: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let filter = EnvFilter::builder().parse(directives(level)).expect("directives");
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, events);
        let bytes = kept.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_plain_level_is_that_of_all_our_crates() {
        let said = logged("debug", || {
            tracing::debug!(target: "vitral_query::reader", "of the queries");
            tracing::debug!(target: "vitral_connect_postgres", "of the warehouse");
            tracing::debug!(target: "datafusion", "of the engine");
        });
        assert!(said.contains("of the queries") && said.contains("of the warehouse"), "{said}");
        assert!(!said.contains("of the engine"), "{said}");
    }

    #[test]
    fn a_commit_that_is_tried_again_is_no_error() {
        let said = logged("info", || {
            tracing::error!(target: "deltalake_core::kernel::transaction", "conflict detected, aborting transaction");
        });
        assert_eq!(said, "");
    }

    #[test]
    fn a_level_that_there_is_not_is_refused_with_those_that_are() {
        let mut config = Config::default();
        config.log.level = "loud".to_owned();
        let error = start(&config).expect_err("no level").to_string();
        assert!(error.starts_with("configuration: log.level is \"loud\": write error, warn, info, debug"), "{error}");
    }

    #[test]
    fn errors_of_the_kafka_library_are_not_said_twice() {
        let said = logged("info", || {
            tracing::error!(target: "rdkafka::client", "librdkafka: Global error: PartitionEOF");
            tracing::warn!(target: "vitral_connect_kafka::connection", "kafka: the broker cannot be reached");
        });
        assert!(!said.contains("PartitionEOF") && said.contains("the broker cannot be reached"), "{said}");
    }
}
