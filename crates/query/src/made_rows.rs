//! Which views of metrics have had the rows of their open windows made last: what can be answered
//! while those of a newer one are made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use vitral_panes::view::MetricView;

/// What is answered while others make something newer is not older than this.
pub(crate) const EARLIER_MAX: Duration = Duration::from_secs(1);

/// Whose rows were made last, by metric.
#[derive(Debug, Default)]
pub(crate) struct MadeRows(Mutex<HashMap<String, Arc<Made>>>);

/// Of one metric.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Held while a view's rows are made.
    pub(crate) making: tokio::sync::Mutex<()>,
    last: Mutex<Option<(Arc<MetricView>, Instant)>>,
}

impl Made {
    /// Keeps this view, whose rows are made.
    pub(crate) fn keep(&self, view: &MetricView) {
        let shown = (Arc::new(view.clone()), Instant::now());
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
    }

    /// The last one, if it is not old and no window was closed since.
    pub(crate) fn earlier(&self, view: &MetricView) -> Option<Arc<MetricView>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, _) = last.as_ref().filter(|(_, made)| made.elapsed() < EARLIER_MAX)?;
        let is_same = Arc::ptr_eq(&last.published, &view.published)
            && last.published_through_ms == view.published_through_ms
            && last.failure == view.failure;
        is_same.then(|| Arc::clone(last))
    }
}

impl MadeRows {
    pub(crate) fn of(&self, metric: &str) -> Arc<Made> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match made.get(metric) {
            Some(made) => Arc::clone(made),
            None => Arc::clone(made.entry(metric.to_owned()).or_default()),
        }
    }
}
