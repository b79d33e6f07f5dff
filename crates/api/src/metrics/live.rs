//! `GET /metricas/{nome}/ao_vivo`: the newest window that has begun, at once and again whenever its
//! rows change. Of sessions, the rows that have changed among the `limite` open ones with the
//! newest events.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use axum::Extension;
use axum::extract::{Path, RawQuery, State, rejection::PathRejection};
use axum::http::Uri;
use axum::response::Response;
use datafusion::catalog::TableProvider;
use vitral_panes::view::{MetricFailure, MetricView, View};
use vitral_query::{LIMIT, LIMIT_MAX, Principal, QueryError};

use super::changed_rows::ChangedRows;
use super::sse::{self, Messages};
use super::{document, keyed};
use crate::gate::Client;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shared::Shared;

/// Sessions of a message where the request does not say.
pub(crate) const SESSIONS_DEFAULT: usize = 100;

pub(crate) async fn live(
    State(shared): State<Arc<Shared>>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    RawQuery(query): RawQuery,
    Extension(client): Extension<Client>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Problem> {
    let Path(name) = name.map_err(|_| Problem::not_found(uri.path()))?;
    let view = shared.view()?;
    let is_keyed = shared.catalog.keyed_view(&name).is_some();
    let gap = if is_keyed {
        shared.keyed(&principal, &view, &name)?;
        None
    } else {
        shared.metric(&principal, &view, &name)?.0.window.session_gap_micros()
    };
    let sessions = match gap {
        None => Parameters::none(query.as_deref()).map(|()| None)?,
        Some(_) => Some(Parameters::read(query.as_deref(), &[LIMIT])?.limit(SESSIONS_DEFAULT)?),
    };
    let place = shared.live_streams.enter(client.address)?;
    if is_keyed {
        return Ok(keyed::live(&shared, principal, name, place));
    }
    let windows = NewestWindow {
        shared: Arc::clone(&shared),
        principal,
        name: name.clone(),
        sessions,
        changed: ChangedRows::default(),
        sent: None,
        published: None,
        now_ms: 0,
    };
    Ok(sse::respond(&shared, name, place, windows))
}

struct NewestWindow {
    shared: Arc<Shared>,
    principal: Principal,
    name: String,
    /// Of a metric of sessions, how many a message may hold.
    sessions: Option<usize>,
    changed: ChangedRows,
    /// What the reader has.
    sent: Option<(RecordBatch, Option<MetricFailure>)>,
    /// The newest published window, and the table it was read from: needed only while no window is
    /// open.
    published: Option<(Arc<dyn TableProvider>, RecordBatch)>,
    /// When the newest window was last looked for.
    now_ms: i64,
}

impl Messages for NewestWindow {
    async fn next(&mut self, view: &View) -> Result<Option<Vec<u8>>, QueryError> {
        self.now_ms = self.shared.points.clock.now_ms();
        let Some(shown) = view.metrics.get(&self.name) else { return Ok(None) };
        let rows = self.newest_window(shown, self.now_ms).await?;
        if self.sessions.is_some() {
            return self.changed_sessions(shown, &rows).await;
        }
        if self.sent.as_ref().is_some_and(|(sent, failure)| *sent == rows && *failure == shown.failure()) {
            return Ok(None);
        }
        let message = self.document(shown, &rows).await?;
        self.sent = Some((rows, shown.failure()));
        Ok(Some(message))
    }

    /// A window that a client's fast clock opened ahead of time becomes the newest when its start
    /// comes.
    async fn due(&self, view: &View) {
        let next = view.metrics.get(&self.name).and_then(|shown| shown.open.rows().range(self.now_ms + 1..).next());
        match next {
            Some((start_ms, _)) => {
                let wait_ms = u64::try_from(start_ms - self.now_ms).unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            }
            None => std::future::pending().await,
        }
    }
}

impl NewestWindow {
    async fn document(&self, shown: &MetricView, rows: &RecordBatch) -> Result<Vec<u8>, QueryError> {
        let named = self.shared.reader.labels(&self.principal).await.added_to(rows)?;
        document(&self.principal, (&self.name, shown), &named, self.shared.answer_bytes)
    }

    async fn changed_sessions(
        &mut self,
        shown: &MetricView,
        rows: &RecordBatch,
    ) -> Result<Option<Vec<u8>>, QueryError> {
        let changed = self.changed.of(rows)?;
        let is_first = self.sent.is_none();
        let is_known = self.sent.as_ref().is_some_and(|(_, failure)| *failure == shown.failure());
        if !is_first && is_known && changed.num_rows() == 0 {
            return Ok(None);
        }
        self.sent = Some((changed.slice(0, 0), shown.failure()));
        self.document(shown, &changed).await.map(Some)
    }

    async fn newest_window(&mut self, shown: &MetricView, now_ms: i64) -> Result<RecordBatch, QueryError> {
        let most = self.sessions.unwrap_or(LIMIT_MAX);
        let Shared { reader, catalog, .. } = self.shared.as_ref();
        let metric = catalog.metric(&self.name).ok_or_else(|| QueryError::Unavailable(self.name.clone()))?;
        if let Some(rows) = reader.newest_open_window(&self.principal, metric, shown, now_ms, Some(most)).await? {
            return Ok(rows);
        }
        if let Some((table, rows)) = &self.published
            && Arc::ptr_eq(table, &shown.published)
        {
            return Ok(rows.clone());
        }
        let newest = reader.newest_published_window(&self.principal, metric, shown, now_ms, Some(LIMIT_MAX));
        let rows = reader.bounded(newest).await?;
        self.published = Some((Arc::clone(&shown.published), rows.clone()));
        Ok(rows)
    }
}
