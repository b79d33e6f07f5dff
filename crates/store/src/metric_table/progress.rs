//! How far a metric's published rows had come, for those that go on from there.

use serde::{Deserialize, Serialize};

use super::{MetricTable, application};
use crate::error::StoreError;
use crate::location::Location;
use crate::table::Table;

/// How far published rows had come. While version, corrections and backfill are the same, rows were
/// only added: those of windows that the watermark has closed since.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricProgress {
    /// The metric's version, as its folder is called.
    pub version: String,
    /// The watermark through which windows are published, in milliseconds.
    pub through_ms: Option<i64>,
    /// Before this, in milliseconds, windows start that were computed from history.
    pub backfilled_until_ms: Option<i64>,
    /// How often published rows were replaced: by a repair, or by what a replay has changed.
    pub corrections: i64,
}

impl MetricProgress {
    /// Whether rows were only added since `earlier`.
    pub fn only_adds_to(&self, earlier: &Self) -> bool {
        self.version == earlier.version
            && self.backfilled_until_ms == earlier.backfilled_until_ms
            && self.corrections == earlier.corrections
    }
}

impl MetricTable {
    /// How far a metric's version below `location` is published; none if it has no table.
    pub async fn progress(
        metric: &str,
        version: &str,
        location: &Location,
    ) -> Result<Option<MetricProgress>, StoreError> {
        let Some(table) = Table::read(metric, &location.join(metric).join(version)).await? else { return Ok(None) };
        let application = application(metric, version);
        Ok(Some(MetricProgress {
            version: version.to_owned(),
            through_ms: table.transaction(&application).await?,
            backfilled_until_ms: table.transaction(&format!("backfill/{application}")).await?,
            corrections: table.transaction(&corrections(&application)).await?.unwrap_or_default(),
        }))
    }
}

/// The application whose transactions count how often rows were replaced.
pub(super) fn corrections(application: &str) -> String {
    format!("corrections/{application}")
}
