//! Redis as it is: what processes share through it, and what becomes of them when it goes away.
//!
//! The service is started by `scripts/services start redis`; what has to be killed is a process of
//! the test's own.

mod server;
#[path = "../../../query/tests/walk/mod.rs"]
mod walk;

mod away;
mod shared;
