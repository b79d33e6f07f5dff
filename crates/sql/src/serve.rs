//! The listener: who may connect, and what ends a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use datafusion_postgres::pgwire::error::ErrorInfo;
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::response::ErrorResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::arrivals::{Arrival, Arrivals};
use crate::config::SqlConfig;
use crate::connection::converse;
use crate::error::{code, fatal};
use crate::server::{Server, SqlInputs};
use crate::tls;

/// How long connections that are open at the end may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// How long a client that is one too many may take to hear of it.
const REFUSAL: Duration = Duration::from_secs(1);
/// Clients that hear so at the same time.
const REFUSALS: usize = 16;
/// What a client asks before it sends anything else, if it wants encryption.
const ENCRYPTION_WANTED: [u8; 4] = 80_877_103_u32.to_be_bytes();
/// After so long another connection is tried to be accepted, where the system refuses one.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Answers SQL clients until the shutdown, then ends their connections.
///
/// # Errors
/// Certificate or key cannot be read, or the catalog cannot be served.
pub async fn serve(listener: TcpListener, config: SqlConfig, inputs: SqlInputs) -> io::Result<()> {
    let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
    let shutdown = inputs.shutdown.clone();
    let arrivals = Arc::new(Arrivals::default());
    let server = Arc::new(Server::new(config, inputs).map_err(io::Error::other)?);
    let refusals = Arc::new(Semaphore::new(REFUSALS));
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
            Ok((stream, peer)) => match arrivals.enter(peer.ip()) {
                Some(arrival) => {
                    let (server, tls, shutdown) = (Arc::clone(&server), tls.clone(), shutdown.clone());
                    tasks.spawn(async move {
                        tokio::select! {
                            biased;
                            () = shutdown.cancelled() => {}
                            () = one(stream, (peer, arrival), &server, tls) => {}
                        }
                    });
                }
                // More than some do not even hear of it.
                None => match Arc::clone(&refusals).try_acquire_owned() {
                    Ok(permit) => drop(tasks.spawn(async move {
                        let _permit = permit;
                        refuse(stream, peer).await;
                    })),
                    Err(_) => drop(stream),
                },
            },
            Err(error) => {
                tracing::warn!(%error, "a SQL connection cannot be accepted");
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
        tracing::warn!("SQL connections were still open at shutdown");
    }
    Ok(())
}

async fn one(stream: TcpStream, who: (SocketAddr, Arrival), server: &Arc<Server>, tls: Option<TlsAcceptor>) {
    let peer = who.0;
    if let Err(error) = converse(stream, who, server, tls).await {
        // Clients go as they like.
        tracing::debug!(%peer, %error, "a SQL connection has ended");
    }
}

/// Tells a client that too many are about to sign in, once it has said what it wants: it would not
/// hear of it before.
async fn refuse(mut stream: TcpStream, peer: SocketAddr) {
    tracing::warn!(%peer, "a SQL connection is refused: too many have not signed in yet");
    let refusal = fatal(code::CONNECTIONS, "too many connections have not signed in yet", "try again later");
    let message = PgWireBackendMessage::ErrorResponse(ErrorResponse::from(ErrorInfo::from(refusal)));
    let mut bytes = BytesMut::new();
    if message.encode(&mut bytes).is_err() {
        return;
    }
    let described = async {
        let mut heard = [0; 1024];
        let count = stream.read(&mut heard).await?;
        if heard[..count].get(4..8) == Some(&ENCRYPTION_WANTED) {
            stream.write_all(b"N").await?;
            let _ = stream.read(&mut heard).await?;
        }
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        while stream.read(&mut heard).await? > 0 {}
        io::Result::Ok(())
    };
    // It may not listen.
    let _ = tokio::time::timeout(REFUSAL, described).await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a SQL connection has ended by a fault of the server");
    }
}
