//! Decimal numbers, exactly: from their text to a scaled integer, never through a float.

/// Powers of ten that fit 64 bits.
const POWERS: [i64; 19] = {
    let mut powers = [1; 19];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// A value has at most as many decimals as the column: never rounded.
pub(super) const DECIMALS: &str = "has more decimals than the column";
pub(super) const RANGE: &str = "is out of range";
pub(super) const NO_NUMBER: &str = "is not a plain decimal number";

/// The number times ten to the power of `scale`, if that is an integer of at most `digits_max` (up
/// to 38) digits. `text` is a number in JSON's grammar; a string's content is checked first by
/// `Scanner::is_number`.
#[inline(always)]
pub(super) fn scaled(text: &[u8], scale: i8, digits_max: u8) -> Result<i128, &'static str> {
    match short(text, scale) {
        Some(value) if POWERS.get(usize::from(digits_max)).is_none_or(|&power| value.abs() < power) => Ok(value.into()),
        Some(_) => Err(RANGE),
        None => long(text, scale, digits_max),
    }
}

/// The usual case: up to 18 digits with the scaling, no exponent, no more decimals than the scale.
#[inline(always)]
fn short(bytes: &[u8], scale: i8) -> Option<i64> {
    let (negative, digits) = sign(bytes);
    if digits.len() > 19 {
        return None;
    }
    let mut value = 0_i64;
    let mut point = None;
    for (index, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            // 19 digits without a point may overflow; they are refused below.
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        } else if byte == b'.' {
            point = Some(index);
        } else {
            return None;
        }
    }
    let decimals = point.map_or(0, |point| digits.len() - 1 - point);
    let count = digits.len() - usize::from(point.is_some());
    let shift = usize::try_from(scale).ok()?.checked_sub(decimals)?;
    if count + shift > 18 {
        return None;
    }
    let value = value * POWERS[shift];
    Some(if negative { -value } else { value })
}

/// Any length, any exponent: counts digits and places, and computes only what fits.
fn long(text: &[u8], scale: i8, digits_max: u8) -> Result<i128, &'static str> {
    let (negative, text) = sign(text);
    let mut parts = text.splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut parts = mantissa.splitn(2, |&byte| byte == b'.');
    let (integer, fraction) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let digits = || integer.iter().chain(fraction);
    let leading_zeros = digits().take_while(|&&digit| digit == b'0').count();
    let all = integer.len() + fraction.len();
    if leading_zeros == all {
        return Ok(0);
    }
    let trailing_zeros = digits().rev().take_while(|&&digit| digit == b'0').count();
    let significant = all - leading_zeros - trailing_zeros;
    // Where the last significant digit stands, as a power of ten.
    let places = i128::from(trailing_zeros as u64) - i128::from(fraction.len() as u64) + power(exponent);
    let shift = places + i128::from(scale);
    if shift < 0 {
        return Err(DECIMALS);
    }
    if shift + i128::from(significant as u64) > i128::from(digits_max) {
        return Err(RANGE);
    }
    let value = digits()
        .skip(leading_zeros)
        .take(significant)
        .chain((0..shift).map(|_| &b'0'))
        .fold(0_i128, |value, &digit| value * 10 + i128::from(digit - b'0'));
    Ok(if negative { -value } else { value })
}

/// An exponent, held within bounds that no message's digits can bring back into range.
fn power(exponent: &[u8]) -> i128 {
    const BOUND: i128 = 1 << 100;
    let (negative, digits) = sign(exponent);
    let value = digits.iter().fold(0_i128, |value, digit| (value * 10 + i128::from(digit - b'0')).min(BOUND));
    if negative { -value } else { value }
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str, scale: i8, digits_max: u8) -> Result<i128, &'static str> {
        scaled(text.as_bytes(), scale, digits_max)
    }

    #[test]
    fn precision_and_scale_at_their_limits() {
        let nines = "9".repeat(38);
        assert_eq!(number(&nines, 0, 38), Ok(10_i128.pow(38) - 1));
        assert_eq!(number(&format!("-0.{nines}"), 38, 38), Ok(1 - 10_i128.pow(38)));
        assert_eq!(number(&format!("{nines}0"), 0, 38), Err(RANGE));
        assert_eq!(number("99.9", 1, 3), Ok(999));
        assert_eq!(number("100", 1, 3), Err(RANGE));
        assert_eq!(number("1200", -2, 5), Ok(12));
        assert_eq!(number("1250", -2, 5), Err(DECIMALS));
        assert_eq!(number("0.000", -2, 5), Ok(0));
    }

    #[test]
    fn exponents_beyond_all_bounds() {
        let huge = "9".repeat(1_000);
        assert_eq!(number(&format!("1e{huge}"), 2, 18), Err(RANGE));
        assert_eq!(number(&format!("1e-{huge}"), 2, 18), Err(DECIMALS));
        assert_eq!(number(&format!("0.0e{huge}"), 2, 18), Ok(0));
        assert_eq!(number(&format!("0.{}1e1001", "0".repeat(1_000)), 2, 18), Ok(100));
        assert_eq!(number(&format!("1{}e-1000", "0".repeat(1_000)), 2, 18), Ok(100));
    }

    proptest! {
        #[test]
        fn decimals_come_back(cents in -(10_i64.pow(18) - 1)..10_i64.pow(18), zeros in 0..40_usize) {
            let (sign, digits) = (if cents < 0 { "-" } else { "" }, format!("{:03}", cents.unsigned_abs()));
            let (integer, fraction) = digits.split_at(digits.len() - 2);
            let (length, gap) = (digits.len() + zeros, "0".repeat(zeros));
            for text in [
                format!("{sign}{integer}.{fraction}{gap}"),
                format!("{sign}{digits}{gap}e-{}", zeros + 2),
                format!("{sign}0.{gap}{digits}E+{}", length - 2),
            ] {
                prop_assert_eq!(number(&text, 2, 18), Ok(i128::from(cents)), "{}", text);
            }
        }

        #[test]
        fn short_and_long_agree(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?", scale in -3..20_i8, digits_max in 1..=38_u8) {
            prop_assert_eq!(number(&text, scale, digits_max), long(text.as_bytes(), scale, digits_max));
        }
    }
}
