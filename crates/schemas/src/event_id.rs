//! Texts that programs and people write where an event has no id.

/// Longer than any word of them, blanks around it included.
const BYTES_MAX: usize = 16;
/// As languages, formats and spreadsheets print what is not there, and as people fill in a cell
/// that must not be empty.
const NONE: [&[u8]; 19] = [
    b"0",
    b"-",
    b"--",
    b"0.0",
    b"-0",
    b"null",
    b"undefined",
    b"nan",
    b"none",
    b"nil",
    b"(null)",
    b"<nil>",
    b"<na>",
    b"na",
    b"n/a",
    b"n/d",
    b"#n/a",
    b"#n/d",
    b"\\n",
];
/// Zeros of the nil UUID.
const NIL_DIGITS: usize = 32;
/// With its hyphens, braces and some blanks.
const NIL_BYTES_MAX: usize = 48;

/// Whether a text is not an id but says, in whatever case, that there is none: all events with it
/// would be taken for one.
#[inline]
pub fn is_none(text: &[u8]) -> bool {
    match text.len() {
        ..=BYTES_MAX => says_none(text),
        // Most ids of this length differ from the nil UUID in their first byte.
        NIL_DIGITS..=NIL_BYTES_MAX => matches!(text[0], b'0' | b'{' | b' ' | b'\t' | b'\n' | b'\r') && is_nil(text),
        _ => false,
    }
}

fn says_none(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.is_empty() || NONE.iter().any(|none| text.len() == none.len() && text.eq_ignore_ascii_case(none))
}

/// `00000000-0000-0000-0000-000000000000`, also in braces, or without hyphens.
fn is_nil(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.iter().filter(|byte| **byte == b'0').count() == NIL_DIGITS
        && text.iter().all(|byte| matches!(byte, b'0' | b'-' | b'{' | b'}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_nothing_are_no_ids() {
        for text in [
            "",
            "  ",
            "null",
            "NULL",
            "undefined",
            "Undefined",
            "NaN",
            "None",
            " none ",
            "nil",
            "<nil>",
            "(null)",
            "0",
            " 0 ",
            "0.0",
            "-",
            "--",
            "N/A",
            "n/a",
            "NA",
            "<NA>",
            "#N/A",
            "#N/D",
            "n/d",
            "\\N",
        ] {
            assert!(is_none(text.as_bytes()), "{text}");
        }
        for text in [
            "null-1",
            "nullify",
            "none of these",
            "e1",
            "nan0",
            "\u{e9}",
            "1",
            "00",
            "0-1",
            "-1",
            "#N",
            "nd-1",
            "x",
            "---x",
            "0000000000000001",
            "a/n",
        ] {
            assert!(!is_none(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn the_nil_uuid_is_no_id() {
        let nil = "00000000-0000-0000-0000-000000000000";
        for text in [nil.to_owned(), nil.replace('-', ""), format!("{{{nil}}}"), format!(" {nil} ")] {
            assert!(is_none(text.as_bytes()), "{text}");
        }
        for text in
            [nil.replace("000-", "001-"), format!("{nil}0"), "0".repeat(33), nil.replace('0', "a"), "-".repeat(36)]
        {
            assert!(!is_none(text.as_bytes()), "{text}");
        }
    }
}
