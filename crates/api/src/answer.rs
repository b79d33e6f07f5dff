//! A query's rows as an answer: whole where they are few, else in pieces, each made when the client
//! has taken those before it.
//!
//! An answer in pieces keeps its query's permit until it is sent, so that slow clients cannot have
//! more of them than there are permits, and ends with a broken connection where it cannot be
//! finished: its status was sent long before.

use std::io;
use std::time::Duration;

use arrow::array::RecordBatch;
use axum::body::{Body, Bytes};
use axum::http::HeaderName;
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, StreamExt, stream};
use tokio::time::Instant;

use vitral_query::{Format, Permit, QueryError, Rows};

/// There are more rows than the answer has.
pub(crate) const TRUNCATED: HeaderName = HeaderName::from_static("vitral-truncated");

/// What is built before the first byte goes out; less than this is sent with its length.
const WHOLE_BYTES: usize = 1 << 20;
/// Rows of an unlimited query that are held before the first byte goes out.
const PEEKED_BYTES: usize = 8 << 20;
const PIECE_BYTES: usize = 64 << 10;
/// How long a client may take for an answer in pieces.
const SENT_WITHIN: Duration = Duration::from_secs(60);

/// Rows that are there, and those that are still to come.
pub(crate) struct Answer {
    pub body: AnswerBody,
    /// There are more rows than were asked for: the last that is sent, and the one behind it.
    pub cut: Option<(RecordBatch, RecordBatch)>,
}

pub(crate) enum AnswerBody {
    Whole(Bytes),
    Pieces(Body),
}

impl AnswerBody {
    pub(crate) fn into_body(self) -> Body {
        match self {
            Self::Whole(bytes) => bytes.into(),
            Self::Pieces(body) => body,
        }
    }
}

/// The rows of a query that was asked for one row more than `limit`, if there is one.
pub(crate) async fn of_rows(
    mut batches: SendableRecordBatchStream,
    format: Format,
    limit: Option<usize>,
    bytes_max: usize,
    permit: Permit,
) -> Result<Answer, QueryError> {
    let mut rows = Rows::new(format, &batches.schema());
    let (mut there, mut held, mut count) = (Vec::new(), 0, 0);
    let mut has_more = true;
    // What has a limit comes in one batch: only then is it known whether something was cut off.
    while has_more && (there.len() < 2 || held < PEEKED_BYTES) {
        match batches.next().await.transpose()? {
            Some(batch) => {
                held += batch.get_array_memory_size();
                count += batch.num_rows();
                there.push(batch);
            }
            None => has_more = false,
        }
    }
    let cut = limit.filter(|limit| count > *limit).and_then(|limit| cut(&mut there, limit));
    there.reverse();
    let mut pieces = Pieces {
        batches: has_more.then_some(batches),
        there,
        row: 0,
        left: limit,
        sent: 0,
        bytes_max,
        deadline: Instant::now() + SENT_WITHIN,
        _permit: permit,
    };
    while rows.waiting() < WHOLE_BYTES {
        if !pieces.write(&mut rows, WHOLE_BYTES).await? {
            return Ok(Answer { body: AnswerBody::Whole(rows.finish().into()), cut });
        }
    }
    let body = Body::from_stream(pieces.send(rows));
    Ok(Answer { body: AnswerBody::Pieces(body), cut })
}

/// Bytes that are there already, in pieces that keep the permit.
pub(crate) fn of_bytes(bytes: Vec<u8>, permit: Permit) -> Body {
    let bytes = Bytes::from(bytes);
    if bytes.len() <= WHOLE_BYTES {
        return bytes.into();
    }
    let deadline = Instant::now() + SENT_WITHIN;
    let pieces = stream::unfold((bytes, permit), move |(mut bytes, permit)| async move {
        if bytes.is_empty() {
            return None;
        }
        if Instant::now() > deadline {
            return Some((Err(too_slow()), (Bytes::new(), permit)));
        }
        let piece = bytes.split_to(PIECE_BYTES.min(bytes.len()));
        Some((Ok(piece), (bytes, permit)))
    });
    Body::from_stream(pieces)
}

/// Leaves so many rows, and gives the last of them and the one behind it.
fn cut(batches: &mut [RecordBatch], limit: usize) -> Option<(RecordBatch, RecordBatch)> {
    let row = |number: usize| {
        let mut before = 0;
        batches.iter().find_map(|batch| {
            let place = number - before;
            before += batch.num_rows();
            (place < batch.num_rows()).then(|| batch.slice(place, 1))
        })
    };
    let ends = row(limit.checked_sub(1)?).zip(row(limit));
    let mut left = limit;
    for batch in batches.iter_mut() {
        let rows = batch.num_rows().min(left);
        *batch = batch.slice(0, rows);
        left -= rows;
    }
    ends
}

struct Pieces {
    /// None once they are at their end.
    batches: Option<SendableRecordBatchStream>,
    /// The next one last.
    there: Vec<RecordBatch>,
    /// Where the next batch is to go on.
    row: usize,
    /// Rows that may still be sent.
    left: Option<usize>,
    sent: usize,
    bytes_max: usize,
    deadline: Instant,
    _permit: Permit,
}

impl Pieces {
    /// Writes some rows; false if there are no more.
    async fn write(&mut self, rows: &mut Rows, bytes: usize) -> Result<bool, QueryError> {
        if self.there.is_empty()
            && let Some(batches) = &mut self.batches
        {
            match batches.next().await.transpose()? {
                Some(batch) => {
                    let left = self.left.unwrap_or(usize::MAX).min(batch.num_rows());
                    self.there.push(batch.slice(0, left));
                }
                None => self.batches = None,
            }
        }
        let Some(batch) = self.there.last() else { return Ok(false) };
        let next = rows.push(batch, self.row, bytes)?;
        if let Some(left) = &mut self.left {
            *left -= next - self.row;
        }
        self.row = next;
        if next == batch.num_rows() {
            self.there.pop();
            self.row = 0;
        }
        Ok(self.left != Some(0) || !self.there.is_empty())
    }

    fn send(self, rows: Rows) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::unfold(Some((self, rows)), |state| async move {
            let (mut pieces, mut rows) = state?;
            match pieces.next(&mut rows).await {
                Ok(true) => {
                    let piece = rows.take();
                    Some((Ok(piece.into()), Some((pieces, rows))))
                }
                Ok(false) => Some((Ok(rows.finish().into()), None)),
                Err(error) => {
                    tracing::warn!(%error, sent = pieces.sent, "an answer was broken off");
                    Some((Err(error), None))
                }
            }
        })
    }

    /// Fills one piece; false if it is the last.
    async fn next(&mut self, rows: &mut Rows) -> io::Result<bool> {
        while rows.waiting() < PIECE_BYTES {
            if !self.write(rows, PIECE_BYTES).await.map_err(io::Error::other)? {
                return Ok(false);
            }
        }
        self.sent += rows.waiting();
        if self.sent > self.bytes_max {
            return Err(io::Error::other(format!(
                "it is larger than the {} bytes of api.answer_bytes",
                self.bytes_max
            )));
        }
        if Instant::now() > self.deadline {
            return Err(too_slow());
        }
        Ok(true)
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the client took longer than {} s", SENT_WITHIN.as_secs()))
}
