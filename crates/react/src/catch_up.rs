//! When a new alert may begin: once all that was in Kafka when the process began to read is
//! committed and in what the alert reads. What came before the alert would be news to it otherwise.

use std::collections::BTreeMap;

use vitral_catalog::{Catalog, Name, Needs};
use vitral_panes::view::View;
use vitral_schemas::health::Health;
use vitral_schemas::position::{Offset, PartitionId};

/// The topics that have caught up, and through which offsets: for good, as what comes later is
/// news.
#[derive(Debug, Default)]
pub(crate) struct CatchUp(BTreeMap<String, BTreeMap<PartitionId, Offset>>);

impl CatchUp {
    /// To be called before a view is taken: what is committed by now is in it.
    pub fn look(&mut self, health: &Health) {
        for (name, topic) in health.topics() {
            if let Some(through) = topic.backlog().filter(|_| !self.0.contains_key(&name)) {
                self.0.insert(name, through);
            }
        }
    }

    /// Whether everything that a query reads has come so far. Topics that it does not read are not
    /// waited for.
    pub fn is_done(&self, catalog: &Catalog, needs: &Needs, view: &View) -> bool {
        let is_kept = |name: &Name| match name {
            Name::Table(name) => {
                catalog.keyed_view(name).is_none_or(|table| self.has_taken_in(&table.topic, name, view))
            }
            Name::Newest(_) | Name::Information(_) => true,
        };
        needs.topics.iter().all(|topic| self.0.contains_key(topic)) && needs.names.iter().all(is_kept)
    }

    /// A table takes commits in by itself, somewhat later. One that is set aside takes in no more,
    /// and is an error of those who read it.
    fn has_taken_in(&self, topic: &str, table: &str, view: &View) -> bool {
        let (Some(wanted), Some(table)) = (self.0.get(topic), view.keyed.get(table)) else { return false };
        let has = |partition: &PartitionId| table.through.offsets.get(partition).copied().unwrap_or_default();
        table.failure.is_some() || wanted.iter().all(|(partition, next)| has(partition) >= *next)
    }
}
