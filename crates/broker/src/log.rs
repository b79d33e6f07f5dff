//! A partition's log: segments in order, of which the last is written to.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::batch::{self, Head, Refused};
use crate::limits::Limits;
use crate::producers::Producers;
use crate::segment::{Segment, Stretch};

#[derive(Debug)]
pub struct PartitionLog {
    dir: PathBuf,
    segments: VecDeque<Segment>,
    producers: Producers,
    /// Where a log without segments continues.
    end_offset: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("{}", .0.reason)]
    Refused(Refused),
    #[error("the log cannot be written")]
    Io(#[source] io::Error),
}

/// A batch that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: i64,
    /// None if it was there already.
    pub bytes: u64,
}

impl PartitionLog {
    /// Opens the log, or begins it.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let mut paths = std::fs::read_dir(&dir)?
            .map(|entry| entry.map(|entry| entry.path()))
            .filter(|path| path.as_ref().map_or(true, |path| path.extension().is_some_and(|end| end == "log")))
            .collect::<io::Result<Vec<_>>>()?;
        // Their names are offsets of the same width.
        paths.sort();
        let mut log = Self { dir, segments: VecDeque::new(), producers: Producers::default(), end_offset: 0 };
        let newest = paths.len().saturating_sub(1);
        for (index, path) in paths.into_iter().enumerate() {
            let producers = &mut log.producers;
            let each = |head: &Head| {
                if head.is_idempotent() {
                    producers.stored(head);
                }
            };
            if let Some(segment) = Segment::open(path, index == newest, each)? {
                log.end_offset = segment.end_offset;
                log.segments.push_back(segment);
            }
        }
        Ok(log)
    }

    /// The first offset that still exists.
    pub fn start_offset(&self) -> i64 {
        self.segments.front().map_or(self.end_offset, |segment| segment.base_offset)
    }

    /// The offset that the next record gets.
    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Appends a checked batch, unless its producer has sent it before.
    pub fn append(&mut self, batch: &[u8], head: &Head, limits: &Limits) -> Result<Appended, AppendError> {
        if head.is_idempotent()
            && let Some(base_offset) = self.producers.known(head).map_err(AppendError::Refused)?
        {
            return Ok(Appended { base_offset, bytes: 0 });
        }
        let base_offset = self.end_offset;
        let mut placed = batch.to_vec();
        batch::place(&mut placed, base_offset);
        let head = head.placed(base_offset);
        self.segment(limits).and_then(|segment| segment.append(&placed, &head)).map_err(AppendError::Io)?;
        self.end_offset = head.next_offset();
        if head.is_idempotent() {
            self.producers.stored(&head);
        }
        Ok(Appended { base_offset, bytes: head.bytes as u64 })
    }

    /// The one to write to.
    fn segment(&mut self, limits: &Limits) -> io::Result<&mut Segment> {
        let full = self.segments.back().is_none_or(|last| {
            last.bytes >= limits.segment_bytes || (last.bytes > 0 && age(last.begun) > limits.segment_age)
        });
        if full {
            let next = Segment::create(&self.dir, self.end_offset)?;
            if let Some(last) = self.segments.back_mut() {
                last.finish();
            }
            self.segments.push_back(next);
        }
        self.segments.back_mut().ok_or_else(|| io::Error::other("a log without segments"))
    }

    /// Continues at this offset, if the log ends before it; where it ended.
    pub fn continue_at(&mut self, offset: i64) -> io::Result<Option<i64>> {
        let ended = self.end_offset;
        if offset <= ended {
            return Ok(None);
        }
        // Its name keeps the offset over a restart.
        let next = Segment::create(&self.dir, offset)?;
        if let Some(last) = self.segments.back_mut() {
            last.finish();
        }
        self.segments.push_back(next);
        self.end_offset = offset;
        Ok(Some(ended))
    }

    /// Where the batch with this offset is, or the next one: nothing at the log's end.
    pub fn stretch(&self, offset: i64) -> io::Result<Option<Stretch>> {
        let index = self.segments.partition_point(|segment| segment.end_offset <= offset);
        self.segments.get(index).map(|segment| segment.stretch(offset)).transpose()
    }

    /// The first batch with a record at or after this time.
    pub fn first_since(&self, timestamp: i64) -> io::Result<Option<Head>> {
        for segment in &self.segments {
            if let Some(head) = segment.first_since(timestamp)? {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    pub fn max_timestamp(&self) -> Option<i64> {
        self.segments.iter().filter_map(Segment::max_timestamp).max()
    }

    /// When the oldest segment was last written to, if it holds anything.
    pub fn oldest(&self) -> Option<SystemTime> {
        self.segments.front().filter(|segment| segment.bytes > 0).map(|segment| segment.written)
    }

    /// Deletes the oldest segment; the bytes that this frees. Offsets continue where they were.
    pub fn delete_oldest(&mut self) -> io::Result<u64> {
        if self.segments.len() == 1 {
            // The name of an empty one keeps the offset over a restart.
            let next = Segment::create(&self.dir, self.end_offset)?;
            self.segments.push_back(next);
        }
        let Some(oldest) = self.segments.front() else { return Ok(0) };
        oldest.delete()?;
        let bytes = oldest.bytes;
        self.segments.pop_front();
        Ok(bytes)
    }

    pub fn sync(&self) -> io::Result<()> {
        self.segments.back().map_or(Ok(()), Segment::sync)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

pub fn age(since: SystemTime) -> Duration {
    // A clock that was set back makes nothing old.
    SystemTime::now().duration_since(since).unwrap_or_default()
}
