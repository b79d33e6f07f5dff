//! One client from its first request to its last: each is answered before the next is read, as
//! Apache Kafka does.

use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;

use crate::api;
use crate::connection::{Connection, End};
use crate::seats::Seat;
use crate::shared::Shared;

/// Answers requests until the client closes the connection.
pub async fn run(stream: TcpStream, shared: Arc<Shared>, seat: &Seat) -> Result<(), End> {
    let (patience, idle) = (shared.topics.limits.patience, shared.topics.limits.idle);
    let mut connection = Connection::new(stream, shared)?;
    let mut quiet_for = patience;
    while let Some(request) = connection.request(quiet_for).await? {
        seat.served();
        if let Some(answer) = api::answer(&mut connection, request.bytes).await? {
            connection.write(answer).await?;
        }
        connection.large = None;
        seat.idle(Instant::now());
        quiet_for = idle;
    }
    Ok(())
}
