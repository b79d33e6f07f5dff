//! Which offsets a partition has, by position and by time.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use super::Request;
use crate::LEADER_EPOCH;
use crate::connection::{Connection, End};
use crate::log::PartitionLog;
use crate::topics::Topic;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const NONE: i64 = -1;

pub fn list(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: ListOffsetsRequest = request.decode()?;
    let topics = asked
        .topics
        .into_iter()
        .map(|topic| {
            let log = connection.shared.topics.get(&topic.name);
            let partitions = topic
                .partitions
                .iter()
                .map(|partition| {
                    let index = partition.partition_index;
                    let answer = ListOffsetsPartitionResponse::default().with_partition_index(index);
                    match find(log.as_deref(), index, partition.timestamp) {
                        Ok((offset, timestamp)) => {
                            let answer = answer.with_offset(offset).with_timestamp(timestamp);
                            if request.version >= 4 { answer.with_leader_epoch(LEADER_EPOCH) } else { answer }
                        }
                        Err(error) => answer.with_error_code(error.code()),
                    }
                })
                .collect();
            ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
        })
        .collect();
    request.encode(&ListOffsetsResponse::default().with_topics(topics))
}

/// An offset and its time.
///
/// Batches are not unpacked, so a time is found by batch: the offset may be that of an earlier
/// record of the same one, never a later.
fn find(topic: Option<&Topic>, partition: i32, timestamp: i64) -> Result<(i64, i64), ResponseError> {
    let log: std::sync::MutexGuard<'_, PartitionLog> =
        topic.and_then(|topic| topic.partition(partition)).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let found = match timestamp {
        LATEST => return Ok((log.end_offset(), NONE)),
        EARLIEST | EARLIEST_LOCAL => return Ok((log.start_offset(), NONE)),
        LATEST_TIERED => return Ok((NONE, NONE)),
        MAX_TIMESTAMP => match log.max_timestamp() {
            Some(newest) => log.first_since(newest).map(|head| head.map(|head| (head.next_offset() - 1, newest))),
            None => Ok(None),
        },
        _ => log.first_since(timestamp).map(|head| {
            head.map(|head| {
                let time = if head.base_timestamp >= timestamp { head.base_timestamp } else { head.max_timestamp };
                (head.base_offset, time)
            })
        }),
    };
    let found = found.map_err(|error| {
        tracing::error!(%error, partition, "the broker cannot read its log");
        ResponseError::KafkaStorageError
    })?;
    Ok(found.unwrap_or((NONE, NONE)))
}

/// There is one epoch, which ends at the log's end.
pub fn for_leader_epoch(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: OffsetForLeaderEpochRequest = request.decode()?;
    let topics = asked
        .topics
        .into_iter()
        .map(|topic| {
            let log = connection.shared.topics.get(&topic.topic);
            let partitions = topic
                .partitions
                .iter()
                .map(|asked| {
                    let answer = EpochEndOffset::default().with_partition(asked.partition);
                    match log.as_ref().and_then(|log| log.partition(asked.partition)) {
                        None => answer.with_error_code(ResponseError::UnknownTopicOrPartition.code()),
                        Some(log) if asked.leader_epoch >= LEADER_EPOCH => {
                            answer.with_leader_epoch(LEADER_EPOCH).with_end_offset(log.end_offset())
                        }
                        Some(_) => answer,
                    }
                })
                .collect();
            OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
        })
        .collect();
    request.encode(&OffsetForLeaderEpochResponse::default().with_topics(topics))
}
