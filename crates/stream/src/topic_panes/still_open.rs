//! What remains of open windows that were looked at earlier, once some of them have been published.

use vitral_panes::open_windows::OpenWindows;
use vitral_schemas::metric_version::MetricVersionId;

use super::TopicPanes;

impl TopicPanes {
    /// The windows of a metric's version that still take rows here; none if all of them do.
    pub fn still_open(&self, id: &MetricVersionId, open: &OpenWindows) -> Option<OpenWindows> {
        let metric = self.get(id)?;
        let closed_until = metric.settled_through()?.late_before(self.lateness_ms);
        let first_open_ms = metric.plan().windows.first_open_ms(closed_until.ms());
        if metric.is_of_sessions() {
            return Some(open.ended(first_open_ms, closed_until.micros()));
        }
        open.since(first_open_ms)
    }
}
