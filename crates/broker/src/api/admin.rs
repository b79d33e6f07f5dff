//! Clients create and delete topics, and tools ask for settings.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, DescribeConfigsRequest,
    DescribeConfigsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Request, text};
use crate::NODE_ID;
use crate::batch::Refused;
use crate::connection::{Connection, End};
use crate::limits::Limits;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// A setting at its default.
const DEFAULT: i8 = 5;

pub fn create_topics(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: CreateTopicsRequest = request.decode()?;
    let topics = &connection.shared.topics;
    let answers = asked
        .topics
        .into_iter()
        .map(|topic| {
            // Settings are not kept: the limits of the broker apply to every topic.
            let partitions = match topic.assignments.len() {
                0 => topic.num_partitions,
                assigned => i32::try_from(assigned).unwrap_or(i32::MAX),
            };
            let made = if !matches!(topic.replication_factor, -1 | 1) {
                let reason = "the demo's broker is one node: the replication factor is 1";
                Err(Refused::new(ResponseError::InvalidReplicationFactor, reason))
            } else if asked.validate_only {
                topics.check_new(&topic.name, partitions).map(|entry| (Uuid::nil(), entry.partitions))
            } else {
                topics.create(&topic.name, partitions).map(|topic| (topic.id, topic.partition_count()))
            };
            let answer = CreatableTopicResult::default().with_name(topic.name);
            match made {
                Ok((id, partitions)) => {
                    let answer = if request.version >= 7 { answer.with_topic_id(id) } else { answer };
                    if request.version < 5 {
                        return answer;
                    }
                    answer.with_num_partitions(partitions).with_replication_factor(1)
                }
                Err(refused) => {
                    answer.with_error_code(refused.error.code()).with_error_message(Some(text(&refused.reason)))
                }
            }
        })
        .collect();
    request.encode(&CreateTopicsResponse::default().with_topics(answers))
}

pub fn delete_topics(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: DeleteTopicsRequest = request.decode()?;
    let by_name = asked.topic_names.into_iter().map(|name| (Some(name), Uuid::nil()));
    let by_either = asked.topics.into_iter().map(|topic| (topic.name, topic.topic_id));
    let answers = by_name.chain(by_either).map(|(name, id)| delete(connection, request.version, name, id)).collect();
    request.encode(&DeleteTopicsResponse::default().with_responses(answers))
}

fn delete(connection: &Connection, version: i16, name: Option<TopicName>, id: Uuid) -> DeletableTopicResult {
    let topics = &connection.shared.topics;
    let found = match &name {
        Some(name) => topics.get(name).ok_or(ResponseError::UnknownTopicOrPartition),
        None => topics.by_id(id).ok_or(ResponseError::UnknownTopicId),
    };
    let deleted = found
        .map_err(|error| Refused::new(error, "the topic does not exist"))
        .and_then(|topic| topics.delete(&topic).map(|()| topic));
    let answer = DeletableTopicResult::default();
    match deleted {
        Ok(topic) => {
            tracing::info!(topic = topic.name, "a client deleted a topic");
            connection.shared.groups.offsets.delete_topic(topic.id);
            let answer = answer.with_name(Some(TopicName(text(&topic.name))));
            if version >= 6 { answer.with_topic_id(topic.id) } else { answer }
        }
        Err(refused) => {
            let answer = answer.with_name(name).with_error_code(refused.error.code());
            let answer = if version >= 6 { answer.with_topic_id(id) } else { answer };
            if version >= 5 { answer.with_error_message(Some(text(&refused.reason))) } else { answer }
        }
    }
}

pub fn describe_configs(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: DescribeConfigsRequest = request.decode()?;
    let topics = &connection.shared.topics;
    let results = asked
        .resources
        .into_iter()
        .map(|resource| {
            let answer = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            let found = match resource.resource_type {
                TOPIC if topics.get(&resource.resource_name).is_some() => Ok(of_topics(&topics.limits)),
                TOPIC => Err(ResponseError::UnknownTopicOrPartition),
                BROKER if [NODE_ID.to_string().as_str(), ""].contains(&resource.resource_name.as_str()) => {
                    Ok(of_the_broker(&topics.limits))
                }
                _ => Err(ResponseError::InvalidRequest),
            };
            match found {
                Ok(settings) => {
                    let wanted = |name: &&str| {
                        let keys = resource.configuration_keys.as_ref();
                        keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == *name))
                    };
                    let settings = settings.into_iter().filter(|(name, _)| wanted(name));
                    answer.with_configs(settings.map(|(name, value)| setting(name, value)).collect())
                }
                Err(error) => answer.with_error_code(error.code()),
            }
        })
        .collect();
    request.encode(&DescribeConfigsResponse::default().with_results(results))
}

fn of_topics(limits: &Limits) -> Vec<(&'static str, String)> {
    vec![
        ("cleanup.policy", "delete".to_owned()),
        ("compression.type", "producer".to_owned()),
        ("max.message.bytes", limits.batch_bytes.to_string()),
        ("message.timestamp.type", "CreateTime".to_owned()),
        ("min.insync.replicas", "1".to_owned()),
        ("retention.ms", limits.retention.as_millis().to_string()),
        ("segment.bytes", limits.segment_bytes.to_string()),
    ]
}

fn of_the_broker(limits: &Limits) -> Vec<(&'static str, String)> {
    vec![
        ("auto.create.topics.enable", "true".to_owned()),
        ("message.max.bytes", limits.batch_bytes.to_string()),
        ("num.partitions", limits.default_partitions.to_string()),
        ("socket.request.max.bytes", limits.request_bytes.to_string()),
    ]
}

fn setting(name: &'static str, value: String) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(name))
        .with_value(Some(StrBytes::from_string(value)))
        .with_read_only(true)
        .with_config_source(DEFAULT)
}
