//! One file of a partition's log: whole record batches, one after the other, and an index of where
//! some of them begin.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::batch::{HEAD_BYTES, Head};

/// A position is indexed this often, so at most this much is read needlessly.
const INDEX_BYTES: u64 = 4096;
const SCAN_BYTES: usize = 256 * 1024;

#[derive(Debug)]
pub struct Segment {
    pub base_offset: i64,
    pub end_offset: i64,
    pub bytes: u64,
    pub begun: SystemTime,
    /// When it was last written to.
    pub written: SystemTime,
    path: PathBuf,
    /// Only of the one that is written to: the number of open files is bounded by that of
    /// partitions.
    file: Option<Arc<File>>,
    index: Vec<Place>,
    max_timestamp: i64,
}

/// Where a batch begins, and the newest timestamp before it.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: i64,
    position: u64,
    max_timestamp_before: i64,
}

/// A part of a segment that may be read without holding its log.
#[derive(Debug)]
pub struct Stretch {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Segment {
    pub fn create(dir: &Path, base_offset: i64) -> io::Result<Self> {
        let path = dir.join(format!("{base_offset:020}.log"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self {
            base_offset,
            end_offset: base_offset,
            bytes: 0,
            begun: SystemTime::now(),
            written: SystemTime::now(),
            path,
            file: Some(Arc::new(file)),
            index: Vec::new(),
            max_timestamp: i64::MIN,
        })
    }

    /// Reads a file that is there from its beginning; `each` sees every batch. A torn end, what a
    /// crash of the machine left of a last write, is cut off the log's newest segment and left out
    /// of another.
    pub fn open(path: PathBuf, newest: bool, mut each: impl FnMut(&Head)) -> io::Result<Option<Self>> {
        let name = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let Some(base_offset) = name.filter(|_| path.extension().is_some_and(|extension| extension == "log")) else {
            return Ok(None);
        };
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let metadata = file.metadata()?;
        let mut segment = Self {
            base_offset,
            end_offset: base_offset,
            bytes: 0,
            begun: metadata.created().or_else(|_| metadata.modified())?,
            written: metadata.modified()?,
            path,
            file: None,
            index: Vec::new(),
            max_timestamp: i64::MIN,
        };
        scan(&file, 0, metadata.len(), true, |head| {
            if head.base_offset < segment.end_offset {
                return false;
            }
            each(head);
            segment.add(head);
            true
        })?;
        let torn = metadata.len() - segment.bytes;
        if torn > 0 {
            let file_name = segment.path.display();
            tracing::warn!(file = %file_name, bytes = torn, "the end of a log file is incomplete and is left out");
        }
        if newest {
            if torn > 0 {
                file.set_len(segment.bytes)?;
            }
            segment.file = Some(Arc::new(file));
        }
        Ok(Some(segment))
    }

    fn add(&mut self, head: &Head) {
        if self.index.last().is_none_or(|place| self.bytes - place.position >= INDEX_BYTES) {
            self.index.push(Place {
                offset: head.base_offset,
                position: self.bytes,
                max_timestamp_before: self.max_timestamp,
            });
        }
        self.max_timestamp = self.max_timestamp.max(head.max_timestamp);
        self.end_offset = head.next_offset();
        self.bytes += head.bytes as u64;
    }

    /// Writes a batch whose place is set. One that could not be written whole is not there: the
    /// next one takes its place.
    pub fn append(&mut self, batch: &[u8], head: &Head) -> io::Result<()> {
        let file = self.file()?;
        if let Err(error) = file.write_all_at(batch, self.bytes) {
            // Whether or not this succeeds, what counts is how far the segment is known to go.
            let _ = file.set_len(self.bytes);
            return Err(error);
        }
        self.file = Some(file);
        self.written = SystemTime::now();
        self.add(head);
        Ok(())
    }

    fn file(&self) -> io::Result<Arc<File>> {
        match &self.file {
            Some(file) => Ok(Arc::clone(file)),
            None => Ok(Arc::new(OpenOptions::new().read(true).write(true).open(&self.path)?)),
        }
    }

    /// No longer written to.
    pub fn finish(&mut self) {
        self.file = None;
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.sync_data())
    }

    pub fn delete(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    /// What holds the batch with this offset, from at most `INDEX_BYTES` and a batch before it.
    pub fn stretch(&self, offset: i64) -> io::Result<Stretch> {
        let index = self.index.partition_point(|place| place.offset <= offset);
        let position = index.checked_sub(1).map_or(0, |index| self.index[index].position);
        Ok(Stretch { file: self.file()?, position, end: self.bytes })
    }

    /// The first batch with a record at or after this time.
    pub fn first_since(&self, timestamp: i64) -> io::Result<Option<Head>> {
        if self.max_timestamp < timestamp {
            return Ok(None);
        }
        let index = self.index.partition_point(|place| place.max_timestamp_before < timestamp);
        let position = index.checked_sub(1).map_or(0, |index| self.index[index].position);
        let mut found = None;
        let file = self.file()?;
        scan(&file, position, self.bytes, false, |head| {
            found = (head.max_timestamp >= timestamp).then_some(*head);
            found.is_none()
        })?;
        Ok(found)
    }

    pub fn max_timestamp(&self) -> Option<i64> {
        (self.bytes > 0).then_some(self.max_timestamp)
    }
}

impl Stretch {
    /// Whole batches from the one with this offset on, of `bytes_max` together; the first one
    /// however large, if it is asked for.
    pub fn read(&self, offset: i64, bytes_max: usize, first_whole: bool) -> io::Result<Vec<u8>> {
        let whole = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let mut bytes = vec![0; whole.min(bytes_max.saturating_add(INDEX_BYTES as usize).max(HEAD_BYTES))];
        self.file.read_exact_at(&mut bytes, self.position)?;
        let (mut begin, mut position) = (0, self.position);
        // Batches that end before the offset; the last of them may be larger than what was read.
        let first = loop {
            if bytes.len() - begin < HEAD_BYTES {
                if self.end - position < HEAD_BYTES as u64 {
                    return Ok(Vec::new());
                }
                let rest = usize::try_from(self.end - position).unwrap_or(usize::MAX);
                bytes = vec![0; rest.min(bytes_max.max(HEAD_BYTES))];
                self.file.read_exact_at(&mut bytes, position)?;
                begin = 0;
            }
            let head = head_at(&bytes[begin..])?;
            if head.next_offset() > offset {
                break head;
            }
            position += head.bytes as u64;
            begin = begin.saturating_add(head.bytes).min(bytes.len());
        };
        if first.bytes > bytes_max {
            if !first_whole {
                return Ok(Vec::new());
            }
            let mut batch = vec![0; first.bytes];
            self.file.read_exact_at(&mut batch, position)?;
            return Ok(batch);
        }
        let mut end = begin;
        while bytes.len() - end >= HEAD_BYTES {
            let head = head_at(&bytes[end..])?;
            if end + head.bytes > bytes.len() || end + head.bytes - begin > bytes_max {
                break;
            }
            end += head.bytes;
        }
        if end == begin {
            // It would have fitted, had less been read needlessly.
            bytes.resize(begin + first.bytes, 0);
            self.file.read_exact_at(&mut bytes[begin..], position)?;
            end = begin + first.bytes;
        }
        bytes.truncate(end);
        bytes.drain(..begin);
        Ok(bytes)
    }
}

fn head_at(bytes: &[u8]) -> io::Result<Head> {
    Head::read(bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a log file does not hold batches"))
}

/// Shows every batch from this position on until one is not whole, or `each` has seen enough.
fn scan(file: &File, mut position: u64, end: u64, verify: bool, mut each: impl FnMut(&Head) -> bool) -> io::Result<()> {
    let mut buffer = Vec::new();
    // Of the buffer, in the file.
    let mut begin = position;
    while end - position >= HEAD_BYTES as u64 {
        let mut at = (position - begin) as usize;
        if buffer.len() < at + HEAD_BYTES {
            fill(file, &mut buffer, position, end, SCAN_BYTES)?;
            (begin, at) = (position, 0);
        }
        let Some(head) = Head::read(&buffer[at..]) else { return Ok(()) };
        if head.bytes as u64 > end - position {
            return Ok(());
        }
        if verify {
            if buffer.len() < at + head.bytes {
                fill(file, &mut buffer, position, end, SCAN_BYTES.max(head.bytes))?;
                (begin, at) = (position, 0);
            }
            if !head.is_stored_whole(&buffer[at..at + head.bytes]) {
                return Ok(());
            }
        }
        if !each(&head) {
            return Ok(());
        }
        position += head.bytes as u64;
        if position - begin > buffer.len() as u64 {
            buffer.clear();
            begin = position;
        }
    }
    Ok(())
}

fn fill(file: &File, buffer: &mut Vec<u8>, position: u64, end: u64, bytes: usize) -> io::Result<()> {
    buffer.resize(bytes.min(usize::try_from(end - position).unwrap_or(usize::MAX)), 0);
    file.read_exact_at(buffer, position)
}
