//! What can go wrong while planning or folding a metric.

use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool};
use vitral_catalog::Diagnostic;

#[derive(Debug, thiserror::Error)]
pub enum PanesError {
    /// The SQL of a metric cannot be folded pane by pane, or that of a column not planned.
    #[error("{0}")]
    Unsupported(Box<Diagnostic>),
    #[error("metric {metric} cannot be {action}")]
    Engine { metric: String, action: &'static str, source: DataFusionError },
    #[error("states of metric {metric} have not the columns of its plan")]
    State { metric: String },
    /// The open panes, and what is computed from them, outgrow the memory they may use.
    #[error(
        "the open panes of metric {metric} need more than the {limit_bytes} bytes of panes.memory_bytes: raise it, or \
         group the metric by fewer keys"
    )]
    Memory { metric: String, limit_bytes: usize },
}

impl From<Box<Diagnostic>> for PanesError {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Self::Unsupported(diagnostic)
    }
}

impl PanesError {
    /// What the engine says of a metric; that it lacks memory is said with the setting that bounds it.
    pub(crate) fn engine(metric: &str, action: &'static str, source: DataFusionError, pool: &dyn MemoryPool) -> Self {
        let metric = metric.to_owned();
        match (source.find_root(), pool.memory_limit()) {
            (DataFusionError::ResourcesExhausted(_), MemoryLimit::Finite(limit_bytes)) => {
                Self::Memory { metric, limit_bytes }
            }
            _ => Self::Engine { metric, action, source },
        }
    }

    /// Whether it may go well once others use less memory.
    pub fn is_memory(&self) -> bool {
        matches!(self, Self::Memory { .. })
    }

    /// In one sentence for people, with the way on.
    pub fn reason(&self) -> String {
        match self {
            Self::Engine { action, source, .. } => {
                let cause = source.find_root().strip_backtrace();
                format!(
                    "it cannot be {action}: {cause}. Guard the expression (divide_half_up, nullif(divisor, 0), try_cast) or bound the \
                     column by a CHECK; the changed metric gets its whole history"
                )
            }
            other => other.to_string(),
        }
    }
}
