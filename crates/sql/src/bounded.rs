//! A client's messages, none of which is larger than it may be, or other than its kind says: how
//! long each is, it says before.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::messages::{self, Malformed};

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

/// Why nothing more is read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("a message of {0} bytes is larger than it may be")]
    TooLarge(usize),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Refused {
    /// If this is why nothing more is read.
    pub(crate) fn cause(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// Messages, as their bytes come by.
#[derive(Debug)]
struct Gauge {
    bound: Bound,
    header: Vec<u8>,
    /// The first message has no kind.
    header_bytes: usize,
    /// Of the message whose length is known.
    left: usize,
    kind: u8,
    body: Vec<u8>,
    /// Whether a sign-in has begun.
    has_proof: bool,
}

impl Gauge {
    fn see(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                self.body.extend_from_slice(&bytes[..passed]);
                bytes = &bytes[passed..];
                if self.left == 0 {
                    self.end()?;
                }
                continue;
            }
            let passed = (self.header_bytes - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..passed]);
            bytes = &bytes[passed..];
            if self.header.len() == self.header_bytes {
                let length = self.header[self.header_bytes - LENGTH_BYTES..].iter();
                let length = length.fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
                if length > self.bound.bytes() {
                    return Err(Refused::TooLarge(length));
                }
                let length = length.checked_sub(LENGTH_BYTES);
                self.left = length.ok_or(Malformed("a message is shorter than what says how long it is"))?;
                self.kind = if self.header_bytes == LENGTH_BYTES { messages::STARTUP } else { self.header[0] };
                self.header.clear();
                self.header_bytes = 1 + LENGTH_BYTES;
                if self.left == 0 {
                    self.end()?;
                }
            }
        }
        Ok(())
    }

    /// A message is whole.
    fn end(&mut self) -> Result<(), Refused> {
        let body = std::mem::take(&mut self.body);
        let is_proof = self.kind == b'p';
        messages::check(self.kind, &body, is_proof && !self.has_proof)?;
        self.has_proof |= is_proof;
        Ok(())
    }
}

/// A connection that gives no more once a message is refused.
pub(crate) struct Bounded<S> {
    stream: S,
    gauge: Gauge,
    /// What had come before, and is read first.
    read: BytesMut,
}

impl<S> Bounded<S> {
    /// `read` is what has come already.
    pub(crate) fn new(stream: S, read: BytesMut, bound: Bound) -> Self {
        let gauge = Gauge {
            bound,
            header: Vec::new(),
            header_bytes: LENGTH_BYTES,
            left: 0,
            kind: messages::STARTUP,
            body: Vec::new(),
            has_proof: false,
        };
        Self { stream, gauge, read }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.read.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let count = self.read.len().min(buffer.remaining());
            buffer.put_slice(&self.read.split_to(count));
        }
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
        let first = [&9_u32.to_be_bytes()[..], &[0, 3, 0, 0, 0]].concat();
        let (read, rest) = first.split_at(3);
        let stream = io::Cursor::new([rest, chunks].concat());
        let mut all = Vec::new();
        Bounded::new(stream, read.into(), bound.clone()).read_to_end(&mut all).await
    }

    #[tokio::test]
    async fn messages_are_as_large_as_they_may_be() {
        let bound = Bound::new();
        let fits = message(b'd', 16 << 10);
        assert!(read(&bound, &fits).await.is_ok());
        let larger = [fits, message(b'd', (16 << 10) + 1)].concat();
        let error = read(&bound, &larger).await.expect_err("too large");
        assert!(matches!(Refused::cause(&error), Some(Refused::TooLarge(16385))), "{error}");
        bound.widen();
        assert!(read(&bound, &larger).await.is_ok());
        let endless = [b"Q".as_slice(), &u32::MAX.to_be_bytes()].concat();
        assert!(read(&bound, &endless).await.is_err());
    }

    #[tokio::test]
    async fn what_had_come_before_is_not_larger_either() {
        let stream = io::Cursor::new(Vec::new());
        let mut stream = Bounded::new(stream, BytesMut::from(&u32::MAX.to_be_bytes()[..]), Bound::new());
        let error = stream.read_to_end(&mut Vec::new()).await.expect_err("too large");
        assert!(matches!(Refused::cause(&error), Some(Refused::TooLarge(_))), "{error}");
    }

    #[tokio::test]
    async fn a_message_is_what_it_says_before_it_is_read() {
        let bound = Bound::new();
        let said = |bytes: &[u8]| [&[bytes[0]], &(bytes.len() as u32 + 3).to_be_bytes()[..], &bytes[1..]].concat();
        let (good, proof) = (said(b"Qselect 1\0"), said(b"pSCRAM-SHA-256\0\0\0\0\x01n"));
        for chunks in [good.clone(), proof.clone(), [&proof[..], &said(b"pc=biws")].concat()] {
            assert!(read(&bound, &chunks).await.is_ok(), "{chunks:?}");
        }
        for bad in [said(b"Qselect 1\0Q"), said(b"pSCRAM-SHA-256\0"), b"S\0\0\0\x03".to_vec(), b"S\0\0\0\0".to_vec()] {
            let error = read(&bound, &[good.clone(), bad].concat()).await.expect_err("malformed");
            assert!(matches!(Refused::cause(&error), Some(Refused::Malformed(_))), "{error}");
        }
    }
}
