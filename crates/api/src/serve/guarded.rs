//! A connection that gives its client only so much time: for a request's head, and for taking the
//! answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::ServeConfig;
use super::occupied::Connection;

/// What a client must take of its answer in one period. If it reads at all, the kernel takes more
/// than this at once.
const LEAST_BYTES: usize = 16 << 10;

pub(super) struct Guarded {
    stream: TcpStream,
    connection: Arc<Connection>,
    config: ServeConfig,
    /// Runs out if a head that has begun is not whole by then.
    head: Option<Pin<Box<Sleep>>>,
    /// The period that runs while the client does not take everything, and what it took meanwhile.
    write: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Guarded {
    pub(super) fn new(stream: TcpStream, connection: Arc<Connection>, config: ServeConfig) -> Self {
        let head = Some(Box::pin(tokio::time::sleep(config.head)));
        Self { stream, connection, config, head, write: None }
    }

    /// The outcome of a write that the socket may not have taken.
    fn written(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(bytes)) => {
                if let Some((_, taken)) = &mut self.write {
                    *taken += bytes;
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let period = self.config.write;
                self.connection.writing(true);
                let (sleep, taken) = self.write.get_or_insert_with(|| (Box::pin(tokio::time::sleep(period)), 0));
                while sleep.as_mut().poll(cx).is_ready() {
                    if std::mem::take(taken) < LEAST_BYTES {
                        return Poll::Ready(Err(late("the client is not reading the response")));
                    }
                    sleep.as_mut().reset(Instant::now() + period);
                }
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if this.connection.in_request() {
            this.head = None;
            return outcome;
        }
        match outcome {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before {
                    let head = this.config.head;
                    this.head.get_or_insert_with(|| Box::pin(tokio::time::sleep(head)));
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if let Some(head) = &mut this.head {
                    ready!(head.as_mut().poll(cx));
                    return Poll::Ready(Err(late("the request's head did not arrive")));
                }
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Reached once the socket has taken everything.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write.take().is_some() {
            self.connection.writing(false);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn late(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}
