//! Starting a pipeline, and asking it to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;
use vitral_schemas::topic::Topic;

use super::{Context, startup};
use crate::error::StreamError;

/// A running pipeline.
pub struct StreamHandle {
    stop: Arc<AtomicBool>,
    /// None once the outcome was reported.
    finished: Option<oneshot::Receiver<Result<(), StreamError>>>,
}

/// A pipeline ends when its handle is dropped, whatever else has failed.
impl Drop for StreamHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl StreamHandle {
    /// Asks the pipeline to commit what it has read and to end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Resolves when the pipeline has ended, by [`Self::stop`] or by an error, which is reported
    /// once.
    pub async fn finished(&mut self) -> Result<(), StreamError> {
        let Some(finished) = &mut self.finished else { return Ok(()) };
        let outcome = finished.await.unwrap_or(Err(StreamError::Ended("the pipeline")));
        self.finished = None;
        outcome
    }
}

/// Starts the pipeline of a topic on a thread of its own.
pub fn start(context: Context, topic: Topic) -> Result<StreamHandle, StreamError> {
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, finished) = oneshot::channel();
    let stopped = Arc::clone(&stop);
    let name = format!("stream {}", topic.name);
    let run = move || {
        let result = startup::start_through_outages(&context, &topic, &stopped).and_then(|pipeline| match pipeline {
            Some(mut pipeline) => pipeline.run(&stopped),
            None => Ok(()),
        });
        // Nobody listens any more only when the process is on its way out.
        let _ = sender.send(result);
    };
    std::thread::Builder::new().name(name).spawn(run).map_err(|_| StreamError::Ended("the pipeline's thread"))?;
    Ok(StreamHandle { stop, finished: Some(finished) })
}
