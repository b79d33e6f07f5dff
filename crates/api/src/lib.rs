//! The HTTP side: the catalog's endpoints, its metrics as pages and live streams, and the embedded page.
//!
//! Every answer is computed from one [`vitral_panes::view::View`], taken once: published and provisional rows never
//! overlap in it and never leave a gap.
//!
//! Architecture invariant: nothing here knows domains, topics or columns by name; all of that is the catalog's.
//! Nothing here writes: sessions refuse everything but queries. Only this crate knows axum.

mod answer;
mod completeness;
mod config;
mod endpoints;
mod error;
mod health;
mod metrics;
mod notices;
mod page;
mod parameters;
mod problem;
mod query;
mod router;
mod rows;
mod serve;
mod shared;
mod sources;
mod telemetry;

pub use config::{ApiConfig, ApiInputs};
pub use error::ApiError;
pub use router::router;
pub use serve::{ServeConfig, serve};
pub use telemetry::{Telemetry, register_health};
