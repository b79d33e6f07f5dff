//! `GET /metricas/{nome}/ao_vivo`: the newest window that has begun, at once and again whenever its rows change. Of sessions, the rows that
//! have changed among the `limite` open ones with the newest events.
//!
//! A reader that cannot follow misses states in between, never the last one. The stream ends when the view closes, at
//! shutdown, or when a query fails; browsers open it again by themselves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use axum::Extension;
use axum::extract::{ConnectInfo, Path, RawQuery, State, rejection::PathRejection};
use axum::http::Uri;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use datafusion::catalog::TableProvider;
use futures::{StreamExt, stream};
use vitral_panes::view::{MetricFailure, MetricView, View, ViewReceiver};
use vitral_query::{LIMIT, LIMIT_MAX, QueryError, metric_rows};

use super::changed_rows::ChangedRows;
use super::streams::{KEEP_ALIVE, Place};
use super::{document, keyed};
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shared::Shared;
use crate::telemetry::OpenStream;

/// Sessions of a message where the request does not say.
const SESSIONS_DEFAULT: usize = 100;

pub(crate) async fn live(
    State(shared): State<Arc<Shared>>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    RawQuery(query): RawQuery,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
) -> Result<Response, Problem> {
    let Path(name) = name.map_err(|_| Problem::not_found(uri.path()))?;
    let view = shared.view()?;
    let is_keyed = shared.catalog.keyed_view(&name).is_some();
    let gap = if is_keyed {
        shared.keyed(&view, &name)?;
        None
    } else {
        shared.metric(&view, &name)?.0.window.session_gap_micros()
    };
    let sessions = match gap {
        None => Parameters::read(query.as_deref(), &[]).map(|_| None)?,
        Some(_) => Some(Parameters::read(query.as_deref(), &[LIMIT])?.limit(SESSIONS_DEFAULT)?),
    };
    let place = shared.live_streams.enter(peer.map(|peer| peer.0.0.ip()))?;
    if is_keyed {
        return Ok(keyed::live(shared, name, place));
    }
    let shutdown = shared.shutdown.clone().cancelled_owned();
    let live = Live {
        view: shared.view.clone(),
        counted: shared.telemetry.open_stream(),
        shared,
        name,
        sessions,
        changed: ChangedRows::default(),
        sent: None,
        published: None,
        _place: place,
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
    /// Of a metric of sessions, how many a message may hold.
    sessions: Option<usize>,
    changed: ChangedRows,
    /// What the reader has.
    sent: Option<(RecordBatch, Option<MetricFailure>)>,
    /// The newest published window, and the table it was read from: needed only while no window is open.
    published: Option<(Arc<dyn TableProvider>, RecordBatch)>,
    counted: OpenStream,
    _place: Place,
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
        if self.sessions.is_some() {
            return self.changed_sessions(shown, &rows);
        }
        if self.sent.as_ref().is_some_and(|(sent, failure)| *sent == rows && *failure == shown.failure()) {
            return Ok(None);
        }
        let message = self.text(shown, &rows)?;
        self.sent = Some((rows, shown.failure()));
        Ok(Some(message))
    }

    fn text(&self, shown: &MetricView, rows: &RecordBatch) -> Result<String, QueryError> {
        let message = document(&self.name, shown, rows, self.shared.answer_bytes)?;
        // JSON is made of texts alone.
        Ok(String::from_utf8(message).map_err(|error| ArrowError::ExternalError(error.into()))?)
    }

    fn changed_sessions(&mut self, shown: &MetricView, rows: &RecordBatch) -> Result<Option<String>, QueryError> {
        let changed = self.changed.of(rows)?;
        let is_first = self.sent.is_none();
        let is_known = self.sent.as_ref().is_some_and(|(_, failure)| *failure == shown.failure());
        if !is_first && is_known && changed.num_rows() == 0 {
            return Ok(None);
        }
        self.sent = Some((changed.slice(0, 0), shown.failure()));
        self.text(shown, &changed).map(Some)
    }

    async fn newest_window(&mut self, shown: &MetricView, now_ms: i64) -> Result<RecordBatch, QueryError> {
        let most = self.sessions.unwrap_or(LIMIT_MAX);
        if let Some(rows) = metric_rows::newest_open(shown, now_ms, Some(most)).await? {
            return Ok(rows);
        }
        if let Some((table, rows)) = &self.published
            && Arc::ptr_eq(table, &shown.published)
        {
            return Ok(rows.clone());
        }
        let Shared { reader, catalog, .. } = self.shared.as_ref();
        let metric = catalog.metric(&self.name).ok_or_else(|| QueryError::Unavailable(self.name.clone()))?;
        let newest = reader.newest_published_window(metric, shown, now_ms, Some(LIMIT_MAX));
        let rows = reader.bounded(newest).await?;
        self.published = Some((Arc::clone(&shown.published), rows.clone()));
        Ok(rows)
    }
}

/// A window that a client's fast clock opened ahead of time becomes the newest when its start comes.
async fn until_next_window(view: &View, name: &str, now_ms: i64) {
    let next = view.metrics.get(name).and_then(|shown| shown.open.rows().range(now_ms + 1..).next());
    match next {
        Some((start_ms, _)) => {
            let wait_ms = u64::try_from(start_ms - now_ms).unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
        None => std::future::pending().await,
    }
}
