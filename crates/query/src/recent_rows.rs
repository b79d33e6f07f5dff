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
    /// All rows since a time, in the metric's order.
    pub rows: Option<(i64, RecordBatch)>,
    /// Since this time they are too many.
    pub too_many_from: Option<i64>,
}

impl Recent {
    /// Nothing is known of these rows yet.
    pub(crate) fn new(published: &Arc<dyn TableProvider>) -> Self {
        Self { published: Arc::clone(published), rows: None, too_many_from: None }
    }

    pub(crate) fn is_of(&self, view: &MetricView) -> bool {
        Arc::ptr_eq(&self.published, &view.published)
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
