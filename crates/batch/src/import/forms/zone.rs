//! Zones that a heading names: `Created (UTC)`, `data_utc`, `Hora (GMT-3)`.

use chrono_tz::Tz;

/// Names of zones that several countries have, each with an offset of its own.
const AMBIGUOUS: [&str; 24] = [
    "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT", "ET", "CT", "MT", "PT", "AST", "BST", "IST", "JST", "CET",
    "CEST", "WET", "WEST", "EET", "EEST", "MSK", "AEST",
];

/// What a heading says of the zone that its times are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::import) enum Named {
    /// Minutes east of UTC.
    Offset(i32),
    Zone(Tz),
    /// A name from which no offset follows.
    Unclear(String),
}

pub(in crate::import) fn of_heading(heading: &str) -> Option<Named> {
    let heading = heading.trim();
    let in_parentheses = heading.strip_suffix([')', ']']).and_then(|rest| Some(rest.rsplit_once(['(', '['])?.1.trim()));
    let last =
        in_parentheses.or_else(|| heading.rsplit([' ', '_']).next().filter(|last| last.len() < heading.len()))?;
    if let Some(minutes) = offset(last) {
        return Some(Named::Offset(minutes));
    }
    let inside = in_parentheses?;
    if let Some(zone) = inside.parse().ok().filter(|_| inside.contains('/')) {
        return Some(Named::Zone(zone));
    }
    AMBIGUOUS.contains(&inside).then(|| Named::Unclear(inside.to_owned()))
}

/// `UTC`, `GMT-3`, `UTC +05:30`, in minutes.
fn offset(text: &str) -> Option<i32> {
    let text: String = text.to_uppercase().split_whitespace().collect();
    let rest = text.strip_prefix("UTC").or_else(|| text.strip_prefix("GMT"))?;
    if rest.is_empty() {
        return Some(0);
    }
    let (sign, rest) = match rest.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, rest.strip_prefix(['-', '\u{2212}'])?),
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() == 4 && rest.is_ascii() => rest.split_at(2),
        None => (rest, "0"),
    };
    let number = |text: &str| text.parse::<i32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// As times of RFC 3339 have it: `+05:30`.
pub(in crate::import) fn shown(minutes: i32) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_name_zones() {
        for (heading, minutes) in [
            ("Created (UTC)", 0),
            ("data_utc", 0),
            ("Data GMT", 0),
            ("Hora (GMT-3)", -180),
            ("Time [UTC+05:30]", 330),
            ("Data (UTC -0300)", -180),
        ] {
            assert_eq!(of_heading(heading), Some(Named::Offset(minutes)), "{heading}");
        }
        for heading in ["Data", "UTC", "Data (dd/mm/aaaa)", "Data (Brasília)", "Data est", "Criado em (GMT-99)"] {
            assert_eq!(of_heading(heading), None, "{heading}");
        }
        assert_eq!(of_heading("Date (America/New_York)"), Some(Named::Zone(chrono_tz::America::New_York)));
        assert_eq!(of_heading("Date (PST)"), Some(Named::Unclear("PST".to_owned())));
        assert_eq!([shown(0), shown(-180), shown(330)], ["+00:00", "-03:00", "+05:30"]);
    }
}
