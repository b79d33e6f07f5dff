//! Serves the events of clients whose owner does not: consumers that only answer questions, and
//! those that are read in batches, which skip everything but messages.

use std::ffi::CStr;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rdkafka::ClientContext as _;
use rdkafka::bindings as ffi;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::connection::Connection;
use crate::error::ClientError;

const POLL_MS: i32 = 1_000;

/// Must be dropped before its client.
///
/// Only the client's log arrives here, which says all that its errors say and more. Its main queue
/// stays as it is: closing a consumer needs it, and a consumer whose main queue is forwarded
/// elsewhere never ends.
pub(crate) struct Attendant {
    client: Client,
    events: Arc<Queue>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Client(*mut ffi::rd_kafka_t);

struct Queue(NonNull<ffi::rd_kafka_queue_t>);

// SAFETY: the library's clients may be used from any thread.
unsafe impl Send for Client {}
unsafe impl Sync for Client {}

// SAFETY: the library's queues may be used from any thread.
unsafe impl Send for Queue {}
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: each handle was obtained once.
        unsafe { ffi::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

impl Attendant {
    /// `client` must outlive what is returned.
    pub(crate) fn start(connection: &Connection, client: *mut ffi::rd_kafka_t) -> Result<Self, ClientError> {
        // SAFETY: the client is alive; the handle is given back when it is dropped.
        let events = unsafe { ffi::rd_kafka_queue_new(client) };
        let events = NonNull::new(events).map(Queue).ok_or(ClientError::Ended("a queue of the kafka client"))?;
        let events = Arc::new(events);
        // SAFETY: client and queue are alive.
        unsafe { ffi::rd_kafka_set_log_queue(client, events.0.as_ptr()) };
        let client = Client(client);
        let stop = Arc::new(AtomicBool::new(false));
        let (queue, stopped, connection) = (Arc::clone(&events), Arc::clone(&stop), connection.clone());
        let serve = move || {
            while !stopped.load(Ordering::SeqCst) {
                serve_one(&queue, &connection);
            }
        };
        let thread = std::thread::Builder::new().name("kafka events".to_owned()).spawn(serve);
        let thread = thread.map_err(|_| ClientError::Ended("the thread of the kafka client's events"))?;
        Ok(Self { client, events, stop, thread: Some(thread) })
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // SAFETY: client and queue are alive; what comes from now on stays with the client.
        unsafe {
            ffi::rd_kafka_set_log_queue(self.client.0, null_mut());
            ffi::rd_kafka_queue_yield(self.events.0.as_ptr());
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the kafka client's events panicked");
        }
    }
}

fn serve_one(queue: &Queue, connection: &Connection) {
    // SAFETY: the queue is alive; the event is destroyed after its last use, and texts are copied
    // before.
    unsafe {
        let event = ffi::rd_kafka_queue_poll(queue.0.as_ptr(), POLL_MS);
        if event.is_null() {
            return;
        }
        match ffi::rd_kafka_event_type(event) {
            ffi::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut line, mut level) = (null(), null(), 0);
                if ffi::rd_kafka_event_log(event, &mut facility, &mut line, &mut level) == 0 {
                    connection.log(level_of(level), &text(facility), &text(line));
                }
            }
            ffi::RD_KAFKA_EVENT_ERROR => {
                let code = ffi::rd_kafka_event_error(event);
                connection.error(KafkaError::Global(code.into()), &text(ffi::rd_kafka_event_error_string(event)));
            }
            // Tokens are provided without being requested: see `TokenKeeper`.
            _ => {}
        }
        ffi::rd_kafka_event_destroy(event);
    }
}

fn level_of(level: i32) -> RDKafkaLogLevel {
    match level {
        ..=3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

/// # Safety
/// `text` is null or ends with a zero byte.
unsafe fn text(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned()
}
