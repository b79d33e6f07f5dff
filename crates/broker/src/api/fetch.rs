//! Fetch: what is available at once, or what arrives while the client waits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use tokio::time::{Instant, timeout_at};

use super::{Request, find_topic};
use crate::connection::{Connection, End, LARGE_BYTES};
use crate::topics::Topic;

/// From this version on, topics are named by their identity.
const TOPIC_IDS: i16 = 13;

struct Fetched {
    answers: Vec<FetchableTopicResponse>,
    bytes: usize,
    /// Something that a client should know at once.
    failed: bool,
}

/// Every request is answered in full: there are no sessions, which clients recognise by the id 0.
pub async fn answer(connection: &mut Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: FetchRequest = request.decode()?;
    if asked.session_id != 0 {
        // The session of another broker at this address; the client starts again without one.
        let answer = FetchResponse::default().with_error_code(ResponseError::FetchSessionIdNotFound.code());
        return request.encode(&answer);
    }
    let limits = &connection.shared.topics.limits;
    let wait = Duration::from_millis(u64::try_from(asked.max_wait_ms).unwrap_or_default());
    let deadline = Instant::now() + wait.min(limits.patience);
    let bytes_min = usize::try_from(asked.min_bytes).unwrap_or_default();
    let bytes_max = usize::try_from(asked.max_bytes).unwrap_or_default().min(limits.fetch_bytes);
    let mut appended = connection.shared.topics.appended();
    loop {
        // No client waits for a permit for a large response: there is always a smaller one.
        let large = Arc::clone(&connection.shared.large_answers).try_acquire_owned().ok();
        let bytes_max = if large.is_some() { bytes_max } else { bytes_max.min(LARGE_BYTES) };
        let found = find(connection, &request, &asked, bytes_max);
        let enough = found.bytes >= bytes_min.min(bytes_max) || found.failed;
        if !enough && Instant::now() < deadline {
            drop(large);
            if matches!(timeout_at(deadline, appended.changed()).await, Ok(Ok(()))) {
                continue;
            }
        } else if found.bytes > LARGE_BYTES {
            connection.large = large;
        }
        return request.encode(&FetchResponse::default().with_responses(found.answers));
    }
}

fn find(connection: &Connection, request: &Request, asked: &FetchRequest, bytes_max: usize) -> Fetched {
    let mut found = Fetched { answers: Vec::with_capacity(asked.topics.len()), bytes: 0, failed: false };
    for topic in &asked.topics {
        let log = find_topic(connection, &topic.topic, topic.topic_id);
        let unknown = if request.version >= TOPIC_IDS {
            ResponseError::UnknownTopicId
        } else {
            ResponseError::UnknownTopicOrPartition
        };
        let partitions = topic
            .partitions
            .iter()
            .map(|partition| {
                let read = log
                    .as_ref()
                    .ok_or(unknown)
                    .and_then(|log| read(log, partition, bytes_max.saturating_sub(found.bytes), found.bytes == 0));
                let answer = PartitionData::default().with_partition_index(partition.partition);
                let answer = answer.with_aborted_transactions(None).with_records(Some(Bytes::new()));
                match read {
                    Ok(Read { records, start_offset, end_offset }) => {
                        found.bytes += records.len();
                        let answer = answer.with_high_watermark(end_offset).with_last_stable_offset(end_offset);
                        let answer = answer.with_records(Some(records.into()));
                        if request.version >= 5 { answer.with_log_start_offset(start_offset) } else { answer }
                    }
                    Err(error) => {
                        found.failed = true;
                        answer.with_error_code(error.code()).with_high_watermark(-1)
                    }
                }
            })
            .collect();
        let answer = FetchableTopicResponse::default().with_partitions(partitions);
        found.answers.push(if request.version >= TOPIC_IDS {
            answer.with_topic_id(topic.topic_id)
        } else {
            answer.with_topic(topic.topic.clone())
        });
    }
    found
}

struct Read {
    records: Vec<u8>,
    start_offset: i64,
    end_offset: i64,
}

fn read(topic: &Arc<Topic>, asked: &FetchPartition, rest: usize, first: bool) -> Result<Read, ResponseError> {
    let log = topic.partition(asked.partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let (start_offset, end_offset) = (log.start_offset(), log.end_offset());
    if !(start_offset..=end_offset).contains(&asked.fetch_offset) {
        return Err(ResponseError::OffsetOutOfRange);
    }
    let failed = |error: std::io::Error| {
        tracing::error!(%error, topic = topic.name, partition = asked.partition, "the broker cannot read its log");
        ResponseError::KafkaStorageError
    };
    let stretch = log.stretch(asked.fetch_offset).map_err(failed)?;
    // What is read does not change: others may append behind it meanwhile.
    drop(log);
    let bytes_max = usize::try_from(asked.partition_max_bytes).unwrap_or_default().min(rest);
    let records = stretch
        .map_or_else(|| Ok(Vec::new()), |stretch| stretch.read(asked.fetch_offset, bytes_max, first))
        .map_err(failed)?;
    Ok(Read { records, start_offset, end_offset })
}
