//! Publishing: closed windows to their tables, and the picture that readers take.

use vitral_panes::view::Completeness;

use super::Pipeline;
use super::view_builder::TopicViewBuilder;
use crate::committer::Job;
use crate::error::StreamError;

pub(super) struct Publisher {
    pub(super) view: TopicViewBuilder,
    /// What the open windows shown now were made of; none before the first are made.
    pub(super) live: Option<Completeness>,
    /// Windows through this watermark are published or being published.
    submitted_watermark_ms: Option<i64>,
}

impl Publisher {
    pub(super) fn new(view: TopicViewBuilder) -> Self {
        Self { view, live: None, submitted_watermark_ms: None }
    }

    /// Windows that have closed already must be looked at again: another metric has come.
    pub(super) fn look_again(&mut self) {
        self.submitted_watermark_ms = None;
    }
}

impl Pipeline {
    /// Publishes the windows that the committed watermark has closed.
    pub(super) fn publish_closed(&mut self) -> Result<(), StreamError> {
        let committed_ms = self.committer.committed_watermark_ms;
        let Some(watermark_ms) = committed_ms.filter(|_| self.publisher.submitted_watermark_ms != committed_ms) else {
            return Ok(());
        };
        self.publisher.submitted_watermark_ms = committed_ms;
        let windows = self.state.panes.closed(watermark_ms);
        if windows.is_empty() {
            return Ok(());
        }
        self.committer.submit(Job::Publish { windows, watermark_ms })
    }

    /// Shows what is there; nothing before the first windows are made.
    pub(super) fn publish_view(&self) {
        let Some(live) = &self.publisher.live else { return };
        let now = self.state.completeness(self.context.clock.steady_ms());
        let tail = self.buffer.tail();
        self.publisher.view.publish(&self.context, &self.state.panes, tail, now, live);
    }
}
