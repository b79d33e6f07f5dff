//! The connections of the configuration that a catalog names.

use std::collections::BTreeSet;

use super::Catalog;

impl Catalog {
    /// Their names: of look-ups, copies, logs of rows, and of who is notified.
    pub fn connections(&self) -> BTreeSet<&str> {
        let lookups = self.references.iter().filter_map(|table| table.lookup.as_ref()?.connection());
        let logs = self.row_logs.iter().map(|log| &log.connection);
        let sinks = self.sinks().filter_map(|(_, sink)| sink.connection.as_ref());
        let alerts = self.alerts().map(|(_, alert)| &alert.audience);
        let audiences = alerts.chain(self.reports().map(|(_, report)| &report.audience));
        let notified = audiences.filter_map(|audience| audience.connections.as_ref()).flatten();
        lookups.chain(logs).map(|named| &named.name).chain(sinks).chain(notified).map(String::as_str).collect()
    }
}
