//! Why a broker does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a broker does not start, or does not create a topic.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum BrokerError {
    #[error("{address} cannot be opened for clients")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the broker's log in {} cannot be {action}", path.display())]
    Log { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{} cannot be read: {reason}. It names the topics of the logs next to it; move the folder {} away to start with empty topics",
        path.display(),
        path.parent().unwrap_or(path).display()
    )]
    Manifest { path: PathBuf, reason: String },
    #[error("{} cannot be read: {error}. It holds what consumer groups have read; without it they begin again", path.display())]
    Offsets { path: PathBuf, error: serde_json::Error },
    #[error("the topic {topic} cannot be created: {reason}")]
    Topic { topic: String, reason: String },
    #[error("the broker's threads cannot be started")]
    Threads(#[source] io::Error),
}

impl BrokerError {
    pub(crate) fn log(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Log { action, path, source }
    }
}
