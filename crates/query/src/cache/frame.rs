//! An answer as bytes that any process reads back.
//!
//! The form's number, the length of the head, the head as JSON, and the rows as they are sent. What
//! is of another form is not there.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{from_slice, to_vec};

use super::entry::{Entry, KeptAnswer};
use super::{KEPT_BYTES_MAX, State};

const FORM: u8 = 1;
/// The form, and the length of the head.
const PREFIX: usize = 5;
/// Nobody writes a longer head; what does not say what it is might.
const HEAD_MAX: usize = 64 << 10;

/// When it was begun, how long it took, how complete it was, and the rest of its head.
type Head = (i64, u64, Vec<(String, String)>, Vec<(String, String)>);

/// `now_ms` is the time of the request that computed it.
pub(super) fn write(entry: &Entry, now_ms: i64) -> Bytes {
    let KeptAnswer { body, completeness, head, .. } = &entry.answer;
    let took_ms = u64::try_from(entry.took.as_millis()).unwrap_or(u64::MAX);
    // Texts and numbers can always be written.
    let head = to_vec(&(now_ms, took_ms, completeness, head)).unwrap_or_default();
    let mut bytes = BytesMut::with_capacity(PREFIX + head.len() + body.len());
    bytes.put_u8(FORM);
    bytes.put_u32(u32::try_from(head.len()).unwrap_or(u32::MAX));
    bytes.put_slice(&head);
    bytes.put_slice(body);
    bytes.freeze()
}

/// The answer, as one that is of `state` now; none if these are not an answer of ours.
pub(super) fn read(bytes: &Bytes, now_ms: i64, state: State) -> Option<Entry> {
    let (form, length) = (*bytes.first()?, bytes.get(1..PREFIX)?);
    let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
    if form != FORM || length > HEAD_MAX || bytes.len() > PREFIX + length + KEPT_BYTES_MAX {
        return None;
    }
    let (begun_ms, took_ms, completeness, head): Head = from_slice(bytes.get(PREFIX..PREFIX + length)?).ok()?;
    // Clocks differ: what seems to be of later is of now.
    let age = Duration::from_millis(u64::try_from(now_ms.saturating_sub(begun_ms)).unwrap_or_default());
    let answer = KeptAnswer { status: 200, body: bytes.slice(PREFIX + length..), completeness, head };
    let begun = Instant::now().checked_sub(age)?;
    Some(Entry { answer, state, begun, took: Duration::from_millis(took_ms) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_read_back_with_their_age_and_nothing_else_does() {
        let pairs = |name: &str| vec![(name.to_owned(), "ç\"1".to_owned())];
        let answer =
            KeptAnswer { status: 200, body: "[1]".into(), completeness: pairs("vitral-read"), head: pairs("link") };
        let entry = Entry::new(State::default(), answer.clone(), Instant::now());
        let bytes = write(&entry, 5_000);
        let back = read(&bytes, 8_000, State::default()).expect("an answer");
        assert_eq!(back.answer, answer);
        assert!(back.age() >= Duration::from_secs(3) && back.age() < Duration::from_secs(60), "{:?}", back.age());
        let later = read(&bytes, 1_000, State::default()).expect("an answer").age();
        assert!(later < Duration::from_secs(3), "the other clock is ahead: {later:?}");
        let other_form = [&[FORM + 1], &bytes[1..]].concat();
        for foreign in [&b""[..], b"\x01", b"\x01\xff\xff\xff\xff", b"\x01\0\0\0\x02{}[]", &bytes[..9], &other_form[..]]
        {
            assert!(read(&Bytes::copy_from_slice(foreign), 0, State::default()).is_none(), "{foreign:?}");
        }
    }
}
