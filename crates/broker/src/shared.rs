//! What the connections of a broker share.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::groups::Groups;
use crate::noted::Notebook;
use crate::topics::Topics;

/// What every connection has.
pub struct Shared {
    pub topics: Topics,
    pub groups: Groups,
    pub notebook: Notebook,
    /// The address that the broker listens on.
    pub address: SocketAddr,
    /// Bounds what is under way: requests of more than a MiB ...
    pub large_requests: Arc<Semaphore>,
    /// ... and responses.
    pub large_answers: Arc<Semaphore>,
}
