//! A live stream: a message at once, and another whenever there is something new.
//!
//! A reader that cannot follow misses states in between, never the last one. The stream ends when
//! the view closes, at shutdown, or when a query fails; browsers open it again by themselves.

use std::convert::Infallible;
use std::sync::Arc;

use arrow::error::ArrowError;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use vitral_panes::view::{View, ViewReceiver};
use vitral_query::QueryError;

use super::streams::{KEEP_ALIVE, Place};
use crate::shared::Shared;
use crate::telemetry::OpenStream;

/// What a stream is of.
pub(super) trait Messages: Send + Sync + 'static {
    /// The next message, in JSON; none if the reader has what this view shows.
    fn next(&mut self, view: &View) -> impl Future<Output = Result<Option<Vec<u8>>, QueryError>> + Send;

    /// Waits until there may be something new though the view is the same.
    fn due(&self, _view: &View) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Sends the messages about a metric or table, for as long as its place is held.
pub(super) fn respond(shared: &Shared, name: String, place: Place, messages: impl Messages) -> Response {
    let shutdown = shared.shutdown.clone().cancelled_owned();
    let counted = shared.telemetry.open_stream();
    let live = Live { view: shared.points.view.clone(), name, messages, counted, _place: place };
    let events =
        stream::unfold(live, |mut live| async { live.next().await.map(|event| (Ok::<_, Infallible>(event), live)) });
    Sse::new(events.take_until(shutdown)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

struct Live<M> {
    view: ViewReceiver,
    name: String,
    messages: M,
    counted: OpenStream,
    _place: Place,
}

impl<M: Messages> Live<M> {
    /// Waits until there is something to send. `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let view = Arc::clone(&self.view.borrow_and_update());
            match self.messages.next(&view).await.and_then(|message| message.map(text).transpose()) {
                Ok(Some(message)) => {
                    self.counted.sent();
                    return Some(Event::default().data(message));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(name = self.name, error = %error, "live stream ended");
                    return None;
                }
            }
            tokio::select! {
                changed = self.view.changed() => changed.ok()?,
                () = self.messages.due(&view) => {}
            }
        }
    }
}

/// JSON is made of texts alone.
fn text(message: Vec<u8>) -> Result<String, QueryError> {
    Ok(String::from_utf8(message).map_err(|error| ArrowError::ExternalError(error.into()))?)
}
