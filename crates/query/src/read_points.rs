//! Where a running process takes its read points from: what its stream shows, and what else it
//! follows.

use std::sync::Arc;

use vitral_panes::view::{View, ViewReceiver};
use vitral_schemas::reconciliation::ReconciliationReceiver;
use vitral_schemas::time::Clock;
use vitral_store::{AlertReceiver, HistoryReceiver};

use crate::error::QueryError;
use crate::principal::Principal;
use crate::read_point::ReadPoint;

/// What is newest of everything that can be read, for all fronts of a process.
#[derive(Clone)]
pub struct ReadPoints {
    /// What the stream shows.
    pub view: ViewReceiver,
    /// What was imported.
    pub histories: HistoryReceiver,
    /// The last results of reconciliations.
    pub reconciliations: ReconciliationReceiver,
    /// What alerts have seen.
    pub alerts: AlertReceiver,
    /// The time of requests.
    pub clock: Arc<dyn Clock>,
}

impl ReadPoints {
    /// The newest view.
    ///
    /// # Errors
    /// Recovery is not done: its numbers would be wrong.
    pub fn view(&self) -> Result<Arc<View>, QueryError> {
        let view = Arc::clone(&self.view.borrow());
        if view.ready { Ok(view) } else { Err(QueryError::Starting) }
    }

    /// What one answer is computed from.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub fn take(&self, principal: Principal) -> Result<ReadPoint, QueryError> {
        Ok(ReadPoint {
            histories: Arc::clone(&self.histories.borrow()),
            reconciliations: Arc::clone(&self.reconciliations.borrow()),
            alerts: Arc::clone(&self.alerts.borrow()),
            ..ReadPoint::new(principal, self.view()?, self.clock.now_ms())
        })
    }
}
