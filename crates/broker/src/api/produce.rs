//! Produce: batches are checked and appended.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};

use super::{Request, find_topic, text};
use crate::batch::{self, Refused};
use crate::connection::{Connection, End};
use crate::topics::{Topic, unknown_partition};

/// From this version on, a response has its reasons in words.
const WORDS: i16 = 8;
/// From this version on, a producer may assume that consumers read Zstandard.
const ZSTD: i16 = 7;
/// From this version on, topics are named by their identity.
const TOPIC_IDS: i16 = 13;

pub fn answer(connection: &Connection, mut request: Request, client: Option<&str>) -> Result<Option<Bytes>, End> {
    if request.version < 3 {
        let reason = format!("Produce is served from version 3 on, not {}", request.version);
        return Err(End::NotUnderstood(reason));
    }
    let asked: ProduceRequest = request.decode()?;
    let of_request = if asked.transactional_id.is_some() {
        Some(Refused::new(ResponseError::InvalidRequest, "this broker has no transactions"))
    } else if !(-1..=1).contains(&asked.acks) {
        Some(Refused::new(ResponseError::InvalidRequiredAcks, "acks is 0, 1 or all"))
    } else {
        None
    };
    let mut failed = None;
    let mut topics = Vec::with_capacity(asked.topic_data.len());
    for data in asked.topic_data {
        let found = find_topic(connection, &data.name, data.topic_id).ok_or_else(|| {
            let error = if request.version >= TOPIC_IDS {
                ResponseError::UnknownTopicId
            } else {
                ResponseError::UnknownTopicOrPartition
            };
            Refused::new(error, "the topic does not exist")
        });
        let name: &TopicName = &data.name;
        let mut partitions = Vec::with_capacity(data.partition_data.len());
        for partition in data.partition_data {
            let index = partition.index;
            let stored = match (&of_request, &found) {
                (Some(refused), _) | (None, Err(refused)) => Err(refused.clone()),
                (None, Ok(topic)) => store(connection, request.version, topic, partition),
            };
            if let (Ok(Stored { offsets, .. }), Ok(topic)) = (&stored, &found) {
                connection.shared.notebook.note(client, &topic.name, index, offsets.clone());
            }
            if let Err(refused) = &stored {
                let Refused { error, reason } = refused;
                tracing::warn!(topic = &***name, partition = index, ?error, reason, "messages are refused");
                failed = Some(reason.clone());
            }
            partitions.push(answered(request.version, index, stored));
        }
        topics.push(
            TopicProduceResponse::default()
                .with_name(data.name)
                .with_topic_id(data.topic_id)
                .with_partition_responses(partitions),
        );
    }
    if asked.acks == 0 {
        // A producer that expects no response learns of an error when its connection is closed.
        return failed.map_or(Ok(None), |reason| Err(End::NotUnderstood(reason)));
    }
    request.encode(&ProduceResponse::default().with_responses(topics))
}

struct Stored {
    offsets: std::ops::Range<i64>,
    start_offset: i64,
}

fn store(
    connection: &Connection,
    version: i16,
    topic: &Arc<Topic>,
    data: PartitionProduceData,
) -> Result<Stored, Refused> {
    let topics = &connection.shared.topics;
    let records = data.records.unwrap_or_default();
    let head = batch::check(&records, topics.limits.batch_bytes)?;
    if head.is_zstd() && version < ZSTD {
        let reason = "Zstandard needs a producer that speaks version 7 of Produce";
        return Err(Refused::new(ResponseError::UnsupportedCompressionType, reason));
    }
    let appended = topics.append(topic, data.index, &records, &head)?;
    let log = topic.partition(data.index).ok_or_else(|| unknown_partition(topic, data.index))?;
    let base_offset = appended.base_offset;
    let offsets = base_offset..head.placed(base_offset).next_offset();
    Ok(Stored { offsets, start_offset: log.start_offset() })
}

fn answered(version: i16, index: i32, stored: Result<Stored, Refused>) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default().with_index(index).with_log_append_time_ms(-1);
    match stored {
        Ok(Stored { offsets, start_offset }) => {
            let answer = answer.with_base_offset(offsets.start);
            if version >= 5 { answer.with_log_start_offset(start_offset) } else { answer }
        }
        Err(refused) => {
            let answer = answer.with_base_offset(-1).with_error_code(refused.error.code());
            if version >= WORDS { answer.with_error_message(Some(text(&refused.reason))) } else { answer }
        }
    }
}
