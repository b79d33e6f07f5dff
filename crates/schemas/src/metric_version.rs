//! Which version of which metric.

use std::fmt;
use std::sync::Arc;

/// A metric's name with the version of its definition, by which its table, its states and its rows
/// are known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricVersionId {
    /// The metric's name.
    pub metric: Arc<str>,
    /// A hash of its definition and of what computes it.
    pub version: Arc<str>,
}

impl MetricVersionId {
    /// Of a name and a version.
    pub fn new(metric: impl Into<Arc<str>>, version: impl Into<Arc<str>>) -> Self {
        Self { metric: metric.into(), version: version.into() }
    }
}

impl fmt::Display for MetricVersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.metric, self.version)
    }
}
