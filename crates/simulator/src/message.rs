//! What every generator makes.

use std::io::{self, Write};

/// What a message is, to compare with the verdict it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageKind {
    /// Sent within a second of the event.
    Prompt,
    Late,
    TooLate,
    Duplicate,
    /// With the contract's reason for refusing it.
    Malformed(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The message's key in Kafka; repetitions share their original's, and thus its partition.
    pub key: String,
    pub payload: Vec<u8>,
    /// When it is sent in simulated time, in milliseconds since the Unix epoch; never decreases.
    pub event_ms: i64,
    pub kind: MessageKind,
}

/// Writes the payloads, one a line.
pub fn write_lines(messages: impl IntoIterator<Item = Message>, to: &mut impl Write) -> io::Result<()> {
    for message in messages {
        to.write_all(&message.payload)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}
