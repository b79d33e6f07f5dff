//! `GET /metricas/{nome}/ao_vivo`: the newest window that has begun, at once and again whenever its rows change.
//!
//! A reader that cannot follow misses states in between, never the last one. The stream ends when the view closes, at
//! shutdown, or when a query fails; browsers open it again by themselves.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use axum::extract::{Path, RawQuery, State, rejection::PathRejection};
use axum::http::Uri;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use datafusion::catalog::TableProvider;
use futures::{StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use vitral_schemas::view::{MetricView, View, ViewReceiver};

use super::document;
use crate::parameters::{LIMIT_MAX, Parameters};
use crate::problem::Problem;
use crate::query::{QueryError, metric_rows};
use crate::shared::Shared;
use crate::telemetry::OpenStream;

/// Shorter than the idle time after which proxies commonly close a connection, 30 or 60 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) async fn live(
    State(shared): State<Arc<Shared>>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Path(name) = name.map_err(|_| Problem::not_found(uri.path()))?;
    let view = shared.view()?;
    shared.metric(&view, &name)?;
    Parameters::read(query.as_deref(), &[])?;
    let permit = Arc::clone(&shared.live_streams)
        .try_acquire_owned()
        .map_err(|_| Problem::too_many_streams(shared.live_streams_max))?;
    let shutdown = shared.shutdown.clone().cancelled_owned();
    let live = Live {
        view: shared.view.clone(),
        counted: shared.telemetry.open_stream(),
        shared,
        name,
        sent: None,
        published: None,
        _permit: permit,
    };
    let events =
        stream::unfold(live, |mut live| async { live.next().await.map(|event| (Ok::<_, Infallible>(event), live)) });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events.take_until(shutdown)).keep_alive(keep_alive).into_response())
}

struct Live {
    shared: Arc<Shared>,
    view: ViewReceiver,
    name: String,
    /// What the reader has.
    sent: Option<RecordBatch>,
    /// The newest published window, and the table it was read from: needed only while no window is open.
    published: Option<(Arc<dyn TableProvider>, RecordBatch)>,
    counted: OpenStream,
    _permit: OwnedSemaphorePermit,
}

impl Live {
    /// Waits until there is something to send. `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let view = Arc::clone(&self.view.borrow_and_update());
            let now_ms = self.shared.clock.now_ms();
            if let Some(shown) = view.metrics.get(&self.name) {
                match self.message(shown, now_ms).await {
                    Ok(Some(message)) => {
                        self.counted.sent();
                        return Some(Event::default().data(message));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(metric = self.name, error = %error, "live stream ended");
                        return None;
                    }
                }
            }
            tokio::select! {
                changed = self.view.changed() => changed.ok()?,
                () = until_next_window(&view, &self.name, now_ms) => {}
            }
        }
    }

    async fn message(&mut self, shown: &MetricView, now_ms: i64) -> Result<Option<String>, QueryError> {
        let rows = self.newest_window(shown, now_ms).await?;
        if self.sent.as_ref() == Some(&rows) {
            return Ok(None);
        }
        let message = document(&self.name, shown, &rows)?;
        self.sent = Some(rows);
        Ok(Some(message))
    }

    async fn newest_window(&mut self, shown: &MetricView, now_ms: i64) -> Result<RecordBatch, QueryError> {
        if let Some(rows) = metric_rows::newest_open(shown, now_ms, Some(LIMIT_MAX))? {
            return Ok(rows);
        }
        if let Some((table, rows)) = &self.published
            && Arc::ptr_eq(table, &shown.published)
        {
            return Ok(rows.clone());
        }
        let Shared { reader, catalog, .. } = self.shared.as_ref();
        let metric = catalog.metric(&self.name).ok_or_else(|| QueryError::Unavailable(self.name.clone()))?;
        let newest = metric_rows::newest_published(reader, metric, shown, now_ms, Some(LIMIT_MAX));
        let rows = reader.bounded(newest).await?;
        self.published = Some((Arc::clone(&shown.published), rows.clone()));
        Ok(rows)
    }
}

/// A window that a client's fast clock opened ahead of time becomes the newest when its start comes.
async fn until_next_window(view: &View, name: &str, now_ms: i64) {
    let next = view.metrics.get(name).and_then(|shown| shown.open.range(now_ms + 1..).next());
    match next {
        Some((start_ms, _)) => {
            let wait_ms = u64::try_from(start_ms - now_ms).unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
        None => std::future::pending().await,
    }
}
