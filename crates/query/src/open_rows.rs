//! The rows of a metric's open windows: made when somebody asks, away from the threads that answer.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use vitral_panes::view::MetricView;

use crate::error::QueryError;

/// Has the rows made, unless somebody has asked already. To read them afterwards takes no time.
pub async fn make_open_rows(view: &MetricView) -> Result<(), QueryError> {
    if view.open.is_made() {
        return Ok(());
    }
    let _first = view.open.first_reader().lock().await;
    if view.open.is_made() {
        return Ok(());
    }
    let open = Arc::clone(&view.open);
    let made = tokio::task::spawn_blocking(move || {
        open.rows();
    });
    made.await.map_err(|error| QueryError::Engine(DataFusionError::External(Box::new(error))))
}
