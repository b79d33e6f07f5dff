//! The requests that are served, and in which versions.

mod admin;
mod fetch;
mod group_offsets;
mod groups;
mod metadata;
mod offsets;
mod produce;
mod producer_ids;
mod versions;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use uuid::Uuid;

use crate::connection::{Connection, End};
use crate::topics::Topic;

/// The oldest and newest version of each. librdkafka, on which many clients are built, compresses
/// only where version 0 of `Produce` is listed, so Apache Kafka 4 lists it too; no client sends it.
pub const SERVED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 0, 13),
    (ApiKey::Fetch, 4, 16),
    (ApiKey::ListOffsets, 1, 9),
    (ApiKey::Metadata, 0, 13),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 5),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::FindCoordinator, 0, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::DescribeCluster, 0, 1),
    (ApiKey::DescribeTopicPartitions, 0, 0),
];

/// A request as it came, its head read.
pub struct Request {
    version: i16,
    correlation_id: i32,
    body: Bytes,
}

/// The response, framed; none where the client expects none.
pub async fn answer(connection: &mut Connection, frame: Bytes) -> Result<Option<Bytes>, End> {
    let Some((key, version)) =
        frame.first_chunk().map(|&[a, b, c, d]| (i16::from_be_bytes([a, b]), i16::from_be_bytes([c, d])))
    else {
        return Err(End::NotUnderstood("a request without a header".to_owned()));
    };
    let served = SERVED.iter().find(|(api, ..)| *api as i16 == key);
    let Some(&(api, oldest, newest)) = served else {
        return Err(End::NotUnderstood(format!("this broker does not serve requests of kind {key}")));
    };
    if !(oldest..=newest).contains(&version) {
        if api == ApiKey::ApiVersions {
            return versions::unknown_version(&frame).map(Some);
        }
        return Err(End::NotUnderstood(format!("{api:?} is served from version {oldest} to {newest}, not {version}")));
    }
    let mut body = frame;
    let header = RequestHeader::decode(&mut body, api.request_header_version(version)).map_err(not_understood)?;
    if !crate::guard::holds(api, version, &body) {
        return Err(not_understood("it is shorter than its fields say"));
    }
    let request = Request { version, correlation_id: header.correlation_id, body };
    match api {
        ApiKey::ApiVersions => versions::answer(request),
        ApiKey::Metadata => metadata::answer(connection, request),
        ApiKey::DescribeTopicPartitions => metadata::describe(connection, request),
        ApiKey::DescribeCluster => metadata::cluster(connection, request),
        ApiKey::Produce => produce::answer(connection, request, header.client_id.as_deref()),
        ApiKey::Fetch => fetch::answer(connection, request).await,
        ApiKey::ListOffsets => offsets::list(connection, request),
        ApiKey::OffsetForLeaderEpoch => offsets::for_leader_epoch(connection, request),
        ApiKey::CreateTopics => admin::create_topics(connection, request),
        ApiKey::DeleteTopics => admin::delete_topics(connection, request),
        ApiKey::DescribeConfigs => admin::describe_configs(connection, request),
        ApiKey::InitProducerId => producer_ids::answer(connection, request),
        ApiKey::FindCoordinator => producer_ids::find_coordinator(connection, request),
        ApiKey::OffsetCommit => group_offsets::commit(connection, request),
        ApiKey::OffsetFetch => group_offsets::fetch(connection, request),
        ApiKey::JoinGroup => groups::join(connection, request, header.client_id).await,
        ApiKey::SyncGroup => groups::sync(connection, request).await,
        ApiKey::Heartbeat => groups::heartbeat(connection, request),
        ApiKey::LeaveGroup => groups::leave(connection, request),
        ApiKey::ListGroups => groups::list(connection, request),
        ApiKey::DescribeGroups => groups::describe(connection, request),
        ApiKey::DeleteGroups => groups::delete(connection, request),
        _ => Err(End::NotUnderstood(format!("{api:?} is not served"))),
    }
}

impl Request {
    fn decode<T: Decodable>(&mut self) -> Result<T, End> {
        T::decode(&mut self.body, self.version).map_err(not_understood)
    }

    fn encode<T: Encodable + HeaderVersion>(&self, answer: &T) -> Result<Option<Bytes>, End> {
        frame(self.correlation_id, self.version, answer).map(Some)
    }
}

fn frame<T: Encodable + HeaderVersion>(correlation_id: i32, version: i16, answer: &T) -> Result<Bytes, End> {
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    let header_version = T::header_version(version);
    let bytes = header.compute_size(header_version).map_err(not_written)?
        + answer.compute_size(version).map_err(not_written)?;
    let length = i32::try_from(bytes).map_err(not_written)?;
    let mut buffer = BytesMut::with_capacity(4 + bytes);
    buffer.put_i32(length);
    header.encode(&mut buffer, header_version).map_err(not_written)?;
    answer.encode(&mut buffer, version).map_err(not_written)?;
    Ok(buffer.freeze())
}

fn not_written(error: impl std::fmt::Display) -> End {
    End::NotUnderstood(format!("an answer cannot be written: {error}"))
}

fn not_understood(error: impl std::fmt::Display) -> End {
    End::NotUnderstood(format!("a request cannot be read: {error}"))
}

fn topic_name(topic: &Topic) -> TopicName {
    TopicName(text(&topic.name))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic that a request names, or gives the identity of.
fn find_topic(connection: &Connection, name: &TopicName, id: Uuid) -> Option<std::sync::Arc<Topic>> {
    let topics = &connection.shared.topics;
    if id.is_nil() { topics.get(name) } else { topics.by_id(id) }
}
