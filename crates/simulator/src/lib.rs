//! Synthetic events, one generator for each domain, and the pace at which they are sent.
//!
//! The same configuration gives the same bytes, on every platform and with every version of our
//! dependencies. Changing them is a change of behaviour: benches and golden files rest on them.
//!
//! Architecture invariant: generators have no clock, no randomness from outside, and no I/O but the
//! reference tables; where messages go is the caller's. Memory is bounded whatever the rate.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

pub mod ecommerce;
mod message;
mod pace;
mod random;

pub use message::{Message, MessageKind, write_lines};
pub use pace::{Pace, play};
