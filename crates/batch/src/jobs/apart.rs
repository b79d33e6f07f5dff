//! Days whose rows cannot be computed, such as by a division by zero, keep none of the others from
//! it.

use datafusion::error::DataFusionError;
use vitral_catalog::{JobTable, Period};
use vitral_store::warehouse::{Days, WarehouseTable};

use super::{JobReport, Jobs};
use crate::error::BatchError;
use crate::tables::Tables;

/// Periods that fail before the rest of a part is left: a statement that fails on some days is
/// found by fewer, one that fails on all need not be run for each.
const FAILED_MAX: usize = 3;

impl Jobs<'_> {
    /// Computes these days, where it fails on rows each period that it can. The error is that of
    /// the first that it cannot.
    pub(super) async fn compute_apart(
        &self,
        table: &JobTable,
        days: Days,
        (target, tables): (&WarehouseTable, &Tables<'_>),
        done: &mut JobReport,
    ) -> Result<(), BatchError> {
        let (mut waiting, mut failed) = (vec![days], Vec::new());
        while let Some(days) = waiting.pop() {
            let Err(error) = self.compute(table, days, (target, tables), done).await else { continue };
            if !is_of_rows(&error) {
                return Err(error);
            }
            match halves(table.per, days) {
                Some([first, second]) => waiting.extend([second, first]),
                None => failed.push((days.from, error)),
            }
            if failed.len() == FAILED_MAX {
                break;
            }
        }
        let Some((day, source)) = failed.into_iter().next() else { return Ok(()) };
        Err(BatchError::Uncomputable { table: table.table.clone(), day, source: Box::new(source) })
    }
}

fn is_of_rows(error: &BatchError) -> bool {
    match error {
        BatchError::Store(error) => error.is_of_rows(),
        BatchError::Engine { source, .. } => matches!(source.find_root(), DataFusionError::ArrowError(..)),
        _ => false,
    }
}

/// Both halves in whole periods; none of a single period.
fn halves(per: Period, days: Days) -> Option<[Days; 2]> {
    let next = per.next(days.from);
    if next >= days.to {
        return None;
    }
    let middle = per.first(days.from + (days.to - days.from) / 2).max(next);
    Some([Days { to: middle, ..days }, Days { from: middle, ..days }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(from: &str, to: &str) -> Days {
        Days { from: from.parse().expect("a day"), to: to.parse().expect("a day") }
    }

    #[test]
    fn halves_are_whole_periods() {
        assert_eq!(halves(Period::Day, days("2025-05-01", "2025-05-02")), None);
        let both = [days("2025-05-01", "2025-05-02"), days("2025-05-02", "2025-05-04")];
        assert_eq!(halves(Period::Day, days("2025-05-01", "2025-05-04")), Some(both));
        assert_eq!(halves(Period::Month, days("2025-05-01", "2025-06-01")), None);
        let both = [days("2025-05-01", "2025-06-01"), days("2025-06-01", "2025-07-01")];
        assert_eq!(halves(Period::Month, days("2025-05-01", "2025-07-01")), Some(both));
        assert_eq!(halves(Period::All, days("0001-01-01", "9999-12-31")), None);
    }
}
