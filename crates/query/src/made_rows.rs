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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::RecordBatch;
    use arrow::datatypes::Schema;
    use datafusion::catalog::TableProvider;
    use vitral_catalog::{Catalog, DEFAULT_DOMAIN, DomainSettings, builtin_files};
    use vitral_panes::open_windows::OpenWindows;
    use vitral_panes::view::{Completeness, MetricFailure};

    use super::*;
    use crate::tables::in_memory_table;

    fn rows() -> Arc<dyn TableProvider> {
        in_memory_table(RecordBatch::new_empty(Arc::new(Schema::empty()))).expect("a table")
    }

    fn view() -> MetricView {
        let catalog =
            Catalog::parse(&[builtin_files(&[DEFAULT_DOMAIN])], &DomainSettings::default()).expect("the catalog");
        let metric = catalog.metric("vendas_por_minuto").expect("a metric");
        MetricView {
            topic: metric.topic.clone(),
            window: metric.window,
            schema: Arc::new(Schema::empty()),
            published: rows(),
            published_through_ms: Some(60_000),
            open: Arc::new(OpenWindows::of_rows(BTreeMap::new())),
            open_at_commit: None,
            completeness: Completeness::default(),
            failure: None,
        }
    }

    #[test]
    fn an_earlier_view_is_of_the_same_windows_and_not_old() {
        let all = MadeRows::default();
        let (made, view) = (all.of("vendas_por_minuto"), view());
        assert!(made.earlier(&view).is_none(), "none was made");
        made.keep(&view);
        // What has come since is in the open windows alone.
        let later = MetricView { open: Arc::new(OpenWindows::of_rows(BTreeMap::new())), ..view.clone() };
        let earlier = made.earlier(&later).expect("the one before");
        assert!(Arc::ptr_eq(&earlier.open, &view.open));
        let closed = MetricView { published_through_ms: Some(120_000), ..later.clone() };
        let published = MetricView { published: rows(), ..later.clone() };
        let failure = Some(MetricFailure { reason: "x".to_owned(), since_ms: 0, is_set_aside: false });
        let failed = MetricView { failure, ..later.clone() };
        assert!([closed, published, failed].iter().all(|other| made.earlier(other).is_none()));
        assert!(all.of("usuarios_ativos").earlier(&later).is_none(), "it is another metric's");
        let before = Instant::now().checked_sub(EARLIER_MAX).expect("it is later");
        *made.last.lock().expect("no panic") = Some((Arc::new(view), before));
        assert!(made.earlier(&later).is_none(), "it is too old");
    }
}
