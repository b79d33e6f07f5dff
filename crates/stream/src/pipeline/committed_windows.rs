//! Open windows as they were when a commit was submitted: what alerts, reports and sinks see, which
//! must not act on rows that are not committed.
//!
//! Only metrics that one of them reads are kept; without any, nothing is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vitral_catalog::{Catalog, Name, Names, Scope};
use vitral_panes::open_windows::OpenWindows;
use vitral_schemas::metric_version::MetricVersionId;

use crate::topic_panes::TopicPanes;

/// The open windows of some metrics.
#[derive(Default)]
pub(super) struct CommittedWindows {
    /// Names of metrics.
    wanted: BTreeSet<String>,
    /// Of the commit that is under way.
    submitted: BTreeMap<MetricVersionId, Arc<OpenWindows>>,
    /// Of the last commit.
    committed: BTreeMap<MetricVersionId, Arc<OpenWindows>>,
}

impl CommittedWindows {
    /// Of the topic's metrics that an alert, a report or a sink reads.
    pub(super) fn wanted_of(catalog: &Catalog, topic: &str) -> Self {
        let mut wanted = BTreeSet::new();
        if catalog.metrics_of(topic).next().is_some() {
            let names = Names::new(catalog, []);
            for view in catalog.reacting() {
                match names.needs(&view.query, &view.source, Scope::Served) {
                    Ok(needs) => wanted.extend(needs.names.into_iter().filter_map(|name| match name {
                        Name::Table(name) | Name::Newest(name) => Some(name),
                        Name::Information(_) => None,
                    })),
                    // It reads a table function, which only a session knows: any metric may be
                    // among the rest.
                    Err(_) => wanted.extend(catalog.metrics_of(topic).map(|metric| metric.name.clone())),
                }
            }
            wanted.retain(|name| catalog.metric(name).is_some_and(|metric| metric.topic == topic));
        }
        Self { wanted, ..Self::default() }
    }

    /// Whether any metric is kept.
    pub(super) fn are_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// A commit is submitted, and these are all rows that it holds: the states must have been
    /// refreshed.
    pub(super) fn submit(&mut self, panes: &TopicPanes) {
        let wanted = panes.metrics().iter().filter(|metric| self.wanted.contains(&*metric.id.metric));
        self.submitted = wanted.map(|metric| (metric.id.clone(), Arc::clone(&metric.open))).collect();
    }

    /// That commit is done.
    pub(super) fn commit(&mut self) {
        if !self.submitted.is_empty() {
            self.committed = std::mem::take(&mut self.submitted);
        }
    }

    /// Windows that have been published are among the published rows now.
    pub(super) fn leave_out_published(&mut self, panes: &TopicPanes) {
        for (id, open) in &mut self.committed {
            if let Some(without) = panes.still_open(id, open) {
                *open = Arc::new(without);
            }
        }
    }

    /// Those of a metric's version.
    pub(super) fn of(&self, id: &MetricVersionId) -> Option<Arc<OpenWindows>> {
        self.committed.get(id).map(Arc::clone)
    }
}
