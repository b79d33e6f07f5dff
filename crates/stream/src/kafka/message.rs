//! A message as the client library holds it.

use std::ffi::CStr;
use std::ptr::NonNull;

use rdkafka::bindings as ffi;
use rdkafka::types::RDKafkaRespErr;

/// A message owned by the client library; its bytes are not copied.
///
/// What every row is asked for several times stands here: the library's own structs lie far apart, and a batch of them is larger than
/// the processor's caches.
pub struct Message {
    raw: NonNull<ffi::rd_kafka_message_t>,
    partition: i32,
    offset: i64,
    payload: *const u8,
    payload_bytes: usize,
}

// SAFETY: a message is immutable and its memory is reference-counted with atomics.
unsafe impl Send for Message {}

impl Message {
    /// Takes a message over.
    pub(super) fn new(raw: NonNull<ffi::rd_kafka_message_t>) -> Self {
        // SAFETY: the library handed the message out, so all of it is there.
        let message = unsafe { raw.as_ref() };
        Self {
            raw,
            partition: message.partition,
            offset: message.offset,
            payload: message.payload.cast(),
            payload_bytes: message.len,
        }
    }

    pub fn partition(&self) -> i32 {
        self.partition
    }

    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// None is a tombstone.
    pub fn payload(&self) -> Option<&[u8]> {
        bytes(self.payload, self.payload_bytes)
    }

    pub fn key(&self) -> Option<&[u8]> {
        bytes(self.raw().key.cast(), self.raw().key_len)
    }

    /// Names and values, as text.
    pub fn headers(&self) -> Vec<(String, String)> {
        let mut headers = std::ptr::null_mut();
        let mut found = Vec::new();
        // SAFETY: headers, names and values belong to the message; they are copied before it can go.
        unsafe {
            if ffi::rd_kafka_message_headers(self.raw.as_ptr(), &mut headers)
                != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                return found;
            }
            loop {
                let (mut name, mut value, mut len) = (std::ptr::null(), std::ptr::null(), 0);
                let answer = ffi::rd_kafka_header_get_all(headers, found.len(), &mut name, &mut value, &mut len);
                if answer != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return found;
                }
                let value = bytes(value.cast(), len).unwrap_or_default();
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                found.push((name, String::from_utf8_lossy(value).into_owned()));
            }
        }
    }

    /// What the library says about a message that stands for an error.
    pub(super) fn error_text(&self) -> String {
        // SAFETY: the library hands out a text that belongs to the message and ends with a zero byte, or none.
        unsafe {
            let text = ffi::rd_kafka_message_errstr(self.raw.as_ptr());
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        }
    }

    pub(super) fn raw(&self) -> &ffi::rd_kafka_message_t {
        // SAFETY: the message lives until it is dropped.
        unsafe { self.raw.as_ref() }
    }
}

fn bytes<'a>(start: *const u8, len: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: the library says that `len` bytes are there; the caller ties them to the message's life.
    Some(unsafe { std::slice::from_raw_parts(start, len) })
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: each message is destroyed once.
        unsafe { ffi::rd_kafka_message_destroy(self.raw.as_ptr()) }
    }
}
