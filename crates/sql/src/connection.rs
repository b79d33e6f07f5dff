//! The protocol with one client: its messages, one after the other.

mod extended;
mod simple;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datafusion_postgres::pgwire::api::cancel::DefaultCancelHandler;
use datafusion_postgres::pgwire::api::{ClientInfo, METADATA_USER, NoopHandler, PgWireConnectionState};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};
use datafusion_postgres::pgwire::messages::response::ErrorResponse;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use datafusion_postgres::pgwire::tokio::server::{
    MaybeTls, PgWireMessageServerCodec, negotiate_tls, process_error, process_message,
};
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::{Framed, FramedParts};

use crate::arrivals::Arrival;
use crate::bounded::{Bound, Bounded, Refused};
use crate::error;
use crate::prepared::Prepared;
use crate::server::Server;
use crate::session::Session;
use crate::startup::Startup;

/// How long a client may take to sign in.
const STARTUP: Duration = Duration::from_secs(30);
/// No longer than this; a deadline must be a time that there is.
const IDLE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// What answers a client's queries.
pub(crate) struct Queries {
    server: Arc<Server>,
}

type Codec = PgWireMessageServerCodec<Arc<Prepared>>;
type Socket = Framed<Bounded<MaybeTls>, Codec>;

/// The same connection, whose messages are not larger than they may be.
fn bounded(socket: Framed<MaybeTls, Codec>, bound: &Bound) -> io::Result<Socket> {
    let is_secure = socket.is_secure();
    let parts = socket.into_parts();
    if is_secure && !parts.read_buf.is_empty() {
        return Err(io::Error::other("something was sent in the open after encryption was asked for"));
    }
    // What has come already is checked too.
    let stream = Bounded::new(parts.io, parts.read_buf, bound.clone());
    let mut bounded = FramedParts::new::<PgWireBackendMessage>(stream, parts.codec);
    bounded.write_buf = parts.write_buf;
    Ok(Framed::from_parts(bounded))
}

/// Says why nothing more is read, and ends the connection.
async fn hang_up(socket: &mut Socket, error: PgWireError) -> io::Result<()> {
    let response = ErrorResponse::from(ErrorInfo::from(error));
    socket.send(PgWireBackendMessage::ErrorResponse(response)).await?;
    socket.close().await
}

/// What a client hears of bytes that are not read; the error itself if the connection has failed.
fn refusal(error: io::Error, state: PgWireConnectionState, bound: &Bound) -> io::Result<PgWireError> {
    let is_first = matches!(state, PgWireConnectionState::AwaitingStartup);
    match Refused::cause(&error) {
        Some(Refused::TooLarge(_)) if !is_first => Ok(error::too_large(bound.bytes())),
        Some(refused) => Ok(error::unreadable(refused, is_first)),
        None => Err(error),
    }
}

/// Answers one client until it goes, or has to.
pub(crate) async fn converse(
    stream: TcpStream,
    (peer, arrival): (SocketAddr, Arrival),
    server: &Arc<Server>,
    tls: Option<TlsAcceptor>,
) -> io::Result<()> {
    let mut arrival = Some(arrival);
    let until = Instant::now() + STARTUP;
    let negotiated = timeout_at(until, negotiate_tls::<Arc<Prepared>>(stream, tls)).await;
    // Encryption was wanted without asking, and there is none.
    let Some(socket) = negotiated.map_err(io::Error::from)?? else { return Ok(()) };
    let bound = Bound::new();
    let mut socket = bounded(socket, &bound)?;
    let startup = Arc::new(Startup::new(Arc::clone(server)));
    let queries = Arc::new(Queries { server: Arc::clone(server) });
    let cancel = Arc::new(DefaultCancelHandler::new(Arc::clone(&server.cancels)));
    let copy = Arc::new(NoopHandler);
    loop {
        let is_unknown = matches!(
            socket.state(),
            PgWireConnectionState::AwaitingStartup | PgWireConnectionState::AuthenticationInProgress
        );
        let deadline = if is_unknown { until } else { Instant::now() + server.config.idle.min(IDLE_MAX) };
        let heard = timeout_at(deadline, socket.next()).await;
        let message = match heard {
            Err(elapsed) if is_unknown => return Err(elapsed.into()),
            Err(_) => return hang_up(&mut socket, error::idle()).await,
            Ok(None | Some(Ok(PgWireFrontendMessage::Terminate(_)))) => return Ok(()),
            Ok(Some(Err(PgWireError::IoError(error)))) => {
                let said = refusal(error, socket.state(), &bound)?;
                return hang_up(&mut socket, said).await;
            }
            Ok(Some(Err(error))) => return hang_up(&mut socket, error::unreadable(&error, is_unknown)).await,
            Ok(Some(Ok(message))) => message,
        };
        if let (Ok(session), Some(user)) = (Session::of(&socket), socket.metadata().get(METADATA_USER))
            && let Err(error) = server.still_holds(user, &session.principal).await
        {
            return hang_up(&mut socket, error).await;
        }
        let is_extended = message.is_extended_query();
        let handlers = (Arc::clone(&startup), Arc::clone(&queries), Arc::clone(&copy), Arc::clone(&cancel));
        let (startup, queries, copy, cancel) = handlers;
        let extended = Arc::clone(&queries);
        let done = process_message(message, &mut socket, startup, queries, extended, copy, cancel).await;
        if is_unknown && Session::of(&socket).is_ok() {
            bound.widen();
            drop(arrival.take());
        }
        if let Err(error) = done {
            let info = ErrorInfo::from(error);
            tracing::debug!(%peer, code = info.code, message = info.message, "a SQL client hears of an error");
            let (is_fatal, error) = (info.is_fatal(), PgWireError::UserError(Box::new(info)));
            if is_fatal {
                // Nothing more is read of who was not let in.
                return hang_up(&mut socket, error).await;
            }
            if let Ok(session) = Session::of(&socket) {
                session.rests(socket.transaction_status().to_error_state());
            }
            process_error(&mut socket, error, is_extended).await?;
        }
    }
}
