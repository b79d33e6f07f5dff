//! How people write numbers: thousands, decimals, currencies, what is owed.

use std::borrow::Cow;

use super::Numbers;

/// Places that an exponent may move the point by.
const EXPONENT_MAX: i32 = 30;

/// A number that somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::import) struct Amount {
    /// As JSON writes it, without an exponent.
    pub(in crate::import) number: String,
    /// The sign or code of the currency that stands with it.
    pub(in crate::import) currency: Option<String>,
}

/// What the cell says in this form; none if it is not a number of this form.
pub(in crate::import) fn read(cell: &str, numbers: Numbers) -> Option<Amount> {
    if let Some(number) = digits(cell) {
        return Some(Amount { number: number.to_owned(), currency: None });
    }
    let Core { is_negative, digits, currency } = core(cell)?;
    let number = parse(&digits, numbers)?;
    let number = if is_negative { format!("-{number}") } else { number };
    Some(Amount { number, currency })
}

/// Whether a number stands with a dollar sign alone, which does not say whose.
pub(super) fn is_in_dollars(cell: &str) -> bool {
    core(cell).is_some_and(|core| core.currency.as_deref() == Some("$"))
}

/// What a cell tells of the form of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::import) enum Evidence {
    Only(Numbers),
    /// `1.234` is one thousand and more, or one and a bit; `1,234` likewise.
    Either,
    /// A word, or a number that is the same in each form.
    Nothing,
}

pub(in crate::import) fn evidence(cell: &str) -> Evidence {
    if !cell.bytes().any(|byte| byte == b'.' || byte == b',') {
        return Evidence::Nothing;
    }
    let Some(core) = core(cell) else { return Evidence::Nothing };
    match (parse(&core.digits, Numbers::Plain), parse(&core.digits, Numbers::Brazilian)) {
        (Some(plain), Some(brazilian)) if plain != brazilian => Evidence::Either,
        (Some(_), None) => Evidence::Only(Numbers::Plain),
        (None, Some(_)) => Evidence::Only(Numbers::Brazilian),
        _ => Evidence::Nothing,
    }
}

/// A cell of digits alone, without zeros in front.
fn digits(cell: &str) -> Option<&str> {
    let is_plain = cell.bytes().all(|byte| byte.is_ascii_digit()) && !cell.is_empty();
    (is_plain && (cell.len() == 1 || !cell.starts_with('0'))).then_some(cell)
}

/// Words for pieces that some write behind a count, in Portuguese, Spanish and English.
const UNITS: &[&str] = &[
    "un",
    "und",
    "unds",
    "unid",
    "unids",
    "unidade",
    "unidades",
    "pc",
    "pcs",
    "p\u{e7}",
    "p\u{e7}s",
    "pe\u{e7}a",
    "pe\u{e7}as",
    "peca",
    "pecas",
    "ud",
    "uds",
    "unidad",
    "pza",
    "pzas",
    "pieza",
    "piezas",
    "unit",
    "units",
    "piece",
    "pieces",
    "x",
];

/// A count without its unit: 2 of `2 und.`
pub(in crate::import) fn without_unit(cell: &str) -> &str {
    let text = cell.trim_end_matches([' ', '.']);
    let number = text.trim_end_matches(char::is_alphabetic);
    let is_unit = number.len() < text.len() && UNITS.contains(&text[number.len()..].to_lowercase().as_str());
    let number = number.trim_end();
    if is_unit && number.ends_with(|last: char| last.is_ascii_digit()) { number } else { cell }
}

/// A cell without what is around its digits.
struct Core<'a> {
    is_negative: bool,
    digits: Cow<'a, str>,
    currency: Option<String>,
}

fn core(cell: &str) -> Option<Core<'_>> {
    let mut text = cell.trim();
    let mut is_negative = false;
    if let Some(inner) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        // So do accountants.
        (text, is_negative) = (inner.trim(), true);
    }
    let mut signs = 0;
    let mut before = String::new();
    let mut after = String::new();
    // A sign may stand before the currency or behind it.
    loop {
        text = text.trim();
        let first = text.chars().next()?;
        match first {
            '-' | '\u{2212}' => (signs, is_negative) = (signs + 1, true),
            '+' => signs += 1,
            _ if first.is_ascii_digit() => break,
            _ if is_currency(first) || (before.is_empty() && first.is_ascii_alphabetic()) => {
                let end = text.find(|c: char| !is_currency(c) && !c.is_ascii_alphabetic()).unwrap_or(text.len());
                before.push_str(&text[..end]);
                text = &text[end..];
                continue;
            }
            _ => return None,
        }
        text = &text[first.len_utf8()..];
    }
    loop {
        text = text.trim();
        let last = text.chars().next_back()?;
        match last {
            '-' | '\u{2212}' => (signs, is_negative) = (signs + 1, true),
            _ if last.is_ascii_digit() => break,
            _ if is_currency(last) || last.is_ascii_alphabetic() => {
                let start = text.rfind(|c: char| !is_currency(c) && !c.is_ascii_alphabetic())?;
                let start = start + text[start..].chars().next().map_or(0, char::len_utf8);
                after.insert_str(0, &text[start..]);
                text = &text[..start];
                continue;
            }
            _ => return None,
        }
        text = &text[..text.len() - last.len_utf8()];
    }
    if signs > 1 || (!before.is_empty() && !after.is_empty()) {
        return None;
    }
    let currency = if before.is_empty() { after } else { before };
    let digits = match text.bytes().all(|byte| byte.is_ascii()) {
        true => Cow::Borrowed(text),
        // Blanks that do not break, thin ones and curved apostrophes.
        false => Cow::Owned(
            text.chars()
                .map(|c| match c {
                    '\u{2019}' => '\'',
                    c if c.is_whitespace() => ' ',
                    c => c,
                })
                .collect(),
        ),
    };
    Some(Core { is_negative, digits, currency: (!currency.is_empty()).then_some(currency) })
}

fn is_currency(character: char) -> bool {
    character == '$'
        || ('\u{20a0}'..='\u{20cf}').contains(&character)
        || ['\u{a3}', '\u{a5}', '\u{a2}'].contains(&character)
}

/// Digits with thousands, decimals and an exponent, as JSON writes the number.
fn parse(text: &str, numbers: Numbers) -> Option<String> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(text[at + 1..].parse::<i32>().ok().filter(|e| e.abs() <= EXPONENT_MAX)?)),
        None => (text, None),
    };
    let (thousands, point) = match numbers {
        Numbers::Plain => (',', '.'),
        Numbers::Brazilian => ('.', ','),
    };
    let (whole, fraction) = match mantissa.split_once(point) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.is_some_and(|fraction| !is_digits(fraction)) {
        return None;
    }
    let whole = match whole.chars().find(|c| !c.is_ascii_digit()) {
        None => Cow::Borrowed(whole),
        Some(between) if [thousands, ' ', '\''].contains(&between) && exponent.is_none() => {
            let groups: Vec<&str> = whole.split(between).collect();
            let is_first = (1..=3).contains(&groups[0].len()) && !groups[0].starts_with('0');
            let are_groups = is_first && groups[1..].iter().all(|group| group.len() == 3);
            if !(are_groups || (between == ',' && is_first && are_indian(&groups)))
                || !groups.iter().all(|group| is_digits(group))
            {
                return None;
            }
            Cow::Owned(groups.concat())
        }
        Some(_) => return None,
    };
    if !is_digits(&whole) {
        return None;
    }
    let number = match exponent {
        None => plain(&whole, fraction),
        Some(exponent) => {
            let digits = format!("{whole}{}", fraction.unwrap_or_default());
            let point = i32::try_from(whole.len()).ok()? + exponent;
            let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
            let length = i32::try_from(digits.len()).ok()?;
            let padded = format!("{}{digits}{}", zeros(1 - point), zeros(point - length));
            let point = usize::try_from(point.max(1)).ok()?;
            plain(&padded[..point], padded.get(point..).filter(|fraction| !fraction.is_empty()))
        }
    };
    Some(number)
}

/// `12,34,567`: lakhs and crores.
fn are_indian(groups: &[&str]) -> bool {
    match groups {
        [first, between @ .., last] if !between.is_empty() => {
            first.len() <= 2 && last.len() == 3 && between.iter().all(|group| group.len() == 2)
        }
        _ => false,
    }
}

/// JSON allows no zeros in front.
fn plain(whole: &str, fraction: Option<&str>) -> String {
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    match fraction {
        Some(fraction) => format!("{whole}.{fraction}"),
        None => whole.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(cell: &str, numbers: Numbers) -> Option<String> {
        read(cell, numbers).map(|amount| amount.number)
    }

    #[test]
    fn lakhs_and_crores_are_thousands_too() {
        let plain = |cell| number(cell, Numbers::Plain);
        assert_eq!(plain("1,23,456.00").as_deref(), Some("123456.00"));
        assert_eq!(plain("12,34,56,789").as_deref(), Some("123456789"));
        for cell in ["1,23", "123,45,678", "1,2,345", "1,23,45"] {
            assert_eq!(plain(cell), None, "{cell}");
        }
        assert_eq!(number("1,23,456", Numbers::Brazilian), None);
    }

    #[test]
    fn numbers_of_both_forms() {
        let cases = [
            ("1.234,56", Numbers::Brazilian, Some("1234.56")),
            (" R$ 1.234.567,8 ", Numbers::Brazilian, Some("1234567.8")),
            ("R$\u{a0}10", Numbers::Brazilian, Some("10")),
            ("-0,50", Numbers::Brazilian, Some("-0.50")),
            ("1\u{a0}234,56", Numbers::Brazilian, Some("1234.56")),
            ("1.50", Numbers::Brazilian, None),
            ("12.34,5", Numbers::Brazilian, None),
            ("0.125", Numbers::Brazilian, None),
            (",5", Numbers::Brazilian, None),
            ("1,5E+3", Numbers::Brazilian, Some("1500")),
            ("1,234.56", Numbers::Plain, Some("1234.56")),
            ("1,250,000", Numbers::Plain, Some("1250000")),
            ("1 234.56", Numbers::Plain, Some("1234.56")),
            ("1\u{202f}234.56", Numbers::Plain, Some("1234.56")),
            ("1'234'567.5", Numbers::Plain, Some("1234567.5")),
            ("1\u{2019}234.50", Numbers::Plain, Some("1234.50")),
            ("0010.5", Numbers::Plain, Some("10.5")),
            ("+7.00", Numbers::Plain, Some("7.00")),
            ("-0.00", Numbers::Plain, Some("-0.00")),
            ("(12.50)", Numbers::Plain, Some("-12.50")),
            ("12.50-", Numbers::Plain, Some("-12.50")),
            ("\u{2212}12.50", Numbers::Plain, Some("-12.50")),
            ("$ -12.50", Numbers::Plain, Some("-12.50")),
            ("1e3", Numbers::Plain, Some("1000")),
            ("1.25E-1", Numbers::Plain, Some("0.125")),
            ("12.5e1", Numbers::Plain, Some("125")),
            ("1.234,56", Numbers::Plain, None),
            ("1,2345", Numbers::Plain, None),
            ("1,00,000.00", Numbers::Plain, Some("100000.00")),
            ("1,00,00.00", Numbers::Plain, None),
            ("1, 234", Numbers::Plain, None),
            ("10.", Numbers::Plain, None),
            (".50", Numbers::Plain, None),
            ("10%", Numbers::Plain, None),
            ("--5", Numbers::Plain, None),
            ("1e999", Numbers::Plain, None),
            ("10 / 20", Numbers::Plain, None),
            ("dez", Numbers::Plain, None),
            ("R$", Numbers::Plain, None),
            ("", Numbers::Plain, None),
        ];
        for (cell, numbers, expected) in cases {
            assert_eq!(number(cell, numbers).as_deref(), expected, "{cell} as {numbers:?}");
        }
    }

    #[test]
    fn the_currency_that_stands_with_a_number() {
        let currency = |cell: &str| read(cell, Numbers::Plain).map(|amount| amount.currency.unwrap_or_default());
        let cases = [
            ("$1,234.56", Some("$")),
            ("US$ 99.00", Some("US$")),
            ("R$-5.00", Some("R$")),
            ("12.50 USD", Some("USD")),
            ("BRL 10", Some("BRL")),
            ("\u{20ac}10", Some("\u{20ac}")),
            ("10 \u{a3}", Some("\u{a3}")),
            ("10.00", Some("")),
            ("$ 10 USD", None),
        ];
        for (cell, expected) in cases {
            assert_eq!(currency(cell).as_deref(), expected, "{cell}");
        }
    }

    #[test]
    fn what_a_cell_tells_of_its_column() {
        let cases = [
            ("1.234", Evidence::Either),
            ("1,234", Evidence::Either),
            ("R$ 1.500", Evidence::Either),
            ("1,250,000", Evidence::Only(Numbers::Plain)),
            ("1.250.000", Evidence::Only(Numbers::Brazilian)),
            ("12,500.00", Evidence::Only(Numbers::Plain)),
            ("12.5", Evidence::Only(Numbers::Plain)),
            ("0,125", Evidence::Only(Numbers::Brazilian)),
            ("12,5", Evidence::Only(Numbers::Brazilian)),
            ("12", Evidence::Nothing),
            ("a combinar, ver obs.", Evidence::Nothing),
            ("14.05.2025", Evidence::Nothing),
        ];
        for (cell, expected) in cases {
            assert_eq!(evidence(cell), expected, "{cell}");
        }
    }

    #[test]
    fn pieces_are_no_part_of_a_count() {
        for (cell, count) in [("2 und", "2"), ("3 pcs.", "3"), ("1x", "1"), ("1.000 p\u{e7}s", "1.000"), ("4 UN ", "4")]
        {
            assert_eq!(without_unit(cell), count, "{cell}");
        }
        for cell in ["2", "2 kgs", "2 USD", "un", "2.", "x 2", ""] {
            assert_eq!(without_unit(cell), cell, "{cell}");
        }
    }
}
