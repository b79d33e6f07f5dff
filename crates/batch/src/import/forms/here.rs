//! What holds where a file does not say.

use chrono_tz::Tz;

use super::currency;

/// A cell that shows something, and where it stands.
pub(super) type Example = (String, String);

/// What holds where a file does not say.
#[derive(Debug, Clone)]
pub(in crate::import) struct Here {
    pub(in crate::import) zone: Tz,
    /// Whether the user says that it is the zone of the files' times.
    pub(in crate::import) is_zone_named: bool,
    pub(in crate::import) currency: String,
}

impl Here {
    /// Whether a word is what people call the currency.
    pub(super) fn names_currency(&self, word: &str) -> bool {
        currency::of_word(word, &self.currency).is_some_and(|code| code == self.currency)
    }
}
