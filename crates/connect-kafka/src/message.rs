//! A message as the client library holds it.

use std::ffi::CStr;
use std::ops::Range;
use std::ptr::NonNull;

use rdkafka::bindings as ffi;
use vitral_connect::Messages;
use vitral_schemas::position::{Offset, PartitionId};

/// A message owned by the client library; its bytes are not copied.
///
/// What is read several times for every row is copied here: the library's own structs are scattered
/// in memory, and a batch of them is larger than the processor's caches.
pub(crate) struct Message {
    raw: NonNull<ffi::rd_kafka_message_t>,
    partition: i32,
    offset: i64,
    payload: *const u8,
    payload_bytes: usize,
}

// SAFETY: a message is immutable and its memory is reference-counted with atomics.
unsafe impl Send for Message {}

impl Message {
    /// Takes ownership of a message.
    pub(crate) fn new(raw: NonNull<ffi::rd_kafka_message_t>) -> Self {
        // SAFETY: the library handed the message out, so all of it is valid.
        let message = unsafe { raw.as_ref() };
        Self {
            raw,
            partition: message.partition,
            offset: message.offset,
            payload: message.payload.cast(),
            payload_bytes: message.len,
        }
    }

    pub(crate) fn partition(&self) -> PartitionId {
        PartitionId(self.partition)
    }

    pub(crate) fn offset(&self) -> Offset {
        Offset(self.offset)
    }

    /// None for a tombstone.
    pub(crate) fn payload(&self) -> Option<&[u8]> {
        bytes(self.payload, self.payload_bytes)
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        bytes(self.raw().key.cast(), self.raw().key_len)
    }

    /// What the library says about a message that stands for an error.
    pub(crate) fn error_text(&self) -> String {
        // SAFETY: the library hands out a text that belongs to the message and ends with a zero
        // byte, or none.
        unsafe {
            let text = ffi::rd_kafka_message_errstr(self.raw.as_ptr());
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        }
    }

    pub(crate) fn raw(&self) -> &ffi::rd_kafka_message_t {
        // SAFETY: the message lives until it is dropped.
        unsafe { self.raw.as_ref() }
    }
}

/// Messages of one partition, in ascending order.
pub(crate) struct Fetched(pub(crate) Vec<Message>);

impl Messages for Fetched {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn offset(&self, row: usize) -> Offset {
        self.0[row].offset()
    }

    fn payload(&self, row: usize) -> Option<&[u8]> {
        self.0[row].payload()
    }

    fn key(&self, row: usize) -> Option<&[u8]> {
        self.0[row].key()
    }

    fn append_to<'a>(&'a self, rows: Range<usize>, offsets: &mut Vec<Offset>, payloads: &mut Vec<Option<&'a [u8]>>) {
        let messages = &self.0[rows];
        offsets.extend(messages.iter().map(Message::offset));
        payloads.extend(messages.iter().map(Message::payload));
    }
}

fn bytes<'a>(start: *const u8, len: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: the library says that `len` bytes are there; the caller ties them to the message's
    // life.
    Some(unsafe { std::slice::from_raw_parts(start, len) })
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: each message is destroyed once.
        unsafe { ffi::rd_kafka_message_destroy(self.raw.as_ptr()) }
    }
}
