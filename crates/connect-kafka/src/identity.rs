//! Which log a topic's name stands for: the topic's UUID.

use std::ffi::{CStr, CString};
use std::ptr::null_mut;

use rdkafka::bindings as ffi;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaRespErr;

use crate::error::ClientError;

const TIMEOUT_MS: i32 = 10_000;

/// The UUID that the broker gave the topic when it was created. A topic that is deleted and
/// recreated under the same name has another, so its offsets are never mistaken for the old ones.
pub fn log_identity<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str) -> Result<String, ClientError> {
    let failed = |reason: String| ClientError::Describe { topic: topic.to_owned(), reason };
    let name = CString::new(topic).map_err(|_| failed("its name holds a zero byte".to_owned()))?;
    let client = consumer.client().native_ptr();
    // SAFETY: every handle created here is destroyed here, after its last use; texts are copied
    // before that.
    unsafe {
        let queue = ffi::rd_kafka_queue_new(client);
        let mut names = [name.as_ptr()];
        let topics = ffi::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        let options =
            ffi::rd_kafka_AdminOptions_new(client, ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        ffi::rd_kafka_AdminOptions_set_request_timeout(options, TIMEOUT_MS, null_mut(), 0);
        ffi::rd_kafka_DescribeTopics(client, topics, options, queue);
        let event = ffi::rd_kafka_queue_poll(queue, TIMEOUT_MS);
        let identity = if event.is_null() { Err("the broker did not answer".to_owned()) } else { read(event) };
        if !event.is_null() {
            ffi::rd_kafka_event_destroy(event);
        }
        ffi::rd_kafka_AdminOptions_destroy(options);
        ffi::rd_kafka_TopicCollection_destroy(topics);
        ffi::rd_kafka_queue_destroy(queue);
        identity.map_err(failed)
    }
}

/// # Safety
/// `event` is a live event of the client library.
unsafe fn read(event: *mut ffi::rd_kafka_event_t) -> Result<String, String> {
    // SAFETY: the result and all it points to live as long as the event.
    unsafe {
        if ffi::rd_kafka_event_error(event) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(text(ffi::rd_kafka_event_error_string(event)));
        }
        let result = ffi::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err("the broker's answer is of another kind".to_owned());
        }
        let mut count = 0;
        let topics = ffi::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count != 1 {
            return Err(format!("the broker described {count} topics"));
        }
        let description = *topics;
        let error = ffi::rd_kafka_TopicDescription_error(description);
        if !error.is_null() && ffi::rd_kafka_error_code(error) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(text(ffi::rd_kafka_error_string(error)));
        }
        let id = ffi::rd_kafka_TopicDescription_topic_id(description);
        if id.is_null() {
            return Err("the broker gives topics no identity (it is older than Kafka 2.8)".to_owned());
        }
        let (most, least) =
            (ffi::rd_kafka_Uuid_most_significant_bits(id), ffi::rd_kafka_Uuid_least_significant_bits(id));
        if most == 0 && least == 0 {
            return Err("the broker gives topics no identity (it is older than Kafka 2.8)".to_owned());
        }
        Ok(uuid::Uuid::from_u64_pair(most.cast_unsigned(), least.cast_unsigned()).to_string())
    }
}

/// # Safety
/// `text` is null or ends with a zero byte.
unsafe fn text(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return "no reason given".to_owned();
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
