//! What a text must be to be a column's value, whether a message has it or a `DEFAULT` gives it.

use std::borrow::Cow;

use crate::event_id;
use crate::topic::{Column, ColumnKind};
use crate::verdict::Reason;

/// Of a text with more bytes than its column holds.
pub const TOO_LONG: (Reason, &str) = (Reason::Size, "is longer than its column allows");
/// Of a text with a character that no database stores.
pub const HOLDS_ZERO: (Reason, &str) = (Reason::Value, "holds the zero character, which databases refuse");
/// Of a text in a column of currencies.
pub const NOT_A_CURRENCY: (Reason, &str) = (Reason::Value, "is not a currency of three letters, such as USD");

/// Whether a text is as good as absent: empty, or nothing but blanks.
#[cold]
pub fn is_blank(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.trim().is_empty())
}

/// Three letters in upper case, blanks around them left out.
#[inline(always)]
pub fn currency(text: &[u8]) -> Option<[u8; 3]> {
    let code: [u8; 3] = match text.try_into() {
        Ok(code) => code,
        Err(_) => std::str::from_utf8(text).ok()?.trim().as_bytes().try_into().ok()?,
    };
    code.iter().all(u8::is_ascii_alphabetic).then(|| code.map(|letter| letter.to_ascii_uppercase()))
}

/// The value that a column of texts has of a text, none where that is as good as absent, or what is
/// wrong with it.
pub fn value<'a>(
    text: &'a str,
    column: &Column,
    is_event_id: bool,
) -> Result<Option<Cow<'a, str>>, (Reason, &'static str)> {
    if is_blank(text.as_bytes()) || (is_event_id && event_id::is_none(text.as_bytes())) {
        return Ok(None);
    }
    if column.kind == ColumnKind::Currency {
        let code = currency(text.as_bytes()).ok_or(NOT_A_CURRENCY)?;
        return Ok(Some(code.into_iter().map(char::from).collect()));
    }
    if text.contains('\0') {
        return Err(HOLDS_ZERO);
    }
    if text.len() > column.bytes_max {
        return Err(TOO_LONG);
    }
    Ok(Some(Cow::Borrowed(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_held_to_its_column() {
        let short = Column { bytes_max: 3, ..Column::new("uf", ColumnKind::Text) };
        let currency = Column::new("moeda", ColumnKind::Currency);
        let of = |text: &'static str, column: &Column| {
            value(text, column, false).map(|value| value.map(Cow::into_owned)).map_err(|(reason, _)| reason)
        };
        assert_eq!(of("abc", &short), Ok(Some("abc".to_owned())));
        assert_eq!(of("abcd", &short), Err(Reason::Size));
        assert_eq!(of("a\0", &short), Err(Reason::Value));
        assert_eq!(of(" \t", &short), Ok(None));
        assert_eq!(of(" usd", &currency), Ok(Some("USD".to_owned())));
        assert_eq!(of("brasil", &currency), Err(Reason::Value));
        assert_eq!(of("", &currency), Ok(None));
        let id = Column::new("id", ColumnKind::Text);
        assert_eq!(value("null", &id, true), Ok(None));
        assert!(value("null", &id, false).is_ok_and(|value| value.is_some()));
    }
}
