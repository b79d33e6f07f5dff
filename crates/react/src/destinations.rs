//! To whom notifications go: named connections, opened when the process starts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use vitral_connect::Notifier;

/// A connection, with the topic that it uses if it is Kafka.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// As the configuration names it.
    pub connection: String,
    /// For Kafka alone.
    pub topic: String,
}

/// A notifier for each destination that the catalog and the configuration name.
#[derive(Debug, Clone, Default)]
pub struct Notifiers(BTreeMap<Destination, Arc<dyn Notifier>>);

impl Destination {
    /// As it is stored.
    pub fn parse(text: &str) -> Self {
        let (connection, topic) = text.split_once('/').unwrap_or((text, ""));
        Self { connection: connection.to_owned(), topic: topic.to_owned() }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connection, topic } = self;
        write!(f, "{connection}/{topic}")
    }
}

impl Notifiers {
    /// Adds one.
    pub fn add(&mut self, destination: Destination, notifier: Arc<dyn Notifier>) {
        self.0.insert(destination, notifier);
    }

    /// The one for a destination; none if the configuration does not have it any more.
    pub fn get(&self, destination: &Destination) -> Option<&Arc<dyn Notifier>> {
        self.0.get(destination)
    }
}
