//! Publishing: closed windows to their tables, and the picture that readers take.

use vitral_panes::view::Completeness;
use vitral_schemas::event_time::Watermark;

use super::Pipeline;
use super::view_builder::TopicViewBuilder;
use crate::committer::Job;
use crate::error::StreamError;

pub(super) struct Publisher {
    pub(super) view: TopicViewBuilder,
    /// What the open windows shown now were made of; none before the first are made.
    pub(super) live: Option<Completeness>,
    /// Windows through this watermark are published or being published.
    submitted_watermark: Option<Watermark>,
}

impl Publisher {
    pub(super) fn new(view: TopicViewBuilder) -> Self {
        Self { view, live: None, submitted_watermark: None }
    }

    /// Windows that have closed already must be looked at again: another metric has come.
    pub(super) fn look_again(&mut self) {
        self.submitted_watermark = None;
    }
}

impl Pipeline {
    /// Publishes the windows that the committed watermark has closed.
    pub(super) fn publish_closed(&mut self) -> Result<(), StreamError> {
        let committed = self.committer.committed_watermark;
        let Some(watermark) = committed.filter(|_| self.publisher.submitted_watermark != committed) else {
            return Ok(());
        };
        self.publisher.submitted_watermark = committed;
        let windows = self.state.panes.closed(watermark);
        if windows.is_empty() {
            return Ok(());
        }
        self.committer.submit(Job::Publish { windows, watermark })
    }

    /// What became of what is folded.
    pub(super) fn completeness(&self) -> Completeness {
        self.state.completeness(self.folded_watermarks(), self.context.clock.steady_ms())
    }

    /// Shows what is there; nothing before the first windows are made.
    pub(super) fn publish_view(&self) {
        let Some(live) = &self.publisher.live else { return };
        let now = self.completeness();
        let tail = self.buffer.tail();
        self.publisher.view.publish(&self.context, &self.state.panes, tail, now, live);
    }
}
