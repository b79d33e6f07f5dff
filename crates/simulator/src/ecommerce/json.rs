//! JSON that is written straight into a buffer, and the forms of numbers and times in it.

use chrono::{DateTime, Datelike, Timelike};

/// Builds one flat JSON object. The texts it is given need no escaping, which the tests of the
/// shop's words check.
pub(super) struct Json(Vec<u8>);

impl Json {
    pub(super) fn new() -> Self {
        // Most events have less than 350 bytes.
        Self(Vec::with_capacity(384))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn key(&mut self, key: &[u8]) {
        self.bytes(if self.0.is_empty() { b"{\"" } else { b",\"" });
        self.bytes(key);
        self.bytes(b"\":");
    }

    pub(super) fn text(&mut self, key: &[u8], value: &[u8]) {
        self.key(key);
        self.bytes(b"\"");
        self.bytes(value);
        self.bytes(b"\"");
    }

    pub(super) fn signed(&mut self, value: i64) {
        if value < 0 {
            self.bytes(b"-");
        }
        self.integer(value.unsigned_abs());
    }

    pub(super) fn integer(&mut self, mut value: u64) {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return self.bytes(&digits[start..]);
            }
        }
    }

    fn two_digits(&mut self, value: u32) {
        self.bytes(&[b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8]);
    }

    pub(super) fn money(&mut self, key: &[u8], cents: i64, quoted: bool) {
        let cents = cents.unsigned_abs();
        self.key(key);
        self.bytes(if quoted { b"\"" } else { b"" });
        self.integer(cents / 100);
        self.bytes(b".");
        self.two_digits((cents % 100) as u32);
        self.bytes(if quoted { b"\"" } else { b"" });
    }

    pub(super) fn time(&mut self, ms: i64) {
        // Only a year beyond 262,000 is out of range.
        let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
        let year = time.year().unsigned_abs();
        self.two_digits(year / 100);
        self.two_digits(year % 100);
        self.bytes(b"-");
        self.two_digits(time.month());
        self.bytes(b"-");
        self.two_digits(time.day());
        self.bytes(b"T");
        self.two_digits(time.hour());
        self.bytes(b":");
        self.two_digits(time.minute());
        self.bytes(b":");
        self.two_digits(time.second());
        let ms = time.timestamp_subsec_millis();
        self.bytes(&[b'.', b'0' + (ms / 100 % 10) as u8]);
        self.two_digits(ms % 100);
    }

    pub(super) fn offset(&mut self, offset_ms: i64) {
        let minutes = (offset_ms.unsigned_abs() / 60_000) as u32;
        self.bytes(if offset_ms < 0 { b"-" } else { b"+" });
        self.two_digits(minutes / 60);
        self.bytes(b":");
        self.two_digits(minutes % 60);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes(b"}");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times() {
        let mut json = Json::new();
        json.money(b"a", 1_000_005, false);
        json.money(b"b", 90, true);
        json.key(b"c");
        json.time(1_747_191_600_007);
        json.offset(-10_800_000);
        json.offset(20_700_000);
        json.key(b"d");
        json.signed(-70);
        assert_eq!(json.0, b"{\"a\":10000.05,\"b\":\"0.90\",\"c\":2025-05-14T03:00:00.007-03:00+05:45,\"d\":-70");
    }
}
