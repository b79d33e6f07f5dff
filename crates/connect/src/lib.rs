//! Ports to the outside, and their implementations in memory.
//!
//! | Port | Does |
//! |---|---|
//! | [`Connector`] | opens the sources and dead letters of topics |
//! | [`Source`], [`TopicLog`] | reads a topic in batches; answers questions about its log |
//! | [`DeadLetters`] | takes refused messages |
//! | [`Publisher`] | sends messages of others to topics |
//! | [`Lookup`] | finds rows by key |
//! | [`Sink`] | writes rows, idempotently by epoch |
//! | [`Notifier`] | delivers a notification at least once, under a stable id |
//!
//! A trait holds what an implementation must do; what callers want on top of it is in an extension
//! trait ([`LookupExt`], [`SinkExt`], [`NotifierExt`]), which works for every implementation.
//! [`memory`] is production code: most tests of the stream run on it. `conformance` holds one suite
//! for each port, which every implementation passes.
//!
//! [`Connections`] names outside systems, so that settings and SQL refer to them without addresses
//! or secrets.
//!
//! Architecture invariant: no client library and no protocol here; `dyn` is called per batch, never
//! per row.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod breaker;
mod cached;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connections;
mod connector;
mod dead_letters;
mod decorators;
mod error;
mod json;
mod lookup;
mod lookups;
pub mod memory;
mod notifier;
mod publisher;
pub mod retry;
mod sink;
mod source;
mod texts;
mod whole;

pub use breaker::{Breaker, CircuitBreaker};
pub use cached::{LookupCounts, TableLookup};
pub use connections::{Connection, ConnectionError, Connections, Secret};
pub use connector::Connector;
pub use dead_letters::{DeadLetter, DeadLetters, Delivery};
pub use decorators::{Retrying, TimedOut};
pub use error::{ConnectError, RetryHint, with_causes};
pub use json::{key_text, row_json};
pub use lookup::{Lookup, LookupExt, Portion};
pub use lookups::{LookedUp, Lookups, TopicLookups};
pub use notifier::{Event, Notification, Notifier, NotifierExt};
pub use publisher::{Outgoing, Placed, Publisher, Unsent};
pub use retry::{RetryPolicy, retry};
pub use sink::{DELETED_COLUMN, EPOCH_COLUMN, Epoch, Sink, SinkExt, deleted, written_type};
pub use source::{End, Messages, PartitionBatch, Polled, Source, TopicLog, Trouble, TroubleKind};
pub use texts::{Texts, table_schema};
pub use whole::WholeTables;
