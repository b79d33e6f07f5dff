//! One client's connection: requests arrive as frames, and responses leave as frames, within the
//! bounds of size and time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::shared::Shared;

const READ_BYTES: usize = 64 * 1024;
/// Frames and responses larger than this are limited to a few at a time.
pub const LARGE_BYTES: usize = 1024 * 1024;
/// A frame that keeps arriving gets more time than one that stalls: as long as it takes at this
/// rate.
const SLOWEST_BYTES_PER_SECOND: usize = 256 * 1024;

/// Why a connection ends that its client did not close.
#[derive(Debug, thiserror::Error)]
pub enum End {
    #[error("it could not be read or written: {0}")]
    Io(#[from] io::Error),
    #[error("nothing arrived for {} s", .0.as_secs())]
    Quiet(Duration),
    #[error("a request did not arrive completely within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("an answer was not read within {} s", .0.as_secs())]
    Unread(Duration),
    #[error("a request of {bytes} bytes; at most {bytes_max} are accepted")]
    TooLarge { bytes: i64, bytes_max: usize },
    #[error("others needed its place, and it had no request to answer")]
    GaveWay,
    #[error("{0}")]
    NotUnderstood(String),
}

/// A request as it came.
pub struct Frame {
    pub bytes: Bytes,
    /// For a request of more than a MiB, held until it is answered.
    _large: Option<OwnedSemaphorePermit>,
}

/// The stream of one client, and what connections share.
pub struct Connection {
    stream: TcpStream,
    received: BytesMut,
    pub shared: Arc<Shared>,
    /// To answer with more than a MiB, until the answer is written.
    pub large: Option<OwnedSemaphorePermit>,
}

impl Connection {
    pub fn new(stream: TcpStream, shared: Arc<Shared>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: BytesMut::new(), shared, large: None })
    }

    /// The next request; none once the client has closed the connection.
    pub async fn request(&mut self, quiet_for: Duration) -> Result<Option<Frame>, End> {
        let mut large = None;
        let Some(length) = self.length(quiet_for).await? else { return Ok(None) };
        let deadline = self.deadline(length);
        while self.received.len() < length {
            if self.received.len() >= LARGE_BYTES && large.is_none() {
                // Bounds what all requests hold together; asked for only once this much has
                // arrived.
                let permit = timeout_at(deadline, Arc::clone(&self.shared.large_requests).acquire_owned()).await;
                large = Some(permit.map_err(|_| self.slow())?.map_err(io::Error::other)?);
            }
            // Not the whole length at once: it is only what the client claims.
            let missing = length - self.received.len();
            self.received.reserve(missing.min(READ_BYTES.max(self.received.len())));
            let read = timeout_at(deadline, self.stream.read_buf(&mut self.received)).await;
            if read.map_err(|_| self.slow())?? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(Frame { bytes: self.received.split_to(length).freeze(), _large: large }))
    }

    /// Of the next frame; nothing at the connection's end.
    async fn length(&mut self, quiet_for: Duration) -> Result<Option<usize>, End> {
        let (mut deadline, mut begun) = (Instant::now() + quiet_for, false);
        while self.received.len() < 4 {
            if !self.received.is_empty() && !begun {
                (deadline, begun) = (Instant::now() + self.shared.topics.limits.patience, true);
            }
            self.received.reserve(READ_BYTES);
            let read = timeout_at(deadline, self.stream.read_buf(&mut self.received)).await;
            if read.map_err(|_| End::Quiet(quiet_for))?? == 0 {
                return Ok(None);
            }
        }
        let bytes = self.received.get_i32();
        let bytes_max = self.shared.topics.limits.request_bytes;
        let length = usize::try_from(bytes).ok().filter(|length| *length <= bytes_max);
        length.map(Some).ok_or(End::TooLarge { bytes: bytes.into(), bytes_max })
    }

    fn deadline(&self, bytes: usize) -> Instant {
        let patience = self.shared.topics.limits.patience;
        Instant::now() + patience + Duration::from_secs((bytes / SLOWEST_BYTES_PER_SECOND) as u64)
    }

    fn slow(&self) -> End {
        End::Slow(self.shared.topics.limits.patience)
    }

    /// Writes a framed response.
    pub async fn write(&mut self, answer: Bytes) -> Result<(), End> {
        let deadline = self.deadline(answer.len());
        let written = timeout_at(deadline, self.stream.write_all(&answer)).await;
        Ok(written.map_err(|_| End::Unread(self.shared.topics.limits.patience))??)
    }

    /// The address that clients should connect to: the one it listens on, or, if that is every
    /// address, the one this client used.
    pub fn advertised(&self) -> (StrBytes, i32) {
        let address = self.shared.address;
        let ip = match self.stream.local_addr() {
            Ok(found) if address.ip().is_unspecified() => found.ip().to_canonical(),
            _ => address.ip(),
        };
        (StrBytes::from_string(ip.to_string()), address.port().into())
    }
}
