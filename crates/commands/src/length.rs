//! Lengths of time as commands take them: `2h`, or `2 hours` as the catalog writes them.

use vitral_catalog::duration_ms;

/// In milliseconds; none if it is not a length of time.
pub(crate) fn length_ms(text: &str) -> Option<i64> {
    duration_ms(text).or_else(|| short_ms(text)).filter(|ms| *ms > 0)
}

fn short_ms(text: &str) -> Option<i64> {
    let unit = text.chars().next_back()?;
    let unit_ms = match unit {
        'd' => 86_400_000,
        'h' => 3_600_000,
        'm' => 60_000,
        's' => 1_000,
        _ => return None,
    };
    let count: u32 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    i64::from(count).checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_and_a_unit() {
        for (text, ms) in
            [("1d", 86_400_000), ("6h", 21_600_000), ("30m", 1_800_000), ("2 hours", 7_200_000), ("5s", 5_000)]
        {
            assert_eq!(length_ms(text), Some(ms), "{text}");
        }
        for wrong in ["", "d", "1", "-1d", "0h", "1 d", "1.5h", "1w", "99999999999999999999d", "1é"] {
            assert_eq!(length_ms(wrong), None, "{wrong}");
        }
    }
}
