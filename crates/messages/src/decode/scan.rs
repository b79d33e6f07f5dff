//! JSON text, scanned once and fully checked (RFC 8259), without a copy and without recursion.
//!
//! Written by hand because numbers must stay text, nesting must be bounded also where a value is
//! skipped, and the bytes between two values can be predicted. The tests compare what it accepts
//! with serde_json.

use super::NESTING_MAX;

const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES * 0x80;

/// Why a text is not JSON, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub at: usize,
    pub what: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The field is absent, or null.
    Absent,
    True,
    False,
    Number,
    /// A string without escapes.
    Text,
    /// A string with escapes, for [`unescape`].
    Escaped,
    Array,
    Object,
}

/// A checked value and its text; a string's is without the quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    pub kind: Kind,
    pub text: &'a [u8],
}

impl Raw<'_> {
    pub const ABSENT: Self = Self { kind: Kind::Absent, text: b"" };
}

/// Where the scan of a text stands. What is rare lives in functions that take and give positions: a
/// scanner that no call can see stays in registers.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    #[inline(always)]
    pub fn new(text: &'a [u8], at: usize) -> Self {
        Self { text, at }
    }

    #[inline(always)]
    pub fn at(&self) -> usize {
        self.at
    }

    #[inline(always)]
    pub fn jump(&mut self, at: usize) {
        self.at = at;
    }

    /// The next byte; 0, which no JSON text holds, at the end.
    #[inline(always)]
    pub fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// What is left to scan.
    #[inline(always)]
    pub fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    #[inline(always)]
    pub fn whitespace(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    pub fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }

    #[inline(always)]
    pub fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        if self.peek() != byte {
            return Err(self.fault(what));
        }
        self.at += 1;
        Ok(())
    }

    pub fn end(&mut self) -> Result<(), Fault> {
        self.whitespace();
        if self.at < self.text.len() { Err(self.fault("more bytes after the object")) } else { Ok(()) }
    }

    /// A key, its colon, and the whitespace around; ends at the value.
    pub fn key(&mut self) -> Result<Raw<'a>, Fault> {
        self.whitespace();
        if self.peek() != b'"' {
            return Err(self.fault("expected a key"));
        }
        let key = self.string()?;
        self.whitespace();
        self.expect(b':', "expected ':'")?;
        self.whitespace();
        Ok(key)
    }

    /// The value that starts here.
    #[inline(always)]
    pub fn value(&mut self) -> Result<Raw<'a>, Fault> {
        let start = self.at;
        let kind = match self.peek() {
            b'"' => return self.string(),
            b'{' => {
                self.at = nested_end(self.text, start)?;
                Kind::Object
            }
            b'[' => {
                self.at = nested_end(self.text, start)?;
                Kind::Array
            }
            _ => self.scalar()?,
        };
        Ok(Raw { kind, text: &self.text[start..self.at] })
    }

    #[inline(always)]
    fn scalar(&mut self) -> Result<Kind, Fault> {
        match self.peek() {
            b'-' | b'0'..=b'9' => {
                self.at = number_end(self.text, self.at)?;
                Ok(Kind::Number)
            }
            b'n' => self.literal(b"null", Kind::Absent),
            b't' => self.literal(b"true", Kind::True),
            b'f' => self.literal(b"false", Kind::False),
            _ => Err(self.fault("expected a value")),
        }
    }

    fn literal(&mut self, text: &[u8], kind: Kind) -> Result<Kind, Fault> {
        if !self.rest().starts_with(text) {
            return Err(self.fault("expected a value"));
        }
        self.at += text.len();
        Ok(kind)
    }

    /// The string whose opening quote stands here.
    #[inline(always)]
    fn string(&mut self) -> Result<Raw<'a>, Fault> {
        let start = self.at + 1;
        let (end, ascii) = plain_end(self.text, start);
        self.at = end;
        let kind = if self.peek() == b'"' {
            if !ascii {
                utf8(self.text, start, end)?;
            }
            Kind::Text
        } else {
            self.at = escaped_end(self.text, start, end)?;
            Kind::Escaped
        };
        let text = &self.text[start..self.at];
        self.at += 1;
        Ok(Raw { kind, text })
    }
}

/// Where the bytes end that stand for themselves in a string: at a quote, a backslash, a control
/// character or the end of the text; and whether all are ASCII (if not, it may be the bytes right
/// behind). Eight bytes at a time: the strings of events are too short for wider registers to pay.
#[inline(always)]
fn plain_end(text: &[u8], mut at: usize) -> (usize, bool) {
    let mut seen = 0;
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*chunk);
        seen |= word;
        // The high bit of each byte below `limit`. Only bytes above a true hit can be hit falsely,
        // and the lowest hit is used.
        let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
        let quotes = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslashes = below(word ^ (ONES * u64::from(b'\\')), 1);
        let hits = (quotes | backslashes | below(word, 0x20)) & HIGHS;
        if hits != 0 {
            return (at + (hits.trailing_zeros() / 8) as usize, seen & HIGHS == 0);
        }
        at += 8;
    }
    while let Some(&byte) = text.get(at)
        && byte != b'"'
        && byte != b'\\'
        && byte >= 0x20
    {
        seen |= u64::from(byte);
        at += 1;
    }
    (at, seen & HIGHS == 0)
}

fn utf8(text: &[u8], start: usize, end: usize) -> Result<(), Fault> {
    match std::str::from_utf8(&text[start..end]) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault { at: start + error.valid_up_to(), what: "not UTF-8" }),
    }
}

/// Where the number ends that starts at `at`.
#[inline(always)]
pub(super) fn number_end(text: &[u8], mut at: usize) -> Result<usize, Fault> {
    let byte = |at: usize| text.get(at).copied().unwrap_or(0);
    let digits = |mut at: usize| {
        if !byte(at).is_ascii_digit() {
            return Err(Fault { at, what: "expected a digit" });
        }
        while byte(at).is_ascii_digit() {
            at += 1;
        }
        Ok(at)
    };
    at += usize::from(byte(at) == b'-');
    at = if byte(at) == b'0' { at + 1 } else { digits(at)? };
    if byte(at) == b'.' {
        at = digits(at + 1)?;
    }
    if matches!(byte(at), b'e' | b'E') {
        at += 1;
        at = digits(at + usize::from(matches!(byte(at), b'+' | b'-')))?;
    }
    Ok(at)
}

/// Where the closing quote stands of a string that starts at `start` and is plain up to `at`.
#[cold]
fn escaped_end(text: &[u8], start: usize, mut at: usize) -> Result<usize, Fault> {
    loop {
        match text.get(at) {
            Some(b'"') => break,
            Some(b'\\') => match escape(&text[at..]) {
                Ok((_, length)) => at += length,
                Err(what) => return Err(Fault { at, what }),
            },
            Some(_) => return Err(Fault { at, what: "a control character in a string" }),
            None => return Err(Fault { at, what: "an unterminated string" }),
        }
        (at, _) = plain_end(text, at);
    }
    utf8(text, start, at)?;
    Ok(at)
}

/// Where the array or object ends that starts at `start`. The open levels are the bits of a word,
/// innermost lowest, 1 for an object; the message's own object is the level above them.
#[cold]
fn nested_end(text: &[u8], start: usize) -> Result<usize, Fault> {
    let mut scanner = Scanner::new(text, start);
    let (mut open, mut depth) = (0_u64, 1);
    loop {
        match scanner.peek() {
            byte @ (b'{' | b'[') => {
                if depth == NESTING_MAX {
                    return Err(scanner.fault("nested deeper than 64 levels"));
                }
                (open, depth) = (open << 1 | u64::from(byte == b'{'), depth + 1);
                scanner.at += 1;
                scanner.whitespace();
                if scanner.peek() != if byte == b'{' { b'}' } else { b']' } {
                    if byte == b'{' {
                        scanner.key()?;
                    }
                    continue;
                }
            }
            b'"' => {
                scanner.string()?;
            }
            _ => {
                scanner.scalar()?;
            }
        }
        // Behind a value: close levels until a comma leads to the next value.
        loop {
            scanner.whitespace();
            match (scanner.peek(), open & 1 == 1) {
                (b',', true) => {
                    scanner.at += 1;
                    scanner.key()?;
                    break;
                }
                (b',', false) => {
                    scanner.at += 1;
                    scanner.whitespace();
                    break;
                }
                (b'}', true) | (b']', false) => {
                    scanner.at += 1;
                    (open, depth) = (open >> 1, depth - 1);
                }
                (_, true) => return Err(scanner.fault("expected ',' or '}'")),
                (_, false) => return Err(scanner.fault("expected ',' or ']'")),
            }
            if depth == 1 {
                return Ok(scanner.at);
            }
        }
    }
}

/// The character that the escape at the start of `rest` stands for, and the escape's length.
fn escape(rest: &[u8]) -> Result<(char, usize), &'static str> {
    let plain = match rest.get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(rest),
        _ => return Err("an unknown escape"),
    };
    Ok((plain, 2))
}

fn unicode_escape(rest: &[u8]) -> Result<(char, usize), &'static str> {
    const LONE: &str = "a lone surrogate";
    let first = hex(rest).ok_or("an unknown escape")?;
    if !(0xD800..0xE000).contains(&first) {
        return Ok((char::from_u32(first).ok_or(LONE)?, 6));
    }
    let second = hex(&rest[6..]).filter(|second| (0xDC00..0xE000).contains(second)).ok_or(LONE)?;
    let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    // A first half that is a low surrogate lands above the last code point.
    Ok((char::from_u32(code).ok_or(LONE)?, 12))
}

/// The four digits of `\uXXXX`.
fn hex(rest: &[u8]) -> Option<u32> {
    let digits = rest.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
}

/// Appends the content of a checked string.
pub(super) fn unescape(mut content: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = content.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&content[..at]);
        let Ok((character, length)) = escape(&content[at..]) else { return };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        content = &content[at + length..];
    }
    out.extend_from_slice(content);
}
