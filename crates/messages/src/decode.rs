//! Decoding: a batch of Kafka payloads, one JSON object each, becomes the Arrow columns of a topic.
//!
//! A payload that cannot be decoded is refused alone, with the first of these reasons that applies;
//! the batch never fails. Nothing here depends on the order of fields, on the other payloads, or on
//! how the stream is cut into batches.
//!
//! 1. `Size`: the message is larger than the topic allows.
//! 2. `Json`: not exactly one object in UTF-8 as RFC 8259 has it (no byte order mark, no lone
//!    surrogates), or nested deeper than [`NESTING_MAX`] levels. Unknown fields are ignored, but
//!    they too must be JSON.
//! 3. Then by column, in the topic's order. Of a key that occurs twice the last value counts, as in
//!    most JSON libraries, and an earlier one is ignored; `null` is as good as absent, and so is a
//!    text without anything but blanks. Other texts keep their blanks, and `"null"` or `"-"` are
//!    texts like any other, but in the event id: there they and `0` say that there is none.
//!    - `MissingField`: a required field is absent.
//!    - `Type`: text comes from a string (where the column says so, also from a number, as it is
//!      written); an integer from a number;
//!      a decimal from a number or a string that is written like a JSON number (no blanks, no plus, no thousands); a time from a
//!      string; a boolean from a boolean.
//!    - `Time`: not an RFC 3339 time (or one without offset, which is local, and of Debezium UTC),
//!      not a possible one,
//!      or not within the
//!      years 0001 to 9999 in UTC; an event time before 1970.
//!    - `Size`: a text of more bytes than its column allows.
//!    - `Value`: a text with a zero character; a currency that is not three letters, which are kept
//!      in upper case; a number that its column cannot hold exactly. Numbers are read from their
//!      text, so `5.0` and `50e-1`
//!      are the integer 5, `10.500` has two decimals, and `1e2` is 100.
//!
//! A topic with a primary key is decoded by [`Decoder::decode_changes`]: a message without a value
//! has the key that it deletes, and where the topic is Debezium's, the row is within an envelope.
//!
//! Architecture invariant: no recursion over the payload, no floating point, no unsafe code, and no
//! I/O.

mod changes;
mod column;
mod keys;
mod number;
#[cfg(test)]
mod random_tests;
mod scan;
mod schema;
#[cfg(test)]
mod tests;
mod time;

use arrow::array::ArrayRef;
use vitral_schemas::topic::{EVENT_MICROS_MIN, Topic};
use vitral_schemas::verdict::Reason;

use changes::Changes;
use column::Column;
use keys::Keys;
use scan::{Fault, Kind, Raw, Scanner};
use time::Zone;

/// How deep a message may nest, its own object included. Lower would refuse honest events, higher
/// serves nobody: the open levels are the bits of one word.
pub const NESTING_MAX: u32 = 64;

/// The largest sum of a batch's payloads: Arrow counts the bytes of a text column in 32 bits.
/// Batches are orders of magnitude smaller, as memory would not hold many of this size.
pub const BATCH_BYTES_MAX: usize = i32::MAX as usize;

/// How much of a value a refusal's detail shows.
const EXCERPT_CHARS: usize = 40;
/// How much of a column's name it shows.
const NAME_CHARS: usize = 80;

/// A message that does not count: its row in the batch, why, and what people need to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The row in the batch, from 0.
    pub row: usize,
    /// The kind of fault.
    pub reason: Reason,
    /// Names the field, shows some of its value and says what is wrong; of bounded length.
    pub detail: String,
}

/// A decoded batch.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The columns of `topic.schema()`, with a row for every payload; refused rows are null in
    /// every column.
    pub columns: Vec<ArrayRef>,
    /// In ascending order of rows.
    pub refused: Vec<Refusal>,
}

/// Decodes the payloads of one topic. It learns what the messages look like, which affects its
/// speed only.
pub struct Decoder {
    columns: Vec<Column>,
    names: Vec<String>,
    message_bytes_max: usize,
    keys: Keys,
    zone: Zone,
    /// If messages replace and delete rows.
    changes: Option<Box<Changes>>,
    /// Holds a string without its escapes.
    scratch: Vec<u8>,
}

impl Decoder {
    /// Times without offset are local in `zone`; those of Debezium are UTC.
    pub fn new(topic: &Topic, zone: chrono_tz::Tz) -> Self {
        let names: Vec<_> = topic.columns.iter().map(|column| column.name.clone()).collect();
        Self {
            columns: topic
                .columns
                .iter()
                .enumerate()
                .map(|(index, column)| {
                    let earliest = if index == topic.event_time { EVENT_MICROS_MIN } else { i64::MIN };
                    Column::new(column, earliest, topic.event_id == Some(index))
                })
                .collect(),
            keys: Keys::new(topic.columns.iter().enumerate().map(|(index, column)| {
                let is_declared = topic.changes.as_ref().is_none_or(|changes| changes.is_declared(index));
                // What is looked up is not the message's to say.
                (column.lookup.is_none() && is_declared).then(|| column.name.clone())
            })),
            changes: topic.changes.as_ref().map(|changes| Box::new(Changes::new(changes, topic))),
            names,
            message_bytes_max: topic.message_bytes_max,
            zone: Zone::new(zone),
            scratch: Vec::new(),
        }
    }

    /// Rows without payload (None: a tombstone) are null in every column and not refused.
    ///
    /// # Panics
    /// If the payloads that are not refused for their size have more than [`BATCH_BYTES_MAX`]
    /// bytes.
    pub fn decode<'a>(&mut self, payloads: impl IntoIterator<Item = Option<&'a [u8]>>) -> Decoded {
        self.decode_all(&mut payloads.into_iter(), None)
    }

    /// The same with the message key of each row, which says what a message deletes. Of a topic
    /// without a primary key it says nothing.
    ///
    /// # Panics
    /// As [`Self::decode`].
    pub fn decode_changes<'a>(
        &mut self,
        payloads: impl IntoIterator<Item = Option<&'a [u8]>>,
        key: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> Decoded {
        self.decode_all(&mut payloads.into_iter(), Some(&key))
    }

    /// Generic in nothing, so that it is compiled here, where everything is optimised, and not in
    /// each caller.
    fn decode_all<'a>(
        &mut self,
        payloads: &mut dyn Iterator<Item = Option<&'a [u8]>>,
        key: Option<&dyn Fn(usize) -> Option<&'a [u8]>>,
    ) -> Decoded {
        let mut slots = vec![Raw::ABSENT; self.columns.len()];
        let mut refused = Vec::new();
        let mut bytes = 0;
        self.keys.forget_if_full();
        let mut changes = self.changes.take();
        for (row, payload) in payloads.enumerate() {
            let done = match (payload, &mut changes) {
                (None, changes) => match changes.as_deref_mut().zip(key) {
                    Some((changes, key)) => self.tombstone(changes, key(row), row, &mut slots),
                    None => {
                        self.push_nulls();
                        continue;
                    }
                },
                (Some(payload), _) if payload.len() > self.message_bytes_max => Err(self.too_large(payload.len())),
                (Some(payload), changes) => {
                    bytes += payload.len();
                    assert!(bytes <= BATCH_BYTES_MAX, "a batch of more than {BATCH_BYTES_MAX} bytes");
                    match changes.as_deref_mut().and_then(|changes| Some((changes.debezium()?, changes))) {
                        None => self.message(payload, row, &mut slots),
                        Some(known) => self.envelope(known, payload, key.and_then(|key| key(row)), row, &mut slots),
                    }
                }
            };
            if let Err((reason, detail)) = done {
                self.push_nulls();
                refused.push(Refusal { row, reason, detail });
            }
        }
        self.changes = changes;
        Decoded { columns: self.columns.iter_mut().map(Column::finish).collect(), refused }
    }

    /// Appends the message's row, or nothing where it is refused.
    #[inline(always)]
    fn message<'a>(&mut self, payload: &'a [u8], row: usize, slots: &mut [Raw<'a>]) -> Result<(), (Reason, String)> {
        slots.fill(Raw::ABSENT);
        scan(payload, &mut self.keys, slots)
            .map_err(|fault| (Reason::Json, format!("byte {}: {}", fault.at, fault.what)))?;
        let pushed = self.columns.iter_mut().zip(&*slots).enumerate().try_for_each(|(index, (column, &raw))| {
            column.push(raw, &mut self.zone, &mut self.scratch).map_err(|misfit| (index, misfit))
        });
        pushed.map_err(|(index, (reason, what))| {
            self.columns[..index].iter_mut().for_each(|column| column.truncate(row));
            let mut detail = misfit(&self.names[index], slots[index], what);
            if reason == Reason::Size {
                detail += &format!(" ({} bytes)", self.columns[index].bytes_max());
            }
            (reason, detail)
        })
    }

    fn push_nulls(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
    }

    #[cold]
    fn too_large(&self, bytes: usize) -> (Reason, String) {
        (Reason::Size, format!("{bytes} bytes, the topic allows {}", self.message_bytes_max))
    }
}

/// Checks the whole payload and leaves the last value of each column's field in its slot.
#[inline(always)]
fn scan<'a>(payload: &'a [u8], keys: &mut Keys, slots: &mut [Raw<'a>]) -> Result<(), Fault> {
    let mut scanner = Scanner::new(payload, 0);
    scanner.whitespace();
    scanner.expect(b'{', "expected an object")?;
    let body = scanner.at();
    let mut lead = Some(Keys::START);
    while scanner.peek() != b'}' {
        let start = scanner.at();
        let column = match lead.and_then(|lead| keys.predicted(lead, scanner.rest())) {
            Some(predicted) => {
                lead = Some(predicted.lead);
                scanner.jump(start + predicted.length);
                // As many blanks as the last time are passed over already, but there may be more.
                scanner.whitespace();
                predicted.column
            }
            None => {
                scanner.whitespace();
                if scanner.peek() == b'}' {
                    break;
                }
                if start > body {
                    scanner.expect(b',', "expected ',' or '}'")?;
                }
                let parsed = keys.parsed(lead, payload, start, scanner.at())?;
                lead = parsed.lead;
                scanner.jump(parsed.end);
                parsed.column
            }
        };
        let value = scanner.value()?;
        if let Some(column) = column {
            slots[column] = value;
        }
    }
    scanner.jump(scanner.at() + 1);
    scanner.end()
}

#[cold]
fn misfit(name: &str, raw: Raw<'_>, what: &str) -> String {
    let start = |text: &str, chars| match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    };
    let name = start(name, NAME_CHARS);
    let text = start(&String::from_utf8_lossy(raw.text), EXCERPT_CHARS);
    match raw.kind {
        Kind::Absent => format!("{name} {what}"),
        Kind::Text | Kind::Escaped => format!("{name}: \"{text}\" {what}"),
        _ => format!("{name}: {text} {what}"),
    }
}
