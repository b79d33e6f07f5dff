//! The listener: connections until shutdown, and then as long as the running requests take.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The time limit of a query, and a client that does not read its answer must not hold the process up.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until `shutdown`, closes the listener, and returns when every request is answered or the grace is over.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    // A live message is small: it must not wait to be sent with the next.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "nodelay refused");
        }
    });
    let server = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = server => ended,
        () = overdue => {
            tracing::warn!("connections were still open at shutdown");
            Ok(())
        }
    }
}
