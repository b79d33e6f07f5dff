//! What can go wrong while planning or folding a metric.

use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool};
use vitral_catalog::Diagnostic;

/// Planning, folding or finishing a metric failed; each variant names the metric.
#[derive(Debug, thiserror::Error)]
pub enum PanesError {
    /// The SQL of a metric cannot be folded pane by pane, or that of a column not planned.
    #[error("{0}")]
    Unsupported(Box<Diagnostic>),
    /// The engine refused a step, most often on the data: a division by zero, a number that does
    /// not fit.
    #[error("metric {metric} cannot be {action}")]
    Engine {
        /// The metric's name.
        metric: String,
        /// What was tried: planned, folded, merged, finished.
        action: &'static str,
        /// What the engine says.
        source: DataFusionError,
    },
    /// States that were kept are not of this plan.
    #[error("states of metric {metric} do not have the columns of its plan")]
    State {
        /// The metric's name.
        metric: String,
    },
    /// The open panes, and what is computed from them, outgrow the memory they may use.
    #[error(
        "the open panes of metric {metric} need more than the {limit_bytes} bytes of panes.memory_bytes: raise it, or \
         group the metric by fewer keys"
    )]
    Memory {
        /// The metric's name.
        metric: String,
        /// What all open panes may use together.
        limit_bytes: usize,
    },
}

impl From<Box<Diagnostic>> for PanesError {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Self::Unsupported(diagnostic)
    }
}

impl PanesError {
    /// What the engine says of a metric; that it lacks memory is said with the setting that bounds
    /// it.
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
                let cause = vitral_engine::words(source);
                format!(
                    "it cannot be {action}: {cause}. Guard the expression (divide_half_up, nullif(divisor, 0), try_cast) or bound the \
                     column by a CHECK; the changed metric has its whole history recomputed"
                )
            }
            other => other.to_string(),
        }
    }
}
