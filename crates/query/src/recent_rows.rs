//! Where the newest published rows of metrics are kept in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use vitral_panes::view::MetricView;

/// By metric.
#[derive(Debug, Default)]
pub(crate) struct RecentRows(Mutex<HashMap<String, Arc<Slot>>>);

/// One request at a time reads, the others wait for its rows.
type Slot = tokio::sync::Mutex<Option<Recent>>;

/// Of one metric.
#[derive(Debug, Clone)]
pub(crate) struct Recent {
    pub published: Arc<dyn TableProvider>,
    /// The start of the first window.
    pub from: i64,
    /// In the metric's order; none if they are too many.
    pub rows: Option<RecordBatch>,
}

impl Recent {
    /// Whether these are all rows since then.
    pub(crate) fn has(&self, view: &MetricView, from: i64) -> bool {
        Arc::ptr_eq(&self.published, &view.published) && self.from <= from
    }
}

impl RecentRows {
    pub(crate) fn slot(&self, metric: &str) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(metric) {
            return Arc::clone(slot);
        }
        Arc::clone(slots.entry(metric.to_owned()).or_default())
    }
}
