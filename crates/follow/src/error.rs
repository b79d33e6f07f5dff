//! Why a view cannot be made.

use vitral_query::QueryError;
use vitral_query::remote::FrameError;
use vitral_store::{StoreError, StoredAt};

/// Why a process cannot show what is stored, or what the stream shows.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The store does not answer, or a table in it cannot be read.
    #[error("stored tables cannot be read")]
    Store(#[from] StoreError),
    /// What the stream sent makes no sense.
    #[error("what the stream sent cannot be used")]
    Frame(#[from] FrameError),
    /// What the catalog declares cannot be planned.
    #[error("the catalog cannot be served")]
    Catalog(#[from] QueryError),
    /// The stream writes elsewhere.
    #[error(
        "the stream shows commit {} of {name} in {}, which is not in this store: name the store that the stream writes to in store.url or \
         --data-dir",
        .stored.commit,
        .stored.folder
    )]
    NotStored {
        /// The topic, metric or table.
        name: String,
        /// Where the stream has its rows from.
        stored: StoredAt,
    },
}
