//! Whether the catalog's jobs and checks can be planned, before any of them is run.

use chrono::NaiveDate;
use chrono_tz::Tz;
use vitral_schemas::catalog::{Catalog, Diagnostic};
use vitral_store::warehouse::Days;

use crate::error::BatchError;
use crate::tables::Tables;
use crate::{checks, jobs};

/// What is wrong with them, all at once.
pub async fn errors(catalog: &Catalog, zone: Tz) -> Result<Vec<Diagnostic>, BatchError> {
    let tables = Tables::empty(catalog)?;
    let day = NaiveDate::default();
    let mut outcomes = Vec::new();
    for table in &catalog.job_tables {
        outcomes.push(jobs::target(table, &tables).await.map(|_| ()));
    }
    for check in &catalog.checks {
        outcomes.push(checks::planned(check, zone, Days { from: day, to: day }, &tables).await.map(|_| ()));
    }
    let mut errors = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(()) => {}
            Err(BatchError::Catalog(error)) => errors.push(*error),
            Err(error) => return Err(error),
        }
    }
    Ok(errors)
}
