//! What an answer is made of, said so that every process says the same.

use vitral_catalog::{EngineTable, Name, Needs};
use vitral_panes::view::{MetricView, TopicView};
use vitral_store::rows_version;

use crate::read_point::ReadPoint;

/// The tables and commits that a statement reads at this moment. None if some of its rows are not
/// committed, or if it cannot be said which they are.
pub(super) fn of(point: &ReadPoint, needs: &Needs) -> Option<String> {
    let mut versions = String::new();
    let mut add = |name: &str, version: Option<String>| {
        let version = version?;
        versions.extend([name, "\n", version.as_str()]);
        Some(())
    };
    let is_of_all_topics = needs.table(EngineTable::Ledger.name());
    for (name, topic) in point.view.topics.iter().filter(|(name, _)| is_of_all_topics || needs.table(name)) {
        add(name, of_topic(topic))?;
        if !point.histories.is_read(name) {
            return None;
        }
        if let Some(history) = point.histories.get(name) {
            add("history", rows_version(history))?;
        }
    }
    for name in &needs.names {
        let (Name::Table(name) | Name::Newest(name) | Name::Information(name)) = name;
        if let Some(metric) = point.view.metrics.get(name) {
            add(name, of_metric(metric))?;
        }
        if let Some(keyed) = point.view.keyed.get(name) {
            add(name, rows_version(&keyed.rows).filter(|_| keyed.failure.is_none()))?;
        }
    }
    for table in EngineTable::ALL.into_iter().filter(|table| needs.table(table.name())) {
        if table != EngineTable::Ledger {
            add(table.name(), point.engine_tables.get(&table).and_then(rows_version))?;
        }
    }
    Some(versions)
}

fn of_topic(topic: &TopicView) -> Option<String> {
    if topic.tail.is_empty() { rows_version(&topic.archive) } else { None }
}

/// Open windows are of this process.
fn of_metric(metric: &MetricView) -> Option<String> {
    let is_committed = metric.open.is_made() && metric.open.rows().is_empty() && metric.known_failure().is_none();
    if is_committed { rows_version(&metric.published) } else { None }
}
