//! Where everything is in a store: the only file that knows the folders' names.

use vitral_schemas::topic::Topic;

use crate::error::StoreError;
use crate::location::Location;

/// Below `stream`.
const ADDRESS_FILE: &str = "address";

/// The folders of a store.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a>(&'a Location);

impl<'a> Layout<'a> {
    /// The folders of the store at this place.
    pub fn of(store: &'a Location) -> Self {
        Self(store)
    }

    /// The archive's hot part.
    pub fn archive(self, topic: &Topic) -> Location {
        self.0.join("archive").join(&topic.name)
    }

    /// What retention has moved, and its records.
    pub fn cold(self) -> Location {
        self.0.join("cold")
    }

    /// The archive's cold part.
    pub fn cold_archive(self, topic: &Topic) -> Location {
        self.cold().join("archive").join(&topic.name)
    }

    /// The steps by which rows were moved or purged.
    pub fn cold_steps(self, topic: &Topic) -> Location {
        self.cold().join("steps").join(&topic.name)
    }

    /// What was imported from files.
    pub fn history(self, topic: &Topic) -> Location {
        self.0.join("history").join(&topic.name)
    }

    /// The tables of all metrics: a folder for each metric, and below it one for each of its
    /// versions.
    pub fn metrics(self) -> Location {
        self.0.join("metrics")
    }

    /// The tables that are kept up to date: a folder for each, and below it one for each of its
    /// versions.
    pub fn keyed(self) -> Location {
        self.0.join("tables")
    }

    /// How far logs of rows have been written into other systems: a file for each.
    pub fn row_logs(self) -> Location {
        self.0.join("logs")
    }

    /// Snapshots of the open state of a topic's pipeline.
    pub fn snapshots(self, topic: &Topic) -> Location {
        self.0.join("snapshots").join(&topic.name)
    }

    /// The jobs' tables, unless they are in a database.
    pub fn warehouse(self) -> Location {
        self.0.join("warehouse")
    }

    /// What was sent, and is to be sent, to the target of a view that is copied.
    pub fn sink(self, view: &str) -> Location {
        self.0.join("sinks").join(view)
    }

    /// Who may ask: keys, and what signs sessions.
    pub fn access(self) -> Location {
        self.0.join("access")
    }

    /// Where the API of the process that writes this store answers, as that process has noted it;
    /// none before the first.
    pub async fn stream_address(self) -> Result<Option<String>, StoreError> {
        self.0.join("stream").read_text(ADDRESS_FILE).await
    }

    /// Notes where this process's API answers: it is the one that writes the store.
    pub async fn set_stream_address(self, url: &str) -> Result<(), StoreError> {
        self.0.join("stream").write_text(ADDRESS_FILE, &format!("{url}\n")).await
    }

    /// A table of what was done: the audit trail, imports, runs, reconciliations, rows that were
    /// set aside.
    pub fn table(self, name: &str) -> Location {
        self.0.join(name)
    }
}
