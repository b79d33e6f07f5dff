//! How far a group has read: its members commit it, and ask for it when they start.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use tokio::time::Instant;

use super::groups::code;
use super::{Request, text, topic_name};
use crate::LEADER_EPOCH;
use crate::connection::{Connection, End};
use crate::groups::Committed;

const METADATA_BYTES_MAX: usize = 4096;
/// From this version on, several groups can be asked for at once.
const MANY_GROUPS: i16 = 8;

pub fn commit(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: OffsetCommitRequest = request.decode()?;
    let of_group = may_commit(connection, &asked);
    let topics = asked
        .topics
        .into_iter()
        .map(|topic| {
            let partitions = topic
                .partitions
                .into_iter()
                .map(|partition| {
                    let index = partition.partition_index;
                    let kept = of_group.and_then(|()| keep(connection, &asked.group_id, &topic.name, partition));
                    OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code(kept))
                })
                .collect();
            OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
        })
        .collect();
    request.encode(&OffsetCommitResponse::default().with_topics(topics))
}

/// Members of the current generation may commit; anybody may while there are no members: consumers
/// without a group protocol, and tools.
fn may_commit(connection: &Connection, asked: &OffsetCommitRequest) -> Result<(), ResponseError> {
    if asked.group_id.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    let generation = asked.generation_id_or_member_epoch;
    let is_member = generation >= 0 || !asked.member_id.is_empty();
    let checked = connection.shared.groups.with(&asked.group_id, |group| {
        if !is_member && group.is_empty() {
            return Ok(());
        }
        group.seen(&asked.member_id, asked.group_instance_id.as_deref(), generation, Instant::now())?;
        if group.is_assigning() { Err(ResponseError::RebalanceInProgress) } else { Ok(()) }
    });
    // Of an earlier run of this broker.
    checked.unwrap_or(if is_member { Err(ResponseError::UnknownMemberId) } else { Ok(()) })
}

fn keep(
    connection: &Connection,
    group: &str,
    topic: &TopicName,
    asked: OffsetCommitRequestPartition,
) -> Result<(), ResponseError> {
    let topic = connection.shared.topics.get(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let index = asked.partition_index;
    if !(0..topic.partition_count()).contains(&index) {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    let metadata = asked.committed_metadata.unwrap_or_default();
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    let committed = Committed {
        offset: asked.committed_offset,
        leader_epoch: asked.committed_leader_epoch.min(LEADER_EPOCH),
        metadata: metadata.to_string(),
    };
    connection.shared.groups.offsets.commit(group, topic.id, index, committed);
    Ok(())
}

/// Offsets of a topic: each partition's number with what was committed of it.
type OfTopic = (TopicName, Vec<(i32, Option<Committed>)>);

fn committed(connection: &Connection, group: &str, asked: Option<Vec<(TopicName, Vec<i32>)>>) -> Vec<OfTopic> {
    let (topics, offsets) = (&connection.shared.topics, &connection.shared.groups.offsets);
    match asked {
        Some(asked) => asked
            .into_iter()
            .map(|(name, partitions)| {
                let topic = topics.get(&name);
                let of = |index| topic.as_ref().and_then(|topic| offsets.get(group, topic.id, index));
                (name, partitions.into_iter().map(|index| (index, of(index))).collect())
            })
            .collect(),
        None => offsets
            .all(group)
            .into_iter()
            .filter_map(|(id, partitions)| {
                let topic = topics.by_id(id)?;
                Some((topic_name(&topic), partitions.into_iter().map(|(index, of)| (index, Some(of))).collect()))
            })
            .collect(),
    }
}

pub fn fetch(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: OffsetFetchRequest = request.decode()?;
    if request.version < MANY_GROUPS {
        let topics =
            asked.topics.map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
        let found = committed(connection, &asked.group_id, topics);
        let topics = found.into_iter().map(|topic| of_one_group(request.version, topic)).collect();
        return request.encode(&OffsetFetchResponse::default().with_topics(topics));
    }
    let groups = asked
        .groups
        .into_iter()
        .map(|group| {
            let topics = group
                .topics
                .map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
            let found = committed(connection, &group.group_id, topics);
            OffsetFetchResponseGroup::default()
                .with_group_id(group.group_id)
                .with_topics(found.into_iter().map(of_many_groups).collect())
        })
        .collect();
    request.encode(&OffsetFetchResponse::default().with_groups(groups))
}

fn of_one_group(version: i16, (name, partitions): OfTopic) -> OffsetFetchResponseTopic {
    let partitions = partitions.into_iter().map(|(index, committed)| {
        let Committed { offset, leader_epoch, metadata } = committed.unwrap_or_else(nothing);
        let answer = OffsetFetchResponsePartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_metadata(Some(text(&metadata)));
        if version >= 5 { answer.with_committed_leader_epoch(leader_epoch) } else { answer }
    });
    OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions.collect())
}

fn of_many_groups((name, partitions): OfTopic) -> OffsetFetchResponseTopics {
    let partitions = partitions.into_iter().map(|(index, committed)| {
        let Committed { offset, leader_epoch, metadata } = committed.unwrap_or_else(nothing);
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(leader_epoch)
            .with_metadata(Some(text(&metadata)))
    });
    OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions.collect())
}

fn nothing() -> Committed {
    Committed { offset: -1, leader_epoch: -1, metadata: String::new() }
}
