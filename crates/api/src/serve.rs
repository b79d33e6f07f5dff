//! The listener: connections until shutdown, within bounds that keep the rest of the process its
//! descriptors.
//!
//! At its bound a new connection takes the place of the oldest that is not in the middle of a
//! request: a flood of sockets that send nothing cannot keep a client that asks something out.
//! Where all are busy, the new one is answered 503 at once.

mod guarded;
mod occupied;
mod tls;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::guarded::Guarded;
use self::occupied::{Busy, Connection, Connections, Occupied, Tracked};
pub use self::tls::{Tls, TlsError};
use crate::gate::Encrypted;
use crate::telemetry::Telemetry;

/// The time limit of a query, and a client that does not read its answer must not hold the process
/// up.
const GRACE: Duration = Duration::from_secs(10);
/// After an accept that failed for lack of descriptors or memory: some become free when connections
/// end.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Enough for the cookies that browsers carry to every port of a host.
const HEAD_BYTES_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 100;
/// The reply to a client that gets no connection; nothing is read from it.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 207\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"too_many_connections\",\
    \"detail\":\"all connections are busy\",\"remedio\":\"ask again in a moment; the server's setting is api.connections\"}\n";

/// How many connections are served, and how long a client may take.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Open connections at most; one client gets half of them.
    pub connections: usize,
    /// How long a request's head may take, from its first byte, or from the connection's begin.
    pub head: Duration,
    /// How long a connection may be idle between requests: longer than proxies commonly keep
    /// theirs, 60 seconds.
    pub idle: Duration,
    /// A client that takes less than 16 KiB of its answer in this time is cut off.
    pub write: Duration,
    /// With what connections are encrypted, if they are.
    pub tls: Option<Tls>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            connections: 1024,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(20),
            tls: None,
        }
    }
}

/// Serves until `shutdown`, closes the listener, and returns when every request is answered or the
/// grace is over.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: ServeConfig,
    telemetry: Telemetry,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let connections = Arc::new(Connections::new(config.connections, telemetry.clone()));
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                report(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match connections.enter(peer) {
                Some(occupied) => {
                    let served = one(stream, peer, router.clone(), config.clone(), occupied, shutdown.clone());
                    tasks.spawn(served);
                }
                None => refuse(stream).await,
            },
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted; the oldest idle one is closed");
                connections.evict_oldest();
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    let rest = async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(GRACE, rest).await.is_err() {
        tracing::warn!(connections = tasks.len(), "connections were still open at shutdown");
    }
    Ok(())
}

async fn one(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    config: ServeConfig,
    occupied: Occupied,
    shutdown: CancellationToken,
) {
    // A live message is small: it must not wait to be sent with the next.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay refused");
    }
    let connection = occupied.connection();
    let tls = config.tls.clone();
    let guarded = Guarded::new(stream, Arc::clone(&connection), config.clone());
    let idle = config.idle;
    let Some(tls) = tls else {
        return requests(guarded, peer, router, (idle, false), &connection, shutdown).await;
    };
    // A handshake that does not come is a head that does not come.
    let accepted = tokio::select! {
        accepted = tls.acceptor(Instant::now()).accept(guarded) => accepted,
        () = connection.evicted() => return,
        () = shutdown.cancelled() => return,
    };
    match accepted {
        Ok(encrypted) => requests(encrypted, peer, router, (idle, true), &connection, shutdown).await,
        Err(error) => tracing::debug!(%peer, %error, "a handshake failed"),
    }
}

/// Answers requests until the client has left, or its connection is needed for others.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    router: Router,
    (idle, is_encrypted): (Duration, bool),
    connection: &Arc<Connection>,
    shutdown: CancellationToken,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| answer(&router, (peer, is_encrypted), connection.begin(), request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(HEAD_BYTES_MAX + (32 << 10))
        .serve_connection(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = connection.evicted() => return,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    // Clients come and go as they like.
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

async fn answer(
    router: &TowerToHyperService<Router>,
    (peer, is_encrypted): (SocketAddr, bool),
    busy: Busy,
    request: Request<Incoming>,
) -> Result<Response<Tracked>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    if is_encrypted {
        request.extensions_mut().insert(Encrypted);
    }
    let response = router.call(request).await?;
    Ok(response.map(|body| Tracked::new(body, busy)))
}

/// Says why, as far as the socket takes it at once.
async fn refuse(mut stream: TcpStream) {
    let said = tokio::time::timeout(ACCEPT_RETRY, stream.write_all(FULL)).await;
    tracing::debug!(said = matches!(said, Ok(Ok(()))), "a connection was refused: all are busy");
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}

/// The client left before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_whole() {
        let text = std::str::from_utf8(FULL).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{} bytes", body.len());
        serde_json::from_str::<serde_json::Value>(body).expect("JSON");
    }
}
