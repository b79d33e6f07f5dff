//! Where everything lies below a store's place: the only file that knows the folders' names.

use vitral_schemas::topic::Topic;

use crate::location::Location;

/// The folders of a store.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a>(&'a Location);

impl<'a> Layout<'a> {
    /// Those below this place.
    pub fn of(store: &'a Location) -> Self {
        Self(store)
    }

    /// The archive's hot part.
    pub fn archive(self, topic: &Topic) -> Location {
        self.0.join("archive").join(&topic.name)
    }

    /// What retention has moved, and its notes.
    pub fn cold(self) -> Location {
        self.0.join("cold")
    }

    /// The archive's cold part.
    pub fn cold_archive(self, topic: &Topic) -> Location {
        self.cold().join("archive").join(&topic.name)
    }

    /// The steps by which rows became cold or were deleted.
    pub fn cold_steps(self, topic: &Topic) -> Location {
        self.cold().join("steps").join(&topic.name)
    }

    /// What was imported from files.
    pub fn history(self, topic: &Topic) -> Location {
        self.0.join("history").join(&topic.name)
    }

    /// Of all metrics' tables, each of which has a folder for every version below its own.
    pub fn metrics(self) -> Location {
        self.0.join("metrics")
    }

    /// Of the open state of a topic's pipeline.
    pub fn snapshots(self, topic: &Topic) -> Location {
        self.0.join("snapshots").join(&topic.name)
    }

    /// The jobs' tables, unless a database has them.
    pub fn warehouse(self) -> Location {
        self.0.join("warehouse")
    }

    /// A table of what was done: the audit trail, imports, runs, reconciliations, rows that were set aside.
    pub fn table(self, name: &str) -> Location {
        self.0.join(name)
    }
}
