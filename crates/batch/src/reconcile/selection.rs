//! What is compared.

use vitral_catalog::Metric;

/// How many parts the keys of sessions and of tables have: the check alongside the stream proves
/// one of them after the other.
pub const BUCKETS: i64 = 16;

/// Which metrics are compared, by their windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// All.
    #[default]
    Any,
    /// Windows that lie in time.
    Windows,
    /// Sessions.
    Sessions,
}

/// What is compared; by default all metrics, and tables, for all keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// One alone.
    pub only: Option<&'a str>,
    /// Of metrics, those of windows or those of sessions.
    pub kind: Kind,
    /// Of sessions and of tables, the keys of one of [`BUCKETS`].
    pub bucket: Option<i64>,
    /// Whether different texts are counted as the stream counts them, by one table for all groups.
    /// Otherwise DataFusion counts them by itself, which takes several times as long.
    pub is_frequent: bool,
}

impl Selection<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.only.is_none_or(|only| name == only)
    }

    pub(super) fn has_metric(&self, metric: &Metric) -> bool {
        let is_of_kind = match self.kind {
            Kind::Any => true,
            Kind::Windows => metric.window.session_gap_micros().is_none(),
            Kind::Sessions => metric.window.session_gap_micros().is_some(),
        };
        is_of_kind && self.has(&metric.name)
    }
}
