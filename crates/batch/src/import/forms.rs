//! How people write numbers and dates, turned into how messages do.
//!
//! What cannot be read is left as it is: whoever decodes it refuses it, and shows it.

use super::ImportError;

/// How a file writes its decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// `1234.56`
    Plain,
    /// `1.234,56`
    Brazilian,
}

/// What one cell says of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    Plain,
    Brazilian,
    /// `1.234` is one thousand and more, or one and a bit.
    Either,
    Nothing,
}

/// Gathers what the numbers of a file look like.
#[derive(Debug, Default)]
pub(super) struct NumberForms {
    plain: Option<String>,
    brazilian: Option<String>,
    either: Option<String>,
}

impl NumberForms {
    pub(super) fn see(&mut self, cell: &str) {
        let place = match evidence(strip(cell)) {
            Evidence::Plain => &mut self.plain,
            Evidence::Brazilian => &mut self.brazilian,
            Evidence::Either => &mut self.either,
            Evidence::Nothing => return,
        };
        place.get_or_insert_with(|| cell.to_owned());
    }

    /// Whether a number was seen that can be read in one way only.
    pub(super) fn is_decided(&self) -> bool {
        self.plain.is_some() || self.brazilian.is_some()
    }

    /// How the file writes its numbers, or an error where it cannot be told.
    pub(super) fn decide(&self, file: &str) -> Result<Numbers, ImportError> {
        match (&self.plain, &self.brazilian, &self.either) {
            (Some(plain), Some(brazilian), _) => Err(ImportError::Numbers {
                file: file.to_owned(),
                reason: format!("both {plain} and {brazilian} are in it"),
            }),
            (None, Some(_), _) => Ok(Numbers::Brazilian),
            (Some(_), None, _) | (None, None, None) => Ok(Numbers::Plain),
            (None, None, Some(either)) => Err(ImportError::Numbers {
                file: file.to_owned(),
                reason: format!("{either} may be a thousand times as much"),
            }),
        }
    }
}

fn evidence(number: &str) -> Evidence {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.strip_prefix('-').unwrap_or(number);
    match (number.rfind(','), number.rfind('.')) {
        (None, None) => Evidence::Nothing,
        (Some(comma), Some(dot)) if comma > dot => Evidence::Brazilian,
        (Some(_), Some(_)) => Evidence::Plain,
        // 1,5 is Brazilian; nobody writes whole thousands as 1,234 beside plain decimals without a dot somewhere.
        (Some(_), None) => Evidence::Brazilian,
        (None, Some(_)) => {
            let parts: Vec<&str> = number.split('.').collect();
            let grouped = parts[0].len() <= 3 && parts[1..].iter().all(|part| part.len() == 3);
            match parts.len() {
                _ if !parts.iter().all(|part| digits(part)) => Evidence::Nothing,
                2 if grouped && parts[0] != "0" => Evidence::Either,
                2 => Evidence::Plain,
                _ if grouped => Evidence::Brazilian,
                _ => Evidence::Nothing,
            }
        }
    }
}

/// Without blanks and the sign of the currency.
fn strip(cell: &str) -> &str {
    let cell = cell.trim_matches(|c: char| c.is_whitespace());
    let cell = cell.strip_prefix("R$").unwrap_or(cell);
    cell.trim_start_matches(|c: char| c.is_whitespace())
}

/// The number as JSON writes it; none if it is no number of this form.
pub(super) fn number(cell: &str, numbers: Numbers) -> Option<String> {
    let text = strip(cell);
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (thousands, point) = match numbers {
        Numbers::Plain => (',', '.'),
        Numbers::Brazilian => ('.', ','),
    };
    let (whole, fraction) = match text.split_once(point) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let groups: Vec<&str> = whole.split(thousands).collect();
    let is_grouped =
        groups.len() > 1 && (1..=3).contains(&groups[0].len()) && groups[1..].iter().all(|group| group.len() == 3);
    if !groups.iter().all(|group| is_digits(group)) || (groups.len() > 1 && !is_grouped) {
        return None;
    }
    if fraction.is_some_and(|fraction| !is_digits(fraction)) {
        return None;
    }
    // JSON allows no leading zeros.
    let whole = groups.concat();
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(match fraction {
        Some(fraction) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{whole}"),
    })
}

/// The time as RFC 3339 writes it, local where the cell has no offset: a date alone is its first moment. Days come before months
/// where the year is last.
pub(super) fn time(cell: &str) -> Option<String> {
    let cell = cell.trim();
    let (date, clock) = match cell.find(['T', 't', ' ']) {
        Some(at) => (&cell[..at], cell[at + 1..].trim()),
        None => (cell, ""),
    };
    let date = date_of(date)?;
    let (clock, offset) = match clock.find(['Z', 'z', '+', '-']) {
        Some(at) => (clock[..at].trim(), &clock[at..]),
        None => (clock, ""),
    };
    let clock = match clock.len() {
        0 => "00:00:00".to_owned(),
        4 | 7 if clock.as_bytes().get(1) == Some(&b':') => complete(&format!("0{clock}")),
        _ => complete(clock),
    };
    Some(format!("{date}T{clock}{offset}"))
}

/// `19:16` is `19:16:00`.
fn complete(clock: &str) -> String {
    if clock.len() == 5 { format!("{clock}:00") } else { clock.to_owned() }
}

fn date_of(date: &str) -> Option<String> {
    let parts: Vec<&str> = date.split(['/', '-', '.']).collect();
    let [first, month, last] = parts.as_slice() else { return None };
    if !parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let (year, day) = if first.len() == 4 { (first, last) } else { (last, first) };
    let fits = year.len() == 4 && (1..=2).contains(&month.len()) && (1..=2).contains(&day.len());
    fits.then(|| format!("{year}-{month:0>2}-{day:0>2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_forms() {
        let cases = [
            ("1.234,56", Numbers::Brazilian, Some("1234.56")),
            (" R$ 1.234.567,8 ", Numbers::Brazilian, Some("1234567.8")),
            ("R$\u{a0}10", Numbers::Brazilian, Some("10")),
            ("-0,50", Numbers::Brazilian, Some("-0.50")),
            ("1.50", Numbers::Brazilian, None),
            ("12.34,5", Numbers::Brazilian, None),
            (",5", Numbers::Brazilian, None),
            ("1,234.56", Numbers::Plain, Some("1234.56")),
            ("0010.5", Numbers::Plain, Some("10.5")),
            ("1.234,56", Numbers::Plain, None),
            ("dez", Numbers::Plain, None),
            ("", Numbers::Plain, None),
        ];
        for (cell, numbers, expected) in cases {
            assert_eq!(number(cell, numbers).as_deref(), expected, "{cell} as {numbers:?}");
        }
    }

    #[test]
    fn a_file_says_how_it_writes_numbers() {
        let decide = |cells: &[&str]| {
            let mut forms = NumberForms::default();
            cells.iter().for_each(|cell| forms.see(cell));
            forms.decide("a.csv").map_err(|error| error.to_string())
        };
        assert_eq!(decide(&["12", "1.234,56", "1.234"]), Ok(Numbers::Brazilian));
        assert_eq!(decide(&["1.234.567"]), Ok(Numbers::Brazilian));
        assert_eq!(decide(&["12", "1234.5", "1.234"]), Ok(Numbers::Plain));
        assert_eq!(decide(&["0.125"]), Ok(Numbers::Plain));
        assert_eq!(decide(&["12", ""]), Ok(Numbers::Plain));
        let ambiguous = decide(&["12", "1.234"]).expect_err("ambiguous");
        assert!(ambiguous.contains("1.234") && ambiguous.contains("--numbers"), "{ambiguous}");
        let mixed = decide(&["1,5", "1.5"]).expect_err("mixed");
        assert!(mixed.contains("1,5") && mixed.contains("1.5"), "{mixed}");
    }

    #[test]
    fn dates_and_times() {
        let cases = [
            ("31/12/2025", Some("2025-12-31T00:00:00")),
            ("1/2/2025 9:05", Some("2025-02-01T09:05:00")),
            ("31-12-2025 23:59:58", Some("2025-12-31T23:59:58")),
            ("2025-12-31", Some("2025-12-31T00:00:00")),
            ("2025-12-31 10:00", Some("2025-12-31T10:00:00")),
            ("2025-12-31T10:00:00.5-03:00", Some("2025-12-31T10:00:00.5-03:00")),
            ("2025-12-31T10:00:00Z", Some("2025-12-31T10:00:00Z")),
            ("amanhã", None),
            ("31/12/25", None),
            ("", None),
        ];
        for (cell, expected) in cases {
            assert_eq!(time(cell).as_deref(), expected, "{cell}");
        }
    }
}
