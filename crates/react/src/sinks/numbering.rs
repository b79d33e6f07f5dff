//! Whether a target is where its epochs say that it is, asked once in each process.

/// What a target says it has taken last, compared with what was committed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has taken everything.
    UpToDate,
    /// The epoch that waits is the next.
    NextWaits,
    /// Nothing was ever sent from here, and the target has rows of another store: numbers go on
    /// from its own.
    FirstAfter(u64),
    /// It has lost rows, or has rows that are not known here, as one of the two was restored: all
    /// rows are sent, from this number on.
    Elsewhere(u64),
}

/// `taken` is the target's last epoch, `sent` the last that is known here to be taken, `last` the
/// last that was committed; `waits` whether that is an epoch that is not known to be taken.
pub(super) fn standing(taken: Option<u64>, sent: Option<u64>, last: Option<u64>, waits: bool) -> Standing {
    let sent = sent.filter(|sent| last.is_some_and(|last| *sent <= last));
    let ahead = taken.filter(|taken| last.is_none_or(|last| *taken > last));
    match (ahead, taken == last, sent) {
        (Some(taken), _, None) if !waits => Standing::FirstAfter(taken),
        (Some(taken), ..) => Standing::Elsewhere(taken),
        (None, true, _) => Standing::UpToDate,
        // It has taken nothing from here yet, as is known here too.
        (None, false, None) => {
            if waits {
                Standing::NextWaits
            } else {
                Standing::UpToDate
            }
        }
        (None, false, Some(sent)) if taken == Some(sent) => {
            if waits {
                Standing::NextWaits
            } else {
                Standing::UpToDate
            }
        }
        (None, false, Some(_)) => Standing::Elsewhere(last.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_is_where_it_was_goes_on() {
        assert_eq!(standing(None, None, None, false), Standing::UpToDate, "nothing was committed yet");
        assert_eq!(standing(None, None, Some(0), false), Standing::UpToDate, "a base alone");
        assert_eq!(standing(None, None, Some(1), true), Standing::NextWaits);
        assert_eq!(standing(Some(1), None, Some(1), true), Standing::UpToDate, "only the note is missing");
        assert_eq!(standing(Some(1), Some(1), Some(2), true), Standing::NextWaits);
        assert_eq!(standing(Some(2), Some(1), Some(2), true), Standing::UpToDate, "only the note is missing");
        assert_eq!(standing(Some(2), Some(2), Some(2), false), Standing::UpToDate);
        assert_eq!(standing(Some(9), Some(8), Some(9), false), Standing::UpToDate, "after a base alone");
    }

    #[test]
    fn one_that_is_elsewhere_gets_all_rows() {
        assert_eq!(standing(Some(40), None, Some(0), false), Standing::FirstAfter(40), "a new store");
        assert_eq!(standing(Some(40), None, None, false), Standing::FirstAfter(40));
        assert_eq!(standing(Some(40), None, Some(1), true), Standing::Elsewhere(40));
        assert_eq!(standing(Some(40), Some(7), Some(7), false), Standing::Elsewhere(40), "a restored store");
        assert_eq!(standing(Some(5), Some(7), Some(7), false), Standing::Elsewhere(7), "a restored target");
        assert_eq!(standing(None, Some(7), Some(8), true), Standing::Elsewhere(8), "one that was recreated");
    }
}
