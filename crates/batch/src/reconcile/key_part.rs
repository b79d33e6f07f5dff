//! A part of the keys of a metric of sessions.
//!
//! To find sessions again costs several times as much as windows do, so that the check alongside
//! the stream does it for some keys at a time. It must be seen from a published row which key it is
//! of: of a metric that does not show its keys as they are, all are compared.

use datafusion::logical_expr::{Expr, ident};
use vitral_catalog::Metric;
use vitral_engine::in_key_bucket;

use super::BUCKETS;

/// One of [`BUCKETS`] of the keys.
#[derive(Debug, Clone)]
pub(super) struct KeyPart {
    bucket: i64,
    /// Columns of the topic.
    keys: Vec<String>,
    /// Those of the metric that show them.
    shown: Vec<String>,
}

impl KeyPart {
    pub(super) fn of(metric: &Metric, bucket: i64) -> Option<Self> {
        let columns = metric.shown_session_keys()?;
        let (keys, shown) = columns.into_iter().map(|(key, shown)| (key.to_owned(), shown)).unzip();
        Some(Self { bucket, keys, shown })
    }

    /// Whether an event is of the part.
    pub(super) fn has_event(&self) -> Expr {
        in_key_bucket(self.keys.iter().map(ident), (self.bucket, BUCKETS))
    }

    /// Whether a row of the metric is.
    pub(super) fn has_row(&self) -> Expr {
        in_key_bucket(self.shown.iter().map(ident), (self.bucket, BUCKETS))
    }
}
