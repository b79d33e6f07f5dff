//! The demo's broker: Kafka's protocol for producers and consumers on one machine, with its log in
//! a folder.
//!
//! It keeps record batches as producers send them, so compression, headers and idempotence are the
//! clients' alone: nothing is unpacked here. One process, one node, no replicas, no transactions,
//! no access control: it listens on loopback.
//!
//! **Guarantee.** A batch is acknowledged when the operating system has it: a process that is
//! killed loses nothing, a machine that loses power may lose the last seconds. An orderly stop
//! flushes. A write that a crash has torn is cut off at the next start. What a reader had of
//! messages that are lost is said at the start, so that their offsets are not given to others.
//!
//! **Architecture invariant:** nothing here knows what messages mean, and nothing here depends on
//! another crate of the workspace.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod api;
mod batch;
mod connection;
mod error;
mod groups;
mod guard;
mod limits;
mod log;
mod lost_tail;
mod manifest;
mod noted;
mod producers;
mod retention;
mod seats;
mod segment;
mod server;
mod session;
mod shared;
mod topics;

pub use error::BrokerError;
pub use limits::Limits;
pub use lost_tail::{LostTail, Reached};
pub use noted::Noted;
pub use server::Broker;

/// The only node, and the leader of everything, forever.
const NODE_ID: i32 = 1;
const LEADER_EPOCH: i32 = 0;
