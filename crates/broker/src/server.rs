//! The broker as a whole: its listeners, its connections within their bound, its shutdown.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::connection::End;
use crate::error::BrokerError;
use crate::groups::{self, Groups};
use crate::limits::Limits;
use crate::lost_tail::{LostTail, Reached};
use crate::noted::{Notebook, Noted};
use crate::retention;
use crate::seats::{Seat, Seats};
use crate::session;
use crate::shared::Shared;
use crate::topics::Topics;

/// The threads that read and write its files, so that a slow disk delays nothing else in the
/// process.
const THREADS: usize = 2;
const STOP: Duration = Duration::from_secs(5);
/// The pause after a failed accept, usually because file descriptors ran out.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a warning says that connections are turned away.
const REPORT: Duration = Duration::from_secs(10);

/// A running broker, until [`Broker::stop`].
pub struct Broker {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// None once stopped.
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    up_since: Instant,
}

/// How many large requests are read at once, and how many large responses written.
const LARGE: usize = 4;

impl Broker {
    /// Opens the log in `dir`, which may take seconds, and listens at `address` (port 0 picks one).
    /// What stands for one loopback address is served on the other too: `localhost` may mean
    /// either.
    pub fn start(address: SocketAddr, dir: &Path, limits: Limits) -> Result<Self, BrokerError> {
        Self::start_behind(address, dir, limits, &|_, _, _| Ok(None)).map(|(broker, _)| broker)
    }

    /// The same for a log of which a reader has had messages: where the log lost some of them, it
    /// continues behind them.
    pub fn start_behind(
        address: SocketAddr,
        dir: &Path,
        limits: Limits,
        reached: Reached<'_>,
    ) -> Result<(Self, Vec<LostTail>), BrokerError> {
        let refused = |source| BrokerError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let other = other_loopback(address).and_then(|other| TcpListener::bind(other).ok());
        let topics = Topics::open(dir.to_owned(), limits)?;
        let lost = topics.continue_behind(reached)?;
        let groups = Groups::open(dir.to_owned())?;
        let [large_requests, large_answers] = [LARGE, LARGE].map(|permits| Arc::new(Semaphore::new(permits)));
        let shared =
            Arc::new(Shared { topics, groups, notebook: Notebook::default(), address, large_requests, large_answers });
        let (stop, up_since) = (watch::Sender::new(false), Instant::now());
        let seats = Seats::new(shared.topics.limits.connections);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("broker")
            .enable_all()
            .build()
            .map_err(BrokerError::Threads)?;
        for listener in [Some(listener), other].into_iter().flatten() {
            listener.set_nonblocking(true).map_err(refused)?;
            let (shared, seats, stop) = (Arc::clone(&shared), Arc::clone(&seats), stop.subscribe());
            runtime.spawn(accept(listener, shared, seats, stop));
        }
        runtime.spawn(maintain(Arc::clone(&shared), up_since, stop.subscribe()));
        Ok((Self { address, shared, runtime: Some(runtime), stop, up_since }, lost))
    }

    /// Where it listens, with the port that was picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Creates the topic unless it exists.
    pub fn ensure_topic(&self, name: &str, partitions: i32) -> Result<(), BrokerError> {
        if self.shared.topics.get(name).is_some() {
            return Ok(());
        }
        let failed = |reason| BrokerError::Topic { topic: name.to_owned(), reason };
        self.shared.topics.create(name, partitions).map(drop).map_err(|refused| failed(refused.reason))
    }

    /// Records, from now on, where the messages of all clients but this one are.
    pub fn note_messages_not_from(&self, client_id: &str) {
        self.shared.notebook.begin(client_id);
    }

    /// What was recorded since the last call.
    pub fn take_noted(&self) -> Vec<Noted> {
        self.shared.notebook.take()
    }

    /// Deletes what is old or too much, which also happens every half minute; the bytes that this
    /// frees.
    pub fn delete_old(&self) -> u64 {
        retention::run(&self.shared.topics, self.up_since)
    }

    /// Closes everything and flushes the log. Blocks.
    pub fn stop(mut self) -> io::Result<()> {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(STOP);
        }
        self.shared.groups.store()?;
        self.shared.topics.sync()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn other_loopback(address: SocketAddr) -> Option<SocketAddr> {
    let other: IpAddr = match address.ip() {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Ipv4Addr::LOCALHOST.into(),
        _ => return None,
    };
    Some(SocketAddr::new(other, address.port()))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, seats: Arc<Seats>, mut stop: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the broker cannot accept connections");
            return;
        }
    };
    let mut reported: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let problem = match accepted {
            Ok((stream, _)) => match seats.take(Instant::now()) {
                Some(seat) => {
                    tokio::spawn(serve(stream, Arc::clone(&shared), seat, stop.clone()));
                    continue;
                }
                // Closed at once: it is better for a client to know than to wait.
                None => format!("{} connections are open and in use", shared.topics.limits.connections),
            },
            Err(error) => {
                tokio::time::sleep(PAUSE).await;
                error.to_string()
            }
        };
        if reported.is_none_or(|at| at.elapsed() > REPORT) {
            tracing::warn!(reason = problem, "the broker turns connections away");
            reported = Some(Instant::now());
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, seat: Seat, mut stop: watch::Receiver<bool>) {
    let ended = tokio::select! {
        ended = session::run(stream, shared, &seat) => ended,
        () = seat.given_away() => Err(End::GaveWay),
        _ = stop.wait_for(|stop| *stop) => return,
    };
    if let Err(end) = ended {
        tracing::debug!(reason = %end, "a connection to the broker is closed");
    }
}

async fn maintain(shared: Arc<Shared>, up_since: Instant, mut stop: watch::Receiver<bool>) {
    let mut cleaned = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(groups::INTERVAL) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        shared.groups.maintain();
        if cleaned.elapsed() >= retention::INTERVAL {
            retention::run(&shared.topics, up_since);
            cleaned = Instant::now();
        }
    }
}
