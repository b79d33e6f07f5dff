//! What `vitral demo` has besides a stream: a broker and a simulator in the process, what was sold
//! before, and what it says of messages that do not count.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod archived;
mod broker;
pub mod env_file;
pub mod history;
mod notices;
pub mod simulation;
mod status;
pub mod ways_on;

pub use broker::DemoBroker;
pub use notices::Notices;
pub use simulation::Simulation;
pub use status::Status;
