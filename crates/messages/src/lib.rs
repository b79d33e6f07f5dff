//! What is done with every single message: [`decode`] makes columns of payloads,
//! [`deduplication_index`] knows an event id again.
//!
//! Architecture invariant: no engine and no I/O in here. The crate is small on purpose: it is
//! optimised fully in every profile, which is quick as long as nothing generic of the engine is
//! compiled into it.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod decode;
pub mod deduplication_index;
