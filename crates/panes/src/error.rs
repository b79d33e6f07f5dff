//! What can go wrong while planning or folding a metric.

use datafusion::error::DataFusionError;
use vitral_schemas::catalog::Diagnostic;

#[derive(Debug, thiserror::Error)]
pub enum PanesError {
    /// The SQL of a metric cannot be folded pane by pane, or that of a column not planned.
    #[error("{0}")]
    Unsupported(Box<Diagnostic>),
    #[error("metric {metric} cannot be {action}")]
    Engine { metric: String, action: &'static str, source: DataFusionError },
    #[error("states of metric {metric} have not the columns of its plan")]
    State { metric: String },
    /// The open panes outgrow the memory they may use.
    #[error(
        "the open panes of metric {metric} need more than the {limit_bytes} bytes of panes.memory_bytes: raise it, or \
         group the metric by fewer keys"
    )]
    Memory { metric: String, limit_bytes: usize },
}
