//! What every generator produces.

use std::io::{self, Write};

/// What a message is, to compare with the verdict it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageKind {
    /// Sent within a second of the event.
    Prompt,
    /// Sent late, but within the lateness, so that it still counts.
    Late,
    /// Sent after the lateness, so that it does not count.
    TooLate,
    /// An exact repetition of an earlier message.
    Duplicate,
    /// Not a valid event; with the contract's reason for refusing it.
    Malformed(&'static str),
}

/// One message of a generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic that it belongs to.
    pub topic: &'static str,
    /// The message's key in Kafka; repetitions share their original's, and thus its partition.
    pub key: String,
    /// One JSON object, except where it is malformed on purpose.
    pub payload: Vec<u8>,
    /// When it is sent in simulated time, in milliseconds since the Unix epoch; never decreases.
    pub event_ms: i64,
    /// The verdict that it should get.
    pub kind: MessageKind,
}

/// Writes the payloads, one per line.
///
/// # Errors
/// Those of the writer.
pub fn write_lines(messages: impl IntoIterator<Item = Message>, to: &mut impl Write) -> io::Result<()> {
    for message in messages {
        to.write_all(&message.payload)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}
