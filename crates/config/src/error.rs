//! Why a configuration cannot be used.

use std::path::PathBuf;

use vitral_catalog::Diagnostics;
use vitral_connect::ConnectionError;
use vitral_store::StoreError;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum ConfigError {
    #[error("{} is not a file: name another with --config, or leave it out", .0.display())]
    NoFile(PathBuf),
    #[error("configuration: {0}")]
    Wrong(String),
    #[error("configuration")]
    Connection(#[from] ConnectionError),
    #[error("configuration: {key}")]
    NamedConnection { key: String, source: ConnectionError },
    #[error("configuration")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Domain(#[from] Diagnostics),
    #[error("the catalog is broken")]
    Catalog(#[source] Diagnostics),
}
