//! What a newcomer should know: messages that came but do not count, and why.

use std::sync::Arc;

use tokio::sync::watch;

use crate::position::{Offset, PartitionId};

/// One kind of messages that did not count, by topic, verdict and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The topic's table name.
    pub topic: String,
    /// The verdict's name, as in the archive.
    pub verdict: String,
    /// The reason's name, of refused messages.
    pub reason: Option<String>,
    /// How many of this kind came since it was first reported.
    pub messages: u64,
    /// Where the newest of them is.
    pub partition: PartitionId,
    /// The newest one's offset.
    pub offset: Offset,
    /// When it came, in milliseconds since the epoch.
    pub arrival_ms: i64,
    /// Its own time, if it could be read.
    pub event_ms: Option<i64>,
}

/// Readers hold the receiving end; empty where nobody looks for such messages.
pub type NoticeReceiver = watch::Receiver<Arc<[Notice]>>;
/// The writer's end.
pub type NoticeSender = watch::Sender<Arc<[Notice]>>;
