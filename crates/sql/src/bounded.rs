//! A client's messages, none of which is larger than it may be: how long each is, it says before.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Before somebody has signed in.
const FIRST_BYTES_MAX: usize = 16 << 10;
/// A statement, with what is bound to it.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// A message begins with its kind and its length, which counts itself.
const LENGTH_BYTES: usize = 4;

/// How large messages of one client may be.
#[derive(Debug, Clone)]
pub(crate) struct Bound(Arc<AtomicUsize>);

impl Bound {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(FIRST_BYTES_MAX)))
    }

    /// The client has signed in.
    pub(crate) fn widen(&self) {
        self.0.store(MESSAGE_BYTES_MAX, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A message would be larger.
#[derive(Debug, thiserror::Error)]
#[error("a message of {0} bytes is larger than it may be")]
pub(crate) struct TooLarge(usize);

impl TooLarge {
    /// Whether this is why nothing more is read.
    pub(crate) fn is_cause(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Self>())
    }
}

/// The lengths of messages, as their bytes come by.
#[derive(Debug)]
struct Gauge {
    bound: Bound,
    header: Vec<u8>,
    /// The first message has no kind.
    header_bytes: usize,
    /// Of the message whose length is known.
    left: usize,
}

impl Gauge {
    fn see(&mut self, mut bytes: &[u8]) -> Result<(), TooLarge> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let passed = (self.header_bytes - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..passed]);
            bytes = &bytes[passed..];
            if self.header.len() == self.header_bytes {
                let length = self.header[self.header_bytes - LENGTH_BYTES..].iter();
                let length = length.fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
                if length > self.bound.bytes() {
                    return Err(TooLarge(length));
                }
                self.left = length.saturating_sub(LENGTH_BYTES);
                self.header.clear();
                self.header_bytes = 1 + LENGTH_BYTES;
            }
        }
        Ok(())
    }
}

/// A connection that gives no more of a message that is too large.
pub(crate) struct Bounded<S> {
    stream: S,
    gauge: Gauge,
    /// What was too large in that which had come before.
    refused: Option<TooLarge>,
}

impl<S> Bounded<S> {
    /// `read` is what has come already.
    pub(crate) fn new(stream: S, read: &[u8], bound: Bound) -> Self {
        let mut gauge = Gauge { bound, header: Vec::new(), header_bytes: LENGTH_BYTES, left: 0 };
        let refused = gauge.see(read).err();
        Self { stream, gauge, refused }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(too_large) = self.refused.take() {
            return Poll::Ready(Err(io::Error::other(too_large)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let seen = self.gauge.see(&buffer.filled()[before..]);
        Poll::Ready(seen.map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn message(kind: u8, length: u32) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(length.to_be_bytes());
        bytes.resize(1 + length as usize, 0);
        bytes
    }

    async fn read(bound: &Bound, chunks: &[u8]) -> io::Result<usize> {
        let first = [&8_u32.to_be_bytes()[..], &[0; 4]].concat();
        let (read, rest) = first.split_at(3);
        let stream = io::Cursor::new([rest, chunks].concat());
        let mut all = Vec::new();
        Bounded::new(stream, read, bound.clone()).read_to_end(&mut all).await
    }

    #[tokio::test]
    async fn messages_are_as_large_as_they_may_be() {
        let bound = Bound::new();
        let fits = message(b'p', 16 << 10);
        assert!(read(&bound, &fits).await.is_ok());
        let larger = [fits, message(b'p', (16 << 10) + 1)].concat();
        let error = read(&bound, &larger).await.expect_err("too large");
        assert!(TooLarge::is_cause(&error), "{error}");
        bound.widen();
        assert!(read(&bound, &larger).await.is_ok());
        let endless = [b"Q".as_slice(), &u32::MAX.to_be_bytes()].concat();
        assert!(read(&bound, &endless).await.is_err());
    }

    #[tokio::test]
    async fn what_had_come_before_is_not_larger_either() {
        let stream = io::Cursor::new(Vec::new());
        let mut stream = Bounded::new(stream, &u32::MAX.to_be_bytes(), Bound::new());
        let error = stream.read_to_end(&mut Vec::new()).await.expect_err("too large");
        assert!(TooLarge::is_cause(&error), "{error}");
    }
}
