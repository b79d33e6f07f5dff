//! The HTTP side: the catalog's endpoints, its metrics as pages and live streams, and the embedded
//! page.
//!
//! A thin front over [`vitral_query`]: routes, parameters, formats and problems. What is read, and
//! within which limits, is decided there.
//!
//! Architecture invariant: nothing here knows domains, topics or columns by name; all of that is
//! the catalog's. Only this crate knows axum.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod accept;
mod answer;
mod completeness;
mod compression;
mod config;
mod docs_page;
mod endpoints;
mod error;
mod etag;
mod gate;
mod health;
mod imports;
mod lists;
mod live_states;
mod metrics;
mod notices;
mod object;
mod openapi;
mod page;
mod parameters;
mod problem;
mod router;
mod serve;
mod shared;
mod sign_in;
mod silences;
mod telemetry;
mod trace;
mod write;

pub use config::{ApiConfig, ApiInputs};
pub use error::ApiError;
pub use router::router;
pub use serve::{ServeConfig, Tls, TlsError, serve};
pub use telemetry::{Telemetry, register_cache, register_health};
