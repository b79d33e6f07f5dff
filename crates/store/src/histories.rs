//! The port between imported rows and those who read them together with a topic's messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use tokio::sync::watch;

/// Readers hold the receiving end.
pub type HistoryReceiver = watch::Receiver<Arc<Histories>>;

/// What was imported into each topic, as far as that is known. By default nothing was.
#[derive(Debug, Clone, Default)]
pub struct Histories {
    /// By topic, every imported row in the history's schema; topics without a history are not in
    /// it.
    tables: BTreeMap<String, Arc<dyn TableProvider>>,
    /// Topics of which nobody knows yet whether they have one, and why not, once it was tried:
    /// numbers without it would be wrong.
    unread: BTreeMap<String, Option<Arc<str>>>,
}

impl Histories {
    /// Before anything was read of these topics.
    pub fn unread(topics: impl IntoIterator<Item = String>) -> Self {
        Self { tables: BTreeMap::new(), unread: topics.into_iter().map(|topic| (topic, None)).collect() }
    }

    /// The rows of a topic; none if nothing was imported, or if that is not known yet.
    pub fn get(&self, topic: &str) -> Option<&Arc<dyn TableProvider>> {
        self.tables.get(topic)
    }

    /// What a topic has from here on; none if nothing was ever imported into it.
    pub fn set(&mut self, topic: &str, rows: Option<Arc<dyn TableProvider>>) {
        self.unread.remove(topic);
        if let Some(rows) = rows {
            self.tables.insert(topic.to_owned(), rows);
        }
    }

    /// Whether it is known what was imported into a topic.
    pub fn is_read(&self, topic: &str) -> bool {
        !self.unread.contains_key(topic)
    }

    /// What was imported into a topic could not be read; true if that is news. Rows that are known
    /// stay.
    pub fn failed(&mut self, topic: &str, reason: &str) -> bool {
        let Some(known) = self.unread.get_mut(topic).filter(|known| known.as_deref() != Some(reason)) else {
            return false;
        };
        *known = Some(reason.into());
        true
    }

    /// The topics of which it is not known, and why not, once it was tried.
    pub fn unread_topics(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.unread.iter().map(|(topic, reason)| (topic.as_str(), reason.as_deref()))
    }

    /// Why a topic's rows are not known; none if nobody has looked yet.
    pub fn failure(&self, topic: &str) -> Option<&str> {
        self.unread.get(topic)?.as_deref()
    }
}

impl<const N: usize> From<[(String, Arc<dyn TableProvider>); N]> for Histories {
    fn from(tables: [(String, Arc<dyn TableProvider>); N]) -> Self {
        Self { tables: tables.into(), unread: BTreeMap::new() }
    }
}
