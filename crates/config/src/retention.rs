//! What `vitral batch run retencao` does with the archives.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vitral_batch::upkeep::RetentionPolicy;

/// A hundred years: more is rather a mistake than a wish.
const DAYS_MAX: u64 = 36_500;
const NEVER: &str = "never";

/// What becomes of old rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// The age at which rows are moved below `cold/`, or `"never"`; 0 moves every row.
    pub hot_days: Days,
    /// How long they stay there before they are deleted, or `"never"`; 0 deletes them at the next
    /// run.
    pub cold_days: Days,
    /// Topics from which nothing is deleted.
    pub legal_hold: Vec<String>,
}

/// How long something stays as it is: a number of days, or `"never"` for what is never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Days {
    /// So many days.
    After(u32),
    /// Forever.
    Never,
}

impl Default for Retention {
    fn default() -> Self {
        Self { hot_days: Days::After(30), cold_days: Days::After(365), legal_hold: Vec::new() }
    }
}

impl Retention {
    /// Days after which rows are moved, and days after which they are deleted, both from when they
    /// came; none if they never are.
    pub fn days(&self) -> (Option<i64>, Option<i64>) {
        let days = |days| match days {
            Days::After(days) => Some(i64::from(days)),
            Days::Never => None,
        };
        let hot = days(self.hot_days);
        (hot, hot.zip(days(self.cold_days)).map(|(hot, cold)| hot + cold))
    }

    /// As upkeep takes it.
    pub fn policy(&self) -> RetentionPolicy {
        let (hot_days, kept_days) = self.days();
        RetentionPolicy { hot_days, kept_days, legal_hold: self.legal_hold.clone() }
    }
}

impl Serialize for Days {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::After(days) => serializer.serialize_u32(*days),
            Self::Never => serializer.serialize_str(NEVER),
        }
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DaysVisitor)
    }
}

struct DaysVisitor;

impl Visitor<'_> for DaysVisitor {
    type Value = Days;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number of days from 0 to {DAYS_MAX}, or \"{NEVER}\"")
    }

    fn visit_u64<E: Error>(self, days: u64) -> Result<Days, E> {
        match u32::try_from(days) {
            Ok(few) if days <= DAYS_MAX => Ok(Days::After(few)),
            _ => Err(E::custom(format!(
                "{days} days are more than a hundred years: write \"{NEVER}\" to keep rows forever"
            ))),
        }
    }

    fn visit_i64<E: Error>(self, days: i64) -> Result<Days, E> {
        let days = u64::try_from(days).map_err(|_| {
            E::custom(format!("{days} is not a number of days: write \"{NEVER}\" to keep rows forever"))
        })?;
        self.visit_u64(days)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Days, E> {
        match text.trim() {
            text if text.eq_ignore_ascii_case(NEVER) => Ok(Days::Never),
            text => match text.parse() {
                Ok(days) => self.visit_u64(days),
                Err(_) => Err(E::custom(format!("{text:?} is not a number of days, nor \"{NEVER}\""))),
            },
        }
    }
}
