//! PostgreSQL's binary form of `numeric`: digits of base 10,000, exact at any length.

use bytes::{Buf, BufMut, BytesMut};

const DIGIT: usize = 4;
const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xC000;

/// Writes a number that is given as a plain decimal text.
pub(crate) fn write(text: &str, out: &mut BytesMut) {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (NEGATIVE, rest),
        None => (0, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.trim_start_matches('0');
    let missing = (DIGIT - whole.len() % DIGIT) % DIGIT;
    let groups_before = (whole.len() + missing) / DIGIT;
    let padded_fraction = fraction.len().div_ceil(DIGIT) * DIGIT;
    let all = std::iter::repeat_n(b'0', missing)
        .chain(whole.bytes())
        .chain(fraction.bytes())
        .chain(std::iter::repeat_n(b'0', padded_fraction - fraction.len()));
    let bytes: Vec<u8> = all.collect();
    let value = |group: &[u8]| group.iter().fold(0_i16, |value, byte| value * 10 + i16::from(byte - b'0'));
    let digits: Vec<i16> = bytes.chunks(DIGIT).map(value).collect();
    let first = digits.iter().position(|digit| *digit != 0);
    let last = digits.iter().rposition(|digit| *digit != 0);
    let (digits, skipped) = match (first, last) {
        (Some(first), Some(last)) => (&digits[first..=last], first),
        _ => (&[][..], 0),
    };
    let weight = if digits.is_empty() { 0 } else { count(groups_before) - 1 - count(skipped) };
    out.put_i16(count(digits.len()));
    out.put_i16(weight);
    out.put_u16(if digits.is_empty() { 0 } else { sign });
    out.put_i16(count(fraction.len()));
    for digit in digits {
        out.put_i16(*digit);
    }
}

/// The number as a plain decimal text; none if these are not the bytes of one.
pub(crate) fn read(mut bytes: &[u8]) -> Option<String> {
    if bytes.len() < 8 {
        return None;
    }
    let (count, weight) = (bytes.get_i16(), bytes.get_i16());
    let (sign, scale) = (bytes.get_u16(), usize::from(bytes.get_u16()));
    if sign == NOT_A_NUMBER {
        return Some("NaN".to_owned());
    }
    let count = usize::try_from(count).ok()?;
    if bytes.len() != count * 2 {
        return None;
    }
    let digits: Vec<i16> = (0..count).map(|_| bytes.get_i16()).collect();
    // As many places as any decimal has, and some: the rest is zeros.
    if !(-64..=64).contains(&weight) || scale > 128 || digits.iter().any(|digit| !(0..10_000).contains(digit)) {
        return None;
    }
    let group = |place: i16| {
        let index = usize::try_from(weight - place).ok();
        index.and_then(|index| digits.get(index)).copied().unwrap_or(0)
    };
    let whole: String = (0..=weight.max(0)).rev().map(|place| format!("{:04}", group(place))).collect();
    let places = i16::try_from(scale.div_ceil(DIGIT)).ok()?;
    let fraction: String = (1..=places).map(|place| format!("{:04}", group(-place))).collect();
    let whole = whole.trim_start_matches('0');
    let minus = if sign == NEGATIVE { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if scale == 0 { format!("{minus}{whole}") } else { format!("{minus}{whole}.{}", &fraction[..scale]) })
}

fn count(length: usize) -> i16 {
    i16::try_from(length).unwrap_or(i16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_there_and_back_exactly() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "10000",
            "123456789.000100",
            "-0.0001",
            "0.00001",
            "99999999999999999999999999999999999999",
            "-9999999999999999999.9999999999999999999",
        ] {
            let mut bytes = BytesMut::new();
            write(text, &mut bytes);
            assert_eq!(read(&bytes).as_deref(), Some(text));
        }
    }

    #[test]
    fn the_bytes_are_those_of_postgresql() {
        let mut bytes = BytesMut::new();
        write("12345.678", &mut bytes);
        // Digits 1, 2345, 6780; weight 1; three places.
        assert_eq!(&bytes[..], [0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 9, 41, 26, 124]);
        assert_eq!(read(&[0, 1]), None);
        assert_eq!(read(&[0, 9, 0, 1, 0, 0, 0, 3]), None);
    }
}
