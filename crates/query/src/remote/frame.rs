//! The bytes of a live part: a mark with the number of their format, a head in JSON, and blocks of
//! rows as Arrow IPC streams.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use bytes::{BufMut as _, Bytes, BytesMut};

use super::part::{LivePart, Rows};

/// The format of these bytes. A reader of another one takes nothing from them.
pub const FORMAT: u32 = 1;
const MARK: &[u8] = b"vitral-visao";

/// Why bytes are not a live part.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream's program is another version.
    #[error(
        "the stream sends its live part in format {found}, and this process reads format {FORMAT}: run the same version of both"
    )]
    OtherFormat {
        /// Theirs.
        found: u32,
    },
    /// They end too early, or are something else.
    #[error("what came is not the live part of a stream: {0}")]
    Damaged(&'static str),
    /// The head cannot be read.
    #[error("the head of the stream's live part cannot be read")]
    Head(#[from] serde_json::Error),
    /// Rows cannot be read.
    #[error("rows of the stream's live part cannot be read")]
    Rows(#[from] ArrowError),
}

/// Rows as a block.
pub(super) fn block<'a>(
    schema: &SchemaRef,
    batches: impl Iterator<Item = &'a RecordBatch>,
) -> Result<Bytes, ArrowError> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), schema, options)?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.into_inner()?.into())
}

/// The bytes of a part that refers to these blocks.
pub(super) fn write(part: &LivePart, blocks: &[Bytes]) -> Result<Bytes, serde_json::Error> {
    let head = serde_json::to_vec(part)?;
    let of_blocks: usize = blocks.iter().map(|block| 8 + block.len()).sum();
    let mut bytes = BytesMut::with_capacity(MARK.len() + 12 + head.len() + of_blocks);
    bytes.put_slice(MARK);
    bytes.put_u32_le(FORMAT);
    for piece in std::iter::once(head.as_slice()).chain(blocks.iter().map(|block| &**block)) {
        bytes.put_u64_le(piece.len() as u64);
        bytes.put_slice(piece);
    }
    Ok(bytes.freeze())
}

impl LivePart {
    /// Reads what a stream has sent.
    ///
    /// # Errors
    /// It is of another format, or damaged.
    pub fn read(bytes: &[u8]) -> Result<Self, FrameError> {
        let rest = bytes.strip_prefix(MARK).ok_or(FrameError::Damaged("it begins otherwise"))?;
        let (format, mut rest) = rest.split_first_chunk::<4>().ok_or(FrameError::Damaged("it ends too early"))?;
        let found = u32::from_le_bytes(*format);
        if found != FORMAT {
            return Err(FrameError::OtherFormat { found });
        }
        let mut part: Self = serde_json::from_slice(piece(&mut rest)?)?;
        while !rest.is_empty() {
            let reader = StreamReader::try_new(Cursor::new(piece(&mut rest)?), None)?;
            let schema = reader.schema();
            part.blocks.push(Rows { schema, batches: reader.collect::<Result<_, _>>()? });
        }
        Ok(part)
    }

    /// A block that the head names.
    ///
    /// # Errors
    /// There is none of this number.
    pub fn rows(&self, block: usize) -> Result<&Rows, FrameError> {
        self.blocks.get(block).ok_or(FrameError::Damaged("it lacks rows that it names"))
    }
}

fn piece<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], FrameError> {
    let ends = || FrameError::Damaged("it ends too early");
    let (length, after) = rest.split_first_chunk::<8>().ok_or_else(ends)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| ends())?;
    let (piece, after) = after.split_at_checked(length).ok_or_else(ends)?;
    *rest = after;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn sent() -> Bytes {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = RecordBatch::try_from_iter([("n", numbers)]).expect("rows");
        let block = block(&rows.schema(), [&rows, &rows.slice(0, 1)].into_iter()).expect("a block");
        let part = LivePart { epoch: "a-1".to_owned(), ..LivePart::default() };
        write(&part, &[block]).expect("bytes")
    }

    #[test]
    fn what_is_sent_comes_back() {
        let part = LivePart::read(&sent()).expect("a part");
        assert_eq!(part.epoch, "a-1");
        let rows: Vec<usize> = part.rows(0).expect("a block").batches.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(rows, [3, 1]);
        assert!(part.rows(1).is_err());
    }

    #[test]
    fn another_format_and_damage_are_told_apart() {
        let mut other = sent().to_vec();
        other[MARK.len()] += 1;
        assert!(matches!(LivePart::read(&other), Err(FrameError::OtherFormat { found: 2 })));
        let whole = sent();
        for length in 0..whole.len() {
            let error = LivePart::read(&whole[..length]);
            // Without its last piece as a whole it is a shorter part, which lacks rows.
            let is_refused = error.map_or(true, |part| part.rows(0).is_err());
            assert!(is_refused, "{length} of {} bytes", whole.len());
        }
    }
}
