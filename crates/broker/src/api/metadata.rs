//! Which topics there are, and that this node leads them all.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_topic_partitions_response::{
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, MetadataRequest, MetadataResponse, TopicName,
};
use uuid::Uuid;

use super::{Request, text, topic_name};
use crate::batch::Refused;
use crate::connection::{Connection, End};
use crate::topics::Topic;
use crate::{LEADER_EPOCH, NODE_ID};

const NODE: BrokerId = BrokerId(NODE_ID);

pub fn answer(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: MetadataRequest = request.decode()?;
    let topics = &connection.shared.topics;
    // Before version 4 there was no way to say so.
    let may_create = request.version < 4 || asked.allow_auto_topic_creation;
    let describe = |topic: Arc<Topic>| described(&topic, request.version);
    let answers = match asked.topics {
        // Version 0 has no other way to ask for all.
        Some(named) if request.version > 0 || !named.is_empty() => named
            .into_iter()
            .map(|named| match named.name {
                Some(name) => {
                    let found = topics.get(&name).map_or_else(
                        || if may_create { topics.get_or_create(&name) } else { Err(unknown_topic()) },
                        Ok,
                    );
                    found.map_or_else(|refused| not_described(Some(name), Uuid::nil(), &refused), describe)
                }
                None => topics.by_id(named.topic_id).map_or_else(
                    || {
                        let refused = Refused::new(ResponseError::UnknownTopicId, "no topic has this identity");
                        // Versions below 12 cannot leave the name out.
                        let name = (request.version < 12).then(TopicName::default);
                        not_described(name, named.topic_id, &refused)
                    },
                    describe,
                ),
            })
            .collect(),
        _ => topics.all().into_iter().map(describe).collect(),
    };
    let (host, port) = connection.advertised();
    let node = MetadataResponseBroker::default().with_node_id(NODE).with_host(host).with_port(port);
    let answer = MetadataResponse::default()
        .with_brokers(vec![node])
        .with_cluster_id(Some(text(&topics.cluster_id)))
        .with_controller_id(NODE)
        .with_topics(answers);
    request.encode(&answer)
}

fn unknown_topic() -> Refused {
    Refused::new(ResponseError::UnknownTopicOrPartition, "the topic does not exist")
}

fn not_described(name: Option<TopicName>, id: Uuid, refused: &Refused) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_name(name).with_topic_id(id).with_error_code(refused.error.code())
}

fn described(topic: &Topic, version: i16) -> MetadataResponseTopic {
    let partition = |index| {
        let partition = MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(NODE)
            .with_replica_nodes(vec![NODE])
            .with_isr_nodes(vec![NODE]);
        if version >= 7 { partition.with_leader_epoch(LEADER_EPOCH) } else { partition }
    };
    let answer = MetadataResponseTopic::default()
        .with_name(Some(topic_name(topic)))
        .with_partitions((0..topic.partition_count()).map(partition).collect());
    if version >= 10 { answer.with_topic_id(topic.id) } else { answer }
}

pub fn describe(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: DescribeTopicPartitionsRequest = request.decode()?;
    let topics = &connection.shared.topics;
    let mut named: Vec<TopicName> = if asked.topics.is_empty() {
        topics.all().iter().map(|topic| topic_name(topic)).collect()
    } else {
        asked.topics.into_iter().map(|topic| topic.name).collect()
    };
    named.sort();
    // All in one response: their number is bounded, so there is never a cursor.
    let answers = named
        .into_iter()
        .map(|name| match topics.get(&name) {
            Some(topic) => DescribeTopicPartitionsResponseTopic::default()
                .with_topic_id(topic.id)
                .with_name(Some(name))
                .with_partitions((0..topic.partition_count()).map(partition_described).collect()),
            None => DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(name))
                .with_error_code(ResponseError::UnknownTopicOrPartition.code()),
        })
        .collect();
    request.encode(&DescribeTopicPartitionsResponse::default().with_topics(answers).with_next_cursor(None))
}

fn partition_described(index: i32) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(index)
        .with_leader_id(NODE)
        .with_leader_epoch(LEADER_EPOCH)
        .with_replica_nodes(vec![NODE])
        .with_isr_nodes(vec![NODE])
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
}

pub fn cluster(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: DescribeClusterRequest = request.decode()?;
    let (host, port) = connection.advertised();
    let node = DescribeClusterBroker::default().with_broker_id(NODE).with_host(host).with_port(port);
    let answer = DescribeClusterResponse::default()
        .with_cluster_id(text(&connection.shared.topics.cluster_id))
        .with_controller_id(NODE)
        .with_brokers(vec![node]);
    let answer = if request.version >= 1 { answer.with_endpoint_type(asked.endpoint_type) } else { answer };
    request.encode(&answer)
}
