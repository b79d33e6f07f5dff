//! Which connections there are, which of them are in the middle of a request, and which must go
//! when there are too many.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::telemetry::Telemetry;

pub(super) struct Connections {
    most: usize,
    open: Mutex<Open>,
    telemetry: Telemetry,
}

#[derive(Default)]
struct Open {
    /// By age.
    all: BTreeMap<u64, (IpAddr, Arc<Connection>)>,
    of_client: HashMap<IpAddr, usize>,
    next: u64,
}

/// One connection's state, shared by its task, its bodies and the listener.
#[derive(Default)]
pub(super) struct Connection {
    /// Requests whose answers are not sent: one, as long as nobody pipelines.
    requests: AtomicUsize,
    /// Whether the client has not taken all that was written.
    writing: AtomicBool,
    evicted: CancellationToken,
}

/// A place among the connections, free again when it is dropped.
pub(super) struct Occupied {
    number: u64,
    connections: Arc<Connections>,
    connection: Arc<Connection>,
}

impl Connections {
    pub(super) fn new(most: usize, telemetry: Telemetry) -> Self {
        Self { most: most.max(2), open: Mutex::default(), telemetry }
    }

    /// A place for a new connection; none if all that could give it theirs are busy.
    pub(super) fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<Occupied> {
        let client = peer.ip().to_canonical();
        let mut open = self.open();
        let of_client = open.of_client.get(&client).copied().unwrap_or_default();
        let is_free = if of_client >= self.most / 2 {
            open.evict(Some(client))
        } else {
            open.all.len() < self.most || open.evict(None)
        };
        if !is_free {
            self.telemetry.refused_connection();
            return None;
        }
        let connection = Arc::new(Connection::default());
        let number = open.next;
        open.next += 1;
        open.all.insert(number, (client, Arc::clone(&connection)));
        *open.of_client.entry(client).or_default() += 1;
        self.telemetry.connections(open.all.len());
        Some(Occupied { number, connections: Arc::clone(self), connection })
    }

    pub(super) fn evict_oldest(&self) {
        self.open().evict(None);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Ends the oldest connection, of that client if one is given, that is between requests;
    /// whether there was one.
    fn evict(&mut self, client: Option<IpAddr>) -> bool {
        let fits = |of: &IpAddr| client.is_none_or(|client| client == *of);
        let oldest = self.all.iter().find(|(_, (of, connection))| fits(of) && connection.is_idle());
        let Some(number) = oldest.map(|(number, _)| *number) else { return false };
        self.remove(number);
        true
    }

    /// Its task ends as soon as it runs.
    fn remove(&mut self, number: u64) {
        let Some((client, connection)) = self.all.remove(&number) else { return };
        connection.evicted.cancel();
        if let Some(count) = self.of_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.of_client.remove(&client);
            }
        }
    }
}

impl Connection {
    /// A request's head is there; the connection is busy as long as the answer lives.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::SeqCst);
        Busy(Arc::clone(self))
    }

    pub(super) fn in_request(&self) -> bool {
        self.requests.load(Ordering::SeqCst) > 0
    }

    pub(super) fn writing(&self, writing: bool) {
        self.writing.store(writing, Ordering::SeqCst);
    }

    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    fn is_idle(&self) -> bool {
        !self.in_request() && !self.writing.load(Ordering::SeqCst)
    }
}

impl Occupied {
    pub(super) fn connection(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.remove(self.number);
        self.connections.telemetry.connections(open.all.len());
    }
}

/// Makes its connection busy as long as it lives.
pub(super) struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An answer's body, which keeps its connection busy.
pub(super) struct Tracked {
    body: Body,
    _busy: Busy,
}

impl Tracked {
    pub(super) fn new(body: Body, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    fn connections(most: usize) -> Arc<Connections> {
        Arc::new(Connections::new(most, Telemetry::register(&mut Registry::default())))
    }

    fn client(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 1))
    }

    fn is_evicted(occupied: &Occupied) -> bool {
        occupied.connection.evicted.is_cancelled()
    }

    #[test]
    fn the_oldest_idle_connection_makes_room() {
        let connections = connections(4);
        let first = connections.enter(client(1)).expect("free");
        let busy = first.connection().begin();
        let second = connections.enter(client(2)).expect("free");
        let third = connections.enter(client(3)).expect("free");
        let fourth = connections.enter(client(4)).expect("free");
        let fifth = connections.enter(client(5)).expect("in place of the second");
        assert!(is_evicted(&second) && !is_evicted(&first) && !is_evicted(&third));
        // Its place is given only once.
        drop(second);
        let all = [&third, &fourth, &fifth].map(|occupied| occupied.connection().begin());
        assert!(connections.enter(client(6)).is_none(), "all are busy");
        drop(busy);
        let _sixth = connections.enter(client(6)).expect("in place of the first");
        assert!(is_evicted(&first));
        drop(all);
    }

    #[test]
    fn one_client_gets_half() {
        let connections = connections(4);
        let mine: Vec<_> = (0..3).map(|_| connections.enter(client(1)).expect("free")).collect();
        assert!(is_evicted(&mine[0]), "its own oldest");
        let busy = [mine[1].connection().begin(), mine[2].connection().begin()];
        assert!(connections.enter(client(1)).is_none());
        assert!(connections.enter(client(2)).is_some());
        drop(busy);
        drop(mine);
        let open = connections.open();
        assert!(open.all.is_empty() && open.of_client.is_empty());
    }

    #[test]
    fn what_is_still_written_is_not_cut() {
        let connections = connections(2);
        let first = connections.enter(client(1)).expect("free");
        first.connection.writing(true);
        let second = connections.enter(client(2)).expect("free");
        let _third = connections.enter(client(3)).expect("in place of the second");
        assert!(is_evicted(&second) && !is_evicted(&first));
    }
}
