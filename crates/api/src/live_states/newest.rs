//! The bytes of the newest view, made once for all who ask.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::Mutex;
use uuid::Uuid;
use vitral_catalog::{Catalog, DomainSettings};
use vitral_panes::view::View;
use vitral_query::remote::Encoder;
use vitral_query::{QueryError, ReadPoints};
use vitral_schemas::health::Bounds;

/// To make the bytes takes one part in so many of one processor's time, however many ask.
const SHARE: u32 = 4;
/// But nobody waits longer for that: those who ask give up at some time.
const REST_MAX: Duration = Duration::from_secs(5);
/// A part may have so many bytes. More waits for its commit only while a stream catches up: then
/// stored rows alone are answered elsewhere.
const BYTES_MAX: usize = 128 << 20;

/// The bytes of the newest view that anybody asked for, made once for all.
pub(crate) struct LiveStates {
    process: Uuid,
    newest: Mutex<Newest>,
}

struct Newest {
    encoder: Encoder,
    number: u64,
    of: Weak<View>,
    bytes: Bytes,
    made: Instant,
    took: Duration,
}

impl LiveStates {
    pub(crate) fn new(catalog: &Catalog, settings: &DomainSettings, bounds: Bounds) -> Result<Self, QueryError> {
        let encoder = Encoder::new(catalog, settings, bounds, BYTES_MAX)?;
        let (of, bytes, made) = (Weak::new(), Bytes::new(), Instant::now());
        let newest = Newest { encoder, number: 0, of, bytes, made, took: Duration::ZERO };
        Ok(Self { process: Uuid::new_v4(), newest: Mutex::new(newest) })
    }

    /// The newest view's name and bytes, unless it has the name that the reader knows.
    pub(crate) async fn since(
        &self,
        known: Option<&str>,
        points: &ReadPoints,
    ) -> Result<Option<(String, Bytes)>, QueryError> {
        let mut newest = self.newest.lock().await;
        let name = |number: u64| format!("{}-{number}", self.process);
        if newest.is_of(&points.view()?) {
            let name = name(newest.number);
            return Ok((known != Some(name.as_str())).then(|| (name, newest.bytes.clone())));
        }
        let rest = (newest.took * SHARE).min(REST_MAX).saturating_sub(newest.made.elapsed());
        tokio::time::sleep(rest).await;
        let (view, started) = (points.view()?, Instant::now());
        let epoch = name(newest.number + 1);
        // After an error nothing is known of this view, and the next one is another.
        newest.of = Weak::new();
        newest.number += 1;
        newest.bytes = newest.encoder.encode(&view, epoch.clone()).await?;
        newest.of = Arc::downgrade(&view);
        (newest.made, newest.took) = (Instant::now(), started.elapsed());
        Ok(Some((epoch, newest.bytes.clone())))
    }
}

impl Newest {
    fn is_of(&self, view: &Arc<View>) -> bool {
        Weak::as_ptr(&self.of) == Arc::as_ptr(view)
    }
}
