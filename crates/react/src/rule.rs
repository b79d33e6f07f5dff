//! What is evaluated: an alert or a report of the catalog, resolved once.

use std::sync::Arc;

use chrono::NaiveTime;
use vitral_catalog::{Audience, Catalog, Name, Needs, Position, View};
use vitral_connect::with_causes;
use vitral_query::{QueryError, ReadPoint, Reader, RowStream};

use crate::destinations::Destination;
use crate::state::Policy;

/// A view of which people are notified.
#[derive(Debug)]
pub(crate) struct Rule {
    pub policy: Policy,
    pub kind: Kind,
    /// Whether it gives the same rows from the same tables: it reads no clock and no file.
    pub is_steady: bool,
    pub needs: Needs,
    view: View,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// By these columns.
    Alert { key: Vec<String> },
    /// At this time of day.
    Report { at: NaiveTime },
}

impl Rule {
    /// Every alert and report. A name that is not there was an error when the process started.
    pub fn all(catalog: &Catalog, reader: &Reader, default: &[String]) -> Result<Vec<Arc<Self>>, QueryError> {
        let alerts = catalog.alerts().map(|(view, alert)| {
            let policy = Policy {
                alert: view.name.clone(),
                severity: alert.severity.name().to_owned(),
                after_ms: alert.after_ms,
                repeat_ms: alert.repeat_ms,
                destinations: destinations(&alert.audience, default),
            };
            (view, policy, Kind::Alert { key: alert.key.clone() })
        });
        let reports = catalog.reports().map(|(view, report)| {
            let policy = Policy {
                alert: view.name.clone(),
                severity: vitral_catalog::Severity::Info.name().to_owned(),
                destinations: destinations(&report.audience, default),
                ..Policy::default()
            };
            (view, policy, Kind::Report { at: report.at })
        });
        let rules = alerts.chain(reports).map(|(view, policy, kind)| {
            let needs = reader.needs(&view.query, &view.source)?;
            let is_steady = reader.is_steady(&view.query, &needs);
            Ok(Arc::new(Self { policy, kind, is_steady, needs, view: view.clone() }))
        });
        rules.collect()
    }

    /// Why rows of what it reads are missing, if some are known to be: a key that is not among the
    /// others has not left them.
    pub fn failure_of_input(&self, point: &ReadPoint) -> Option<String> {
        failure_of_input(&self.needs, point)
    }

    /// Runs the query, whose `now()` is the point's time.
    pub async fn run(&self, reader: &Reader, point: &ReadPoint) -> Result<RowStream, QueryError> {
        let position: &Position = &self.view.source;
        let planned = reader.plan(point, &self.view.query, &self.needs).await?;
        planned.run_at(position, point.now_ms).await
    }
}

/// Why rows of what a query reads are missing, if some are known to be.
pub(crate) fn failure_of_input(needs: &Needs, point: &ReadPoint) -> Option<String> {
    needs.names.iter().find_map(|name| {
        let (Name::Table(name) | Name::Newest(name)) = name else { return None };
        let of_metric = || point.view.metrics.get(name)?.known_failure();
        let failure = of_metric().or_else(|| point.view.keyed.get(name)?.failure.clone())?;
        Some(format!("{name} lacks rows: {}", failure.reason))
    })
}

/// Why a query has no rows, for people.
pub(crate) fn reason(error: &QueryError) -> String {
    with_causes(error)
}

/// Whether there is nothing to evaluate yet: a topic that waits, a metric whose committed windows
/// are not known.
pub(crate) fn is_not_there_yet(error: &QueryError) -> bool {
    matches!(
        error,
        QueryError::Unavailable(_)
            | QueryError::TopicWaiting { .. }
            | QueryError::ImportsUnread(_)
            | QueryError::ImportsUnreadable { .. }
            | QueryError::Busy
    )
}

fn destinations(audience: &Audience, default: &[String]) -> Vec<String> {
    let connections = audience.connections.as_deref().unwrap_or(default);
    let destination =
        |connection: &String| Destination { connection: connection.clone(), topic: audience.topic.clone() }.to_string();
    connections.iter().map(destination).collect()
}
