//! Times as commands take them.

use chrono::{DateTime, Utc};

/// For flags: what is wrong says how a time is written.
pub fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).map_err(|_| {
        "write a time with its offset (RFC 3339), such as 2025-12-31T00:00:00-03:00 or 2025-12-31T03:00:00Z".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_time_is_told_how_to_write_one() {
        assert_eq!(instant("2025-12-31T00:00:00-03:00"), instant("2025-12-31T03:00:00Z"));
        for wrong in ["2025-12-31", "31/12/2025", "2025-13-01T00:00:00Z", "2025-12-31T00:00:00", "yesterday", ""] {
            assert!(instant(wrong).expect_err(wrong).contains("2025-12-31T03:00:00Z"), "{wrong}");
        }
    }
}
