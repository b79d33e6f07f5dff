//! Commits: when the buffer is submitted, and what the committer answers.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use vitral_schemas::event_time::Watermark;

use super::keeper::KeeperLink;
use super::{Pipeline, Timing};
use crate::committer::{CommitterEvent, Job};
use crate::error::StreamError;
use crate::topic_panes::LiveMetric;

/// The pipeline's end of the committer, which serves one job at a time.
pub(super) struct CommitterLink {
    jobs: mpsc::Sender<Job>,
    events: mpsc::UnboundedReceiver<CommitterEvent>,
    /// A job that the committer has not answered yet.
    is_busy: bool,
    pub(super) committed_watermark: Option<Watermark>,
    /// What keeps tables up to date with the commits.
    pub(super) keeper: KeeperLink,
}

impl CommitterLink {
    pub(super) fn new(
        jobs: mpsc::Sender<Job>,
        events: mpsc::UnboundedReceiver<CommitterEvent>,
        committed_watermark: Option<Watermark>,
        keeper: KeeperLink,
    ) -> Self {
        Self { jobs, events, is_busy: false, committed_watermark, keeper }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    pub(super) fn submit(&mut self, job: Job) -> Result<(), StreamError> {
        self.jobs.try_send(job).map_err(|_| StreamError::Ended("the committer"))?;
        self.is_busy = true;
        Ok(())
    }
}

impl Pipeline {
    /// Submits what was read once it is time and the committer is free.
    pub(super) fn submit_commit(&mut self, timing: Timing) -> Result<(), StreamError> {
        if self.committer.is_busy() {
            return Ok(());
        }
        let config = &self.context.config;
        let watermarks = self.folded_watermarks();
        let is_due = timing == Timing::Now
            || self.buffer.age() >= config.commit_interval
            || self.buffer.bytes() >= config.limits.uncommitted_bytes / 2;
        let has_news = !self.buffer.is_empty() || watermarks.of_topic() != self.committer.committed_watermark;
        if !is_due || !has_news {
            return Ok(());
        }
        self.snapshotter.poll(&self.context.runtime);
        let has_snapshot = self.snapshotter.is_due(&self.state.classifier);
        if has_snapshot {
            // It is of everything that was read.
            self.finish_lookups()?;
        }
        let standing = self.processor.looking_up.standing();
        let watermarks = standing.map_or(&self.state.watermarks, |standing| &standing.watermarks);
        let (commit, dead_letters) = self.buffer.take(watermarks, standing.map(|standing| &standing.next_offsets));
        if has_snapshot {
            self.cut_snapshot()?;
        }
        self.submit_windows();
        self.committer.submit(Job::Archive { commit, dead_letters })?;
        failpoint!("cycle.cut");
        Ok(())
    }

    /// Takes in what the committer has answered so far.
    pub(super) fn on_committer_events(&mut self) -> Result<(), StreamError> {
        loop {
            match self.committer.events.try_recv() {
                Ok(event) => self.on_event(event)?,
                Err(mpsc::error::TryRecvError::Empty) => return Ok(()),
                Err(mpsc::error::TryRecvError::Disconnected) => return Err(StreamError::Ended("the committer")),
            }
        }
    }

    /// Blocks until the committer answers, at most for `wait`.
    pub(super) fn wait_for_committer(&mut self, wait: Duration) -> Result<(), StreamError> {
        let events = &mut self.committer.events;
        let event = self.context.runtime.block_on(async { tokio::time::timeout(wait, events.recv()).await });
        match event {
            Ok(Some(event)) => self.on_event(event),
            Ok(None) => Err(StreamError::Ended("the committer")),
            Err(_) => Ok(()),
        }
    }

    fn on_event(&mut self, event: CommitterEvent) -> Result<(), StreamError> {
        if !matches!(event, CommitterEvent::Maintained { .. }) {
            self.committer.is_busy = false;
        }
        match event {
            CommitterEvent::Archived { archive, receipt } => {
                self.committer.committed_watermark = receipt.watermark;
                self.buffer.committed();
                self.snapshotter.committed(&self.context.runtime);
                self.publisher.view.archive = archive;
                self.publisher.view.watermark = receipt.watermark;
                self.publisher.view.committed.commit();
                self.publish_closed()?;
            }
            CommitterEvent::Published { tables, watermark } => {
                let mut are_sessions = false;
                for (version, table) in tables {
                    self.state.panes.published(&version, watermark);
                    are_sessions |= self.state.panes.get(&version).is_some_and(LiveMetric::is_of_sessions);
                    self.publisher.view.published.insert(version, table);
                }
                // A session that the last refresh took for ended may have grown since: it is
                // neither published nor shown.
                if are_sessions && self.publisher.live.is_some() {
                    self.refresh(Timing::Now);
                }
            }
            CommitterEvent::Adopted { version, table } => {
                self.publisher.view.published.insert(version.clone(), table);
                self.has_history(&version)?;
            }
            CommitterEvent::PartitionAdded { partition, next_offset, watermark } => {
                self.state.watermarks.add_partition(partition, watermark);
                self.buffer.add_partition(partition, next_offset);
                self.reader.source.assign(self.buffer.next_offsets())?;
                return Ok(());
            }
            CommitterEvent::Maintained { archive, tables } => {
                self.publisher.view.archive = archive;
                self.publisher.view.published.extend(tables);
            }
            CommitterEvent::Failed(error) => return Err(error),
        }
        self.publisher.view.committed.leave_out_published(&self.state.panes);
        self.publish_view();
        if !self.committer.is_busy() {
            self.buffer.settled();
        }
        Ok(())
    }

    /// All rows that were folded so far are in the commit that is submitted now.
    fn submit_windows(&mut self) {
        if self.publisher.view.committed.are_wanted() {
            self.state.panes.refresh();
            self.publisher.view.committed.submit(&self.state.panes);
        }
    }

    /// After a start: the open windows are those of the archive as it is.
    pub(super) fn begin_with_committed_windows(&mut self) {
        self.submit_windows();
        self.publisher.view.committed.commit();
    }

    /// What is read is committed; its state is written down so that the next start has nothing to
    /// rebuild.
    pub(super) fn last_snapshot(&mut self, deadline: Instant) -> Result<(), StreamError> {
        let runtime = self.context.runtime.clone();
        let is_free = self.snapshotter.finish(&runtime, deadline);
        if is_free && self.context.config.snapshot.is_some() {
            self.cut_snapshot()?;
            self.snapshotter.committed(&runtime);
            self.snapshotter.finish(&runtime, deadline);
        }
        Ok(())
    }

    /// Takes the state as of the last commit that was taken.
    fn cut_snapshot(&mut self) -> Result<(), StreamError> {
        let offsets = self.buffer.next_offsets().iter();
        let offsets = offsets.filter_map(|(partition, next)| Some((*partition, (*next)?))).collect();
        self.snapshotter.cut(offsets, &mut self.state)
    }
}
