//! Texts that programs write where an event has no id.

/// Longer than any of them, blanks around it included.
const BYTES_MAX: usize = 16;
/// As languages and formats print what is not there.
const NONE: [&[u8]; 7] = [b"null", b"undefined", b"nan", b"none", b"nil", b"(null)", b"<nil>"];

/// Whether a text is not an id but says, in whatever case, that there is none: all events with it would be taken for one.
#[inline]
pub fn is_none(text: &[u8]) -> bool {
    text.len() <= BYTES_MAX && says_none(text)
}

fn says_none(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.is_empty() || NONE.iter().any(|none| text.eq_ignore_ascii_case(none))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_nothing_are_no_ids() {
        for text in ["", "  ", "null", "NULL", "undefined", "NaN", "None", " none ", "nil", "<nil>", "(null)"] {
            assert!(is_none(text.as_bytes()), "{text}");
        }
        for text in ["0", "null-1", "nullify", "none of these", "e1", "nan0", "\u{e9}"] {
            assert!(!is_none(text.as_bytes()), "{text}");
        }
    }
}
