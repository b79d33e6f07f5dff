//! What follows from committed rows: alerts, which fire while a key is among a view's rows,
//! reports, which are sent each day, and sinks, which copy a view's rows to another system.
//!
//! Alerts are evaluated on what is committed and on nothing else, when what they read has changed
//! or one of their times has come. What an evaluation finds becomes transitions ([`AlertState`]),
//! which are one commit together with what is to be sent because of them. They are facts: no later
//! start decides them again. The outbox delivers what was committed, at least once, each
//! notification under one id.
//!
//! What a sink sends is one commit before it is sent, too: the rows that have changed since its
//! last epoch ([`Sinks`]).
//!
//! Architecture invariant: nothing here knows a protocol or a domain. A receiver that is away holds
//! up neither another one nor any evaluation, and an alert or a sink that fails holds up no other.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod alerts;
mod catch_up;
mod corrections;
mod destinations;
mod error;
mod found;
mod outbox;
mod report;
mod rule;
mod sinks;
mod standstill;
mod state;
mod versions;
mod words;

pub use alerts::{AlertInputs, Alerts};
pub use destinations::{Destination, Notifiers};
pub use error::ReactError;
pub use found::Found;
pub use sinks::{SinkError, SinkInputs, Sinks, Targets};
pub use state::{AlertState, Moment, Policy};
pub use words::{notification, test_notification};
