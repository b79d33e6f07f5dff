//! Between jobs: merging small files, and seeing what other processes, such as a repair, have
//! written.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vitral_store::StoreError;

use super::{Committer, CommitterEvent};

/// How often the files that merges have replaced are deleted.
const VACUUM_EVERY: Duration = Duration::from_secs(1800);

/// When each was done last.
pub(super) struct MaintenanceTimers {
    refresh: Timer,
    vacuum: Timer,
}

struct Timer {
    last: Instant,
    every: Duration,
}

impl MaintenanceTimers {
    pub(super) fn new(refresh_every: Duration) -> Self {
        let timer = |every| Timer { last: Instant::now(), every };
        Self { refresh: timer(refresh_every), vacuum: timer(VACUUM_EVERY) }
    }
}

impl Timer {
    /// Whether it is time, which begins the time again.
    fn is_due(&mut self) -> bool {
        let is_due = self.last.elapsed() >= self.every;
        if is_due {
            self.last = Instant::now();
        }
        is_due
    }
}

impl Committer {
    /// What fails is tried again later.
    pub(super) async fn maintain(
        &mut self,
        timers: &mut MaintenanceTimers,
    ) -> Result<Option<CommitterEvent>, StoreError> {
        let (refresh, vacuum) = (timers.refresh.is_due(), timers.vacuum.is_due());
        let topic = &self.label.topic;
        let mut changed = refresh && log_and_continue(topic, self.archive.refresh().await);
        changed |= log_and_continue(topic, self.archive.compact().await);
        for table in self.tables.values_mut() {
            changed |= refresh && log_and_continue(topic, table.refresh().await);
            changed |= log_and_continue(topic, table.compact().await);
        }
        if vacuum {
            log_and_continue(topic, self.archive.vacuum().await.map(|()| false));
            for table in self.tables.values_mut() {
                log_and_continue(topic, table.vacuum().await.map(|()| false));
            }
        }
        if !changed {
            return Ok(None);
        }
        failpoint!("compact.after");
        let mut tables = BTreeMap::new();
        for (version, table) in &self.tables {
            tables.insert(version.clone(), table.provider().await?);
        }
        Ok(Some(CommitterEvent::Maintained { archive: self.archive.provider().await?, tables }))
    }
}

/// Whether a table was changed; an error is logged and left for the next time.
fn log_and_continue(topic: &str, outcome: Result<bool, StoreError>) -> bool {
    outcome.unwrap_or_else(|error| {
        tracing::warn!(topic, %error, source = ?error, "a table was not maintained; trying again later");
        false
    })
}
