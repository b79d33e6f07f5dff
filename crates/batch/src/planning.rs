//! Whether the catalog's jobs, checks and profiles can be planned, before any of them is run.

use chrono::NaiveDate;
use vitral_catalog::{Catalog, Diagnostic, Diagnostics, DomainSettings};
use vitral_store::warehouse::Days;

use crate::error::BatchError;
use crate::import::check_profile;
use crate::tables::Tables;
use crate::{checks, jobs};

/// What is wrong with them, all at once.
pub async fn errors(catalog: &Catalog, settings: &DomainSettings) -> Result<Vec<Diagnostic>, BatchError> {
    let (tables, zone) = (Tables::empty(catalog, settings)?, settings.time_zone);
    let day = NaiveDate::default();
    let mut outcomes = Vec::new();
    for table in &catalog.job_tables {
        outcomes.push(jobs::target(table, &tables).await.map(|_| ()));
    }
    for check in &catalog.checks {
        outcomes.push(checks::planned(check, zone, Days { from: day, to: day }, &tables).await.map(|_| ()));
    }
    for profile in &catalog.profiles {
        if let Some((topic, _)) = catalog.import_target(&profile.table) {
            outcomes.push(check_profile(profile, topic).await.map_err(BatchError::Catalog));
        }
    }
    let mut errors = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(()) => {}
            Err(BatchError::Catalog(error)) => errors.push(*error),
            Err(BatchError::Unplanned(Diagnostics(found))) => errors.extend(found),
            Err(error) => return Err(error),
        }
    }
    Ok(errors)
}
