//! A topic's pipeline: poll, decode, classify, fold, commit, publish.
//!
//! Exactly once: the rows of a commit and the offsets after them are written together, and reading
//! goes on at the committed offsets. Windows close on the committed watermark only, and are
//! published after the commit that moved it. A restart rebuilds everything else from the archive.

mod commit_buffer;
mod commits;
mod committed_windows;
mod context;
mod discovery;
mod ends;
mod failures;
mod handle;
mod health;
mod histories;
mod keeper;
mod looking_up;
mod pace;
mod process;
mod publisher;
mod reader;
mod refresh;
mod row_logs;
mod startup;
mod view_builder;
mod waiting;
mod ways_on;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use self::commit_buffer::CommitBuffer;
use self::commits::CommitterLink;
pub use self::context::Context;
use self::context::TopicContext;
use self::discovery::PartitionDiscovery;
pub use self::handle::{StreamHandle, start};
use self::health::HealthReporter;
use self::histories::Histories;
pub(crate) use self::keeper::Offsets;
use self::process::Processor;
use self::publisher::Publisher;
use self::reader::TopicReader;
use self::refresh::RefreshSchedule;
use crate::error::StreamError;
use crate::snapshot::Snapshotter;
use crate::topic_state::TopicState;

struct Pipeline {
    context: TopicContext,
    reader: TopicReader,
    discovery: PartitionDiscovery,
    processor: Processor,
    state: TopicState,
    buffer: CommitBuffer,
    committer: CommitterLink,
    snapshotter: Snapshotter,
    histories: Histories,
    publisher: Publisher,
    refresh: RefreshSchedule,
    health: HealthReporter,
}

/// Whether something is done now, or only when it is time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timing {
    Now,
    WhenDue,
}

impl Pipeline {
    fn run(&mut self, stop: &AtomicBool) -> Result<(), StreamError> {
        while !stop.load(Ordering::SeqCst) {
            self.step()?;
        }
        self.drain()
    }

    fn step(&mut self) -> Result<(), StreamError> {
        self.take_in_answered()?;
        if self.processor.looking_up.is_full() {
            self.wait_for_lookups(self.context.config.batch_wait)?;
        } else if self.has_room() {
            self.read()?;
        } else {
            self.wait_for_committer(self.context.config.batch_wait)?;
        }
        self.on_committer_events()?;
        self.adopt_histories()?;
        self.report_failures();
        self.discover_partitions()?;
        self.check_ends()?;
        self.keep_pace();
        self.advance_watermark();
        self.submit_commit(Timing::WhenDue)?;
        self.report_health();
        self.refresh(Timing::WhenDue);
        Ok(())
    }

    /// Polls once, and processes what came.
    fn read(&mut self) -> Result<(), StreamError> {
        let mut polled = self.reader.poll(&self.context.config)?;
        let trouble = polled.trouble.take();
        self.process(polled)?;
        match trouble {
            Some(trouble) => Err(self.stop_at(trouble)),
            None => Ok(()),
        }
    }

    fn advance_watermark(&mut self) {
        let clock = &self.context.clock;
        let watermarks = &mut self.state.watermarks;
        if watermarks.advance(clock.now_ms(), clock.steady_ms())
            && let Some(watermark) = watermarks.of_topic()
        {
            self.state.classifier.sweep(watermark);
        }
    }

    /// Ordered end: commit what was read, publish what that closed.
    fn drain(&mut self) -> Result<(), StreamError> {
        let shutdown = self.context.config.patience.shutdown;
        let deadline = Instant::now() + shutdown;
        self.finish_lookups()?;
        loop {
            self.on_committer_events()?;
            self.submit_commit(Timing::Now)?;
            if !self.committer.is_busy() {
                self.committer.keeper.wait(&self.context.runtime, deadline);
                self.refresh(Timing::Now);
                return self.last_snapshot(deadline);
            }
            if Instant::now() >= deadline {
                return Err(StreamError::ShutdownTimeout(shutdown));
            }
            self.wait_for_committer(Duration::from_millis(50))?;
        }
    }
}
