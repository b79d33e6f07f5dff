//! Which rows of the ledger are meant.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, ident, lit};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::archive_columns;
use vitral_schemas::verdict::{Reason, Unread, Verdict};

/// Which rows of the ledger.
#[derive(Debug, Clone, Default)]
pub struct LedgerFilter {
    /// Rows that are in the ledger for this reason; every refused and every late row if none.
    pub cause: Option<Cause>,
    /// Arrived at or after this time, in milliseconds.
    pub from_ms: Option<i64>,
    /// Arrived before this time, in milliseconds.
    pub to_ms: Option<i64>,
}

/// Why a row did not count. Duplicates did: by their first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It was refused, for this reason.
    Refused(Reason),
    /// It came after its windows had closed.
    Late,
    /// Offsets that were passed over: there is nothing to feed again.
    Unread(Unread),
}

impl LedgerFilter {
    /// As a condition on the archive's rows.
    pub fn condition(&self) -> Expr {
        use archive_columns::{REASON, VERDICT};
        let is = |verdict: Verdict| ident(VERDICT).eq(lit(verdict.name()));
        let wanted = match self.cause {
            Some(Cause::Refused(reason)) => is(Verdict::Refused).and(ident(REASON).eq(lit(reason.name()))),
            Some(Cause::Late) => is(Verdict::Late),
            Some(Cause::Unread(reason)) => is(Verdict::Undelivered).and(ident(REASON).eq(lit(reason.name()))),
            None => is(Verdict::Refused).or(is(Verdict::Late)),
        };
        self.arrived(wanted)
    }

    /// Those of the rows that arrived in its time.
    pub(super) fn arrived(&self, mut wanted: Expr) -> Expr {
        use archive_columns::ARRIVAL;
        let instant = |ms: i64| lit(ScalarValue::TimestampMicrosecond(Some(ms * MICROS_PER_MS), Some("UTC".into())));
        if let Some(from_ms) = self.from_ms {
            wanted = wanted.and(ident(ARRIVAL).gt_eq(instant(from_ms)));
        }
        if let Some(to_ms) = self.to_ms {
            wanted = wanted.and(ident(ARRIVAL).lt(instant(to_ms)));
        }
        wanted
    }

    /// The same for a list: without a cause, also what was passed over because somebody asked for
    /// it.
    pub fn listed(&self) -> Expr {
        let all_unread =
            Unread::ALL.map(|reason| Self { cause: Some(Cause::Unread(reason)), ..self.clone() }.condition());
        match self.cause {
            Some(_) => self.condition(),
            None => all_unread.into_iter().fold(self.condition(), Expr::or),
        }
    }
}
