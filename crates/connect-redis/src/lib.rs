//! What processes share through Redis: kept answers and rates.
//!
//! Nothing here is needed for a right answer. While Redis is away, answers are computed and each
//! process counts by itself; those who ask do not wait for it. Redis may forget anything at any
//! moment (`allkeys-lru`).
//!
//! Of its commands, GET, SET, EVALSHA and, once for each script, SCRIPT LOAD are used; TIME within
//! the script (docs/adr/0047).

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod answers;
mod config;
mod error;
mod link;
mod rates;
mod route;

pub use config::{RedisConfig, SCHEMES};
pub use error::RedisConfigError;
pub use link::Redis;
