//! Files that save a restart from rebuilding its state: segments of record batches, and a manifest
//! that names those in use.
//!
//! A snapshot is only an accelerator. Whatever is missing, torn, altered, or of another format is
//! an error here, and its reader rebuilds from the archive.
//!
//! ```text
//! segment-00000007.bin     "vitral segment 1\n", then blocks: Arrow IPC streams, each checked by its manifest's CRC-32
//! manifest-00000007.json   "vitral snapshot 1 CRC32\n", then the body as JSON
//! ```
//!
//! A manifest is put after all its segments, and is whole or absent. Segments that no manifest
//! names are deleted after the next one; what another process has written since this one first
//! looked is left to that process.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, WriteMultipart};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::location::Location;

/// Changes whenever the format of the files changes; the golden files under `tests/` have this
/// version.
const SEGMENT_HEAD: &[u8] = b"vitral segment 1\n";
const MANIFEST_HEAD: &str = "vitral snapshot 1 ";
/// Rows encoded at once: what is in memory on top of the state itself stays small.
const ROWS_AT_ONCE: usize = 32 * 1024;
/// Parts that wait to be written.
const PARTS_IN_FLIGHT: usize = 2;

/// Where the snapshots of one topic lie.
#[derive(Debug, Clone)]
pub struct Snapshots {
    location: Location,
    own: Arc<Mutex<Own>>,
}

/// The numbers that this process may delete: those that it found at its start, and its own.
#[derive(Debug, Default)]
struct Own {
    found: Option<u64>,
    written: BTreeSet<u64>,
}

/// A record batch in a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The number of the segment that holds it.
    pub segment: u64,
    /// Where it begins there, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// The checksum of its bytes.
    pub crc32: u32,
}

impl Snapshots {
    /// The snapshots below `location`, which are read only when asked for.
    pub fn new(location: Location) -> Self {
        Self { location, own: Arc::default() }
    }

    fn with_own<T>(&self, use_it: impl FnOnce(&mut Own) -> T) -> T {
        use_it(&mut self.own.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes the batches to one new segment: the block of each.
    pub async fn write_segment(&self, number: u64, batches: &[RecordBatch]) -> Result<Vec<Block>, StoreError> {
        let name = segment_name(number);
        self.with_own(|own| own.written.insert(number));
        let file = self.location.file(&name)?;
        let upload = self.location.store().put_multipart(&file).await.map_err(self.failed(&name, "written"))?;
        let mut segment = SegmentWriter { upload: WriteMultipart::new(upload), offset: 0 };
        match segment.write(number, batches).await {
            Ok(blocks) => {
                segment.upload.finish().await.map_err(self.failed(&name, "written"))?;
                Ok(blocks)
            }
            Err(error) => {
                // What was uploaded is useless; a failure to remove it is no worse than the error.
                let _ = segment.upload.abort().await;
                Err(self.damaged(&name, &error.to_string()))
            }
        }
    }

    /// The batch of a block, exactly as it was written.
    pub async fn read(&self, block: &Block) -> Result<RecordBatch, StoreError> {
        let name = segment_name(block.segment);
        let file = self.location.file(&name)?;
        let range = block.offset..block.offset.saturating_add(block.bytes);
        let bytes = self.location.store().get_range(&file, range).await.map_err(self.failed(&name, "read"))?;
        if bytes.len() as u64 != block.bytes || crc32fast::hash(&bytes) != block.crc32 {
            return Err(self.damaged(&name, "a block does not have the bytes that were written"));
        }
        let batch = decode(bytes).map_err(|error| self.damaged(&name, &error.to_string()))?;
        if batch.num_rows() as u64 != block.rows {
            return Err(self.damaged(&name, "a block has another number of rows"));
        }
        Ok(batch)
    }

    /// Writes the manifest of snapshot `number`, with its checksum: from then on the snapshot
    /// exists.
    pub async fn write_manifest<T: Serialize>(&self, number: u64, body: &T) -> Result<(), StoreError> {
        let name = manifest_name(number);
        self.with_own(|own| own.written.insert(number));
        let body = serde_json::to_string(body).map_err(|error| self.damaged(&name, &error.to_string()))?;
        let text = format!("{MANIFEST_HEAD}{:08x}\n{body}\n", crc32fast::hash(body.as_bytes()));
        self.location
            .store()
            .put(&self.location.file(&name)?, text.into_bytes().into())
            .await
            .map_err(self.failed(&name, "written"))?;
        Ok(())
    }

    /// The newest manifest and its number; none if there is none.
    pub async fn newest<T: DeserializeOwned>(&self) -> Result<Option<(u64, T)>, StoreError> {
        let Some(number) = self.files().await?.into_iter().filter_map(|name| number_of(&name, "manifest-")).max()
        else {
            return Ok(None);
        };
        let name = manifest_name(number);
        let found = self.location.store().get(&self.location.file(&name)?).await.map_err(self.failed(&name, "read"))?;
        let bytes = found.bytes().await.map_err(self.failed(&name, "read"))?;
        let body = body(&bytes).ok_or_else(|| self.damaged(&name, "it is torn, altered or of another format"))?;
        let body = serde_json::from_slice(body).map_err(|error| self.damaged(&name, &error.to_string()))?;
        Ok(Some((number, body)))
    }

    /// The highest file number, so that a new file overwrites nothing.
    pub async fn last_number(&self) -> Result<u64, StoreError> {
        let numbers = |name: &String| number_of(name, "manifest-").or(number_of(name, "segment-"));
        let last = self.files().await?.iter().filter_map(numbers).max().unwrap_or_default();
        self.with_own(|own| _ = own.found.get_or_insert(last));
        Ok(last)
    }

    /// Deletes all manifests but this one, and the segments that it does not name.
    pub async fn keep_only(&self, manifest: u64, segments: &[u64]) -> Result<(), StoreError> {
        for name in self.files().await? {
            let number = number_of(&name, "manifest-").or(number_of(&name, "segment-"));
            let is_own = |number| {
                self.with_own(|own| own.found.is_none_or(|found| number <= found) || own.written.contains(&number))
            };
            if !number.is_some_and(is_own) {
                continue;
            }
            let is_old = match (number_of(&name, "manifest-"), number_of(&name, "segment-")) {
                (Some(number), _) => number < manifest,
                (_, Some(number)) => number <= manifest && !segments.contains(&number),
                _ => false,
            };
            if is_old {
                let deleted = self.location.store().delete(&self.location.file(&name)?).await;
                deleted.map_err(self.failed(&name, "deleted"))?;
            }
        }
        Ok(())
    }

    async fn files(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.location.path()?;
        let files: Vec<_> =
            self.location.store().list(Some(&folder)).try_collect().await.map_err(self.failed("", "listed"))?;
        Ok(files.iter().filter_map(|file| file.location.filename().map(str::to_owned)).collect())
    }

    fn failed(&self, name: &str, action: &'static str) -> impl Fn(object_store::Error) -> StoreError + use<> {
        let path = format!("{}{name}", self.location);
        move |source| StoreError::Object { path: path.clone(), action, source: Box::new(source) }
    }

    fn damaged(&self, name: &str, reason: &str) -> StoreError {
        StoreError::Damaged { path: format!("{}{name}", self.location), reason: reason.to_owned() }
    }
}

struct SegmentWriter {
    upload: WriteMultipart,
    offset: u64,
}

impl SegmentWriter {
    async fn write(
        &mut self,
        number: u64,
        batches: &[RecordBatch],
    ) -> Result<Vec<Block>, Box<dyn std::error::Error + Send + Sync>> {
        self.put(SEGMENT_HEAD).await?;
        let mut blocks = Vec::with_capacity(batches.len());
        for batch in batches {
            let offset = self.offset;
            let mut crc32 = crc32fast::Hasher::new();
            let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
            for first in (0..batch.num_rows()).step_by(ROWS_AT_ONCE) {
                writer.write(&batch.slice(first, ROWS_AT_ONCE.min(batch.num_rows() - first)))?;
                let encoded = std::mem::take(writer.get_mut());
                crc32.update(&encoded);
                self.put(&encoded).await?;
            }
            let encoded = writer.into_inner()?;
            crc32.update(&encoded);
            self.put(&encoded).await?;
            blocks.push(Block {
                segment: number,
                offset,
                bytes: self.offset - offset,
                rows: batch.num_rows() as u64,
                crc32: crc32.finalize(),
            });
        }
        Ok(blocks)
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), object_store::Error> {
        self.upload.wait_for_capacity(PARTS_IN_FLIGHT).await?;
        self.upload.write(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

/// What is damaged makes the decoder fail, or panic.
fn decode(bytes: Bytes) -> Result<RecordBatch, ArrowError> {
    let damaged = |_| Err(ArrowError::IpcError("not a stream of record batches".to_owned()));
    catch_unwind(AssertUnwindSafe(|| decode_stream(bytes))).unwrap_or_else(damaged)
}

/// Lengths in the stream are believed only as far as there are bytes: a reader of streams would
/// make room for them first.
fn decode_stream(bytes: Bytes) -> Result<RecordBatch, ArrowError> {
    let mut decoder = StreamDecoder::new();
    let mut rest = Buffer::from(bytes);
    let mut batches = Vec::new();
    while !rest.is_empty() {
        batches.extend(decoder.decode(&mut rest)?);
    }
    decoder.finish()?;
    let schema = decoder.schema().ok_or_else(|| ArrowError::IpcError("a stream without a schema".to_owned()))?;
    concat_batches(&schema, &batches)
}

/// The body after an intact head.
fn body(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(MANIFEST_HEAD.as_bytes())?;
    let (crc32, rest) = rest.split_at_checked(9)?;
    let body = rest.strip_suffix(b"\n")?;
    (crc32 == format!("{:08x}\n", crc32fast::hash(body)).as_bytes()).then_some(body)
}

fn segment_name(number: u64) -> String {
    format!("segment-{number:08}.bin")
}

fn manifest_name(number: u64) -> String {
    format!("manifest-{number:08}.json")
}

fn number_of(name: &str, kind: &str) -> Option<u64> {
    name.strip_prefix(kind)?.split('.').next()?.parse().ok()
}
