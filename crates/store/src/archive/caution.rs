//! Whether a run would purge more than the last one suggests: a digit too few in the configuration,
//! or a clock that is years ahead, must not empty an archive before somebody has looked.

use std::fmt;

use serde::{Deserialize, Serialize};
use vitral_schemas::topic::Topic;

use super::retention::{Limits, Outlook, RetentionReport};
use crate::error::StoreError;
use crate::layout::Layout;
use crate::location::Location;

const DAY_MS: i64 = 24 * 3_600_000;
/// A run asks before it purges more than a tenth of all rows, if that is also more than twice as
/// many as the last run purged.
const LARGE_PART: u64 = 10;
/// A pause explains so many times the usual number, and no more: a clock that is a year ahead looks
/// like a pause of a year.
const LONGEST_PAUSE: i64 = 4;

/// What the last run over a topic's archive was for, and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRetention {
    ran_ms: i64,
    /// The time between that run and the one before it.
    elapsed_ms: Option<i64>,
    /// Rows that arrived before this were purged; none if none were to be.
    cut_off_ms: Option<i64>,
    #[serde(rename = "gone")]
    purged: u64,
}

/// Why a run asks before it purges rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No run under these settings has purged any, as far as is known.
    First,
    /// Rows are kept for this many days less than at the last run.
    FewerDays(i64),
    /// Many times as many as in the last run, and a large part of all.
    ManyRows {
        /// Rows that would be purged.
        going: u64,
        /// Rows that the last run purged.
        before: u64,
        /// Rows of the archive.
        total: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => write!(f, "no earlier run was due to delete any"),
            Self::FewerDays(days) => {
                write!(f, "rows are kept for {days} days less than at the last run")
            }
            Self::ManyRows { going, before, total } => {
                write!(f, "the last run deleted {before} rows, this one would delete {going} of {total}")
            }
        }
    }
}

impl LastRetention {
    /// What is known of the last run; none before the first.
    pub async fn read(store: &Location, topic: &Topic) -> Result<Option<Self>, StoreError> {
        let place = Layout::of(store).cold();
        let text = place.read_text(&file(topic)).await?;
        // One that cannot be read counts as none: then the run asks.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Keeps what a run has done.
    pub async fn record(
        store: &Location,
        topic: &Topic,
        limits: Limits,
        done: RetentionReport,
    ) -> Result<(), StoreError> {
        let before = Self::read(store, topic).await?;
        let last = Self {
            ran_ms: limits.now_ms,
            elapsed_ms: before.map(|before| limits.now_ms - before.ran_ms),
            cut_off_ms: limits.cold_ms,
            purged: done.purged,
        };
        let text = serde_json::to_string(&last).unwrap_or_default();
        Layout::of(store).cold().write_text(&file(topic), &text).await
    }

    /// Why a run that would do this should be agreed to first; none if it does what is to be
    /// expected after the last one.
    pub fn concern(last: Option<&Self>, limits: Limits, outlook: &Outlook) -> Option<Reason> {
        let cut_off_ms = limits.cold_ms.filter(|_| outlook.going > 0)?;
        let Some((last, last_cut_off_ms)) = last.and_then(|last| Some((last, last.cut_off_ms?))) else {
            return Some(Reason::First);
        };
        let passed_ms = (limits.now_ms - last.ran_ms).max(0);
        let shorter_ms = cut_off_ms - last_cut_off_ms - passed_ms;
        if shorter_ms >= DAY_MS {
            return Some(Reason::FewerDays(shorter_ms / DAY_MS));
        }
        // After a pause there is more to delete.
        let times = last.elapsed_ms.filter(|ms| *ms > 0).map_or(1, |ms| (passed_ms / ms).clamp(1, LONGEST_PAUSE));
        let usual = last.purged.saturating_mul(2).saturating_mul(u64::try_from(times).unwrap_or(1));
        let is_large = outlook.going.saturating_mul(LARGE_PART) > outlook.total;
        let Outlook { going, total, .. } = *outlook;
        (going > usual && is_large).then_some(Reason::ManyRows { going, before: last.purged, total })
    }
}

fn file(topic: &Topic) -> String {
    format!("retencao-{}.json", topic.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn limits(days_after: i64, kept_days: Option<i64>) -> Limits {
        let now_ms = NOW_MS + days_after * DAY_MS;
        Limits { hot_ms: 0, cold_ms: kept_days.map(|days| now_ms - days * DAY_MS), now_ms }
    }

    fn last(kept_days: Option<i64>, purged: u64) -> LastRetention {
        LastRetention {
            ran_ms: NOW_MS,
            elapsed_ms: Some(7 * DAY_MS),
            cut_off_ms: kept_days.map(|days| NOW_MS - days * DAY_MS),
            purged,
        }
    }

    #[test]
    fn more_than_last_time_is_asked_about() {
        let of = |last: Option<LastRetention>, limits: Limits, going| {
            LastRetention::concern(last.as_ref(), limits, &Outlook { moving: 0, going, total: 1_000 })
        };
        let week = || limits(7, Some(395));
        assert_eq!(of(Some(last(Some(395), 10)), week(), 12), None, "week after week");
        assert_eq!(of(Some(last(Some(395), 0)), week(), 30), None, "the first that are old enough");
        assert_eq!(of(None, week(), 0), None, "nothing goes");
        assert_eq!(of(None, week(), 1), Some(Reason::First));
        assert_eq!(of(Some(last(None, 0)), week(), 1), Some(Reason::First), "until now rows were kept forever");
        assert_eq!(of(Some(last(Some(395), 10)), limits(7, Some(29)), 12), Some(Reason::FewerDays(366)));
        let many = |going| Some(Reason::ManyRows { going, before: 10, total: 1_000 });
        assert_eq!(of(Some(last(Some(395), 10)), week(), 500), many(500));
        assert_eq!(of(Some(last(Some(395), 60)), limits(28, Some(395)), 400), None, "four weeks later");
        assert_eq!(
            of(Some(last(Some(395), 10)), limits(365, Some(395)), 530),
            many(530),
            "a clock that is a year ahead"
        );
        assert_eq!(of(Some(last(Some(395), 10)), limits(7, None), 0), None);
    }
}
