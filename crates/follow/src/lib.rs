//! What a process that only answers makes of stored tables, and of the stream that it follows: the
//! same [`View`](vitral_panes::view::View) as the stream's own, over the commits of the tables that
//! the stream names (docs/adr/0048). While the stream is away, or of another version, it is of
//! stored rows alone, and says so.
//!
//! Architecture invariant: nothing here writes, and nothing takes a lock.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod alerts;
mod error;
mod followed;
mod follower;
mod http;
mod live_states;
mod tables;
mod topics;

pub use alerts::AlertPoller;
pub use error::FollowError;
pub use follower::Follower;
pub use http::{HttpStream, StreamAddress};
pub use live_states::{LiveStates, NotLive};
