//! The fields of each request that is served, as Kafka's protocol has them: which bytes follow
//! which.

use kafka_protocol::messages::ApiKey;

pub struct Field {
    pub since: i16,
    pub until: i16,
    pub shape: Shape,
}

pub enum Shape {
    Fixed(usize),
    Text,
    Bytes,
    Many(&'static [Field]),
    ManyOf(&'static Shape),
    Option(&'static [Field]),
}

use Shape::{Bytes, Fixed, Many, ManyOf, Text};

const I8: Shape = Fixed(1);
const I16: Shape = Fixed(2);
const I32: Shape = Fixed(4);
const I64: Shape = Fixed(8);
const UUID: Shape = Fixed(16);

const fn all(shape: Shape) -> Field {
    Field { since: 0, until: i16::MAX, shape }
}

const fn since(since: i16, shape: Shape) -> Field {
    Field { since, until: i16::MAX, shape }
}

const fn until(until: i16, shape: Shape) -> Field {
    Field { since: 0, until, shape }
}

const fn between(since: i16, until: i16, shape: Shape) -> Field {
    Field { since, until, shape }
}

/// The first flexible version, and the fields.
pub fn of(api: ApiKey) -> Option<(i16, &'static [Field])> {
    Some(match api {
        ApiKey::Produce => (9, PRODUCE),
        ApiKey::Fetch => (12, FETCH),
        ApiKey::ListOffsets => (6, LIST_OFFSETS),
        ApiKey::Metadata => (9, METADATA),
        ApiKey::ApiVersions => (3, API_VERSIONS),
        ApiKey::CreateTopics => (5, CREATE_TOPICS),
        ApiKey::DeleteTopics => (4, DELETE_TOPICS),
        ApiKey::InitProducerId => (2, INIT_PRODUCER_ID),
        ApiKey::OffsetForLeaderEpoch => (4, OFFSET_FOR_LEADER_EPOCH),
        ApiKey::FindCoordinator => (3, FIND_COORDINATOR),
        ApiKey::DescribeConfigs => (4, DESCRIBE_CONFIGS),
        ApiKey::DescribeCluster => (0, DESCRIBE_CLUSTER),
        ApiKey::DescribeTopicPartitions => (0, DESCRIBE_TOPIC_PARTITIONS),
        ApiKey::JoinGroup => (6, JOIN_GROUP),
        ApiKey::SyncGroup => (4, SYNC_GROUP),
        ApiKey::Heartbeat => (4, HEARTBEAT),
        ApiKey::LeaveGroup => (4, LEAVE_GROUP),
        ApiKey::OffsetCommit => (8, OFFSET_COMMIT),
        ApiKey::OffsetFetch => (6, OFFSET_FETCH),
        ApiKey::ListGroups => (3, LIST_GROUPS),
        ApiKey::DescribeGroups => (5, DESCRIBE_GROUPS),
        ApiKey::DeleteGroups => (2, DELETE_GROUPS),
        _ => return None,
    })
}

const PRODUCE: &[Field] = &[
    all(Text),
    all(I16),
    all(I32),
    all(Many(&[until(12, Text), since(13, UUID), all(Many(&[all(I32), all(Bytes)]))])),
];

const FETCH: &[Field] = &[
    until(14, I32),
    all(I32),
    all(I32),
    all(I32),
    all(I8),
    since(7, I32),
    since(7, I32),
    all(Many(&[
        until(12, Text),
        since(13, UUID),
        all(Many(&[all(I32), since(9, I32), all(I64), since(12, I32), since(5, I64), all(I32)])),
    ])),
    since(7, Many(&[until(12, Text), since(13, UUID), all(ManyOf(&I32))])),
    since(11, Text),
];

const LIST_OFFSETS: &[Field] =
    &[all(I32), since(2, I8), all(Many(&[all(Text), all(Many(&[all(I32), since(4, I32), all(I64)]))])), since(10, I32)];

const METADATA: &[Field] = &[all(Many(&[since(10, UUID), all(Text)])), since(4, I8), between(8, 10, I8), since(8, I8)];

const CREATE_TOPICS: &[Field] = &[
    all(Many(&[
        all(Text),
        all(I32),
        all(I16),
        all(Many(&[all(I32), all(ManyOf(&I32))])),
        all(Many(&[all(Text), all(Text)])),
    ])),
    all(I32),
    all(I8),
];

const DELETE_TOPICS: &[Field] = &[since(6, Many(&[all(Text), all(UUID)])), until(5, ManyOf(&Text)), all(I32)];

const OFFSET_FOR_LEADER_EPOCH: &[Field] =
    &[since(3, I32), all(Many(&[all(Text), all(Many(&[all(I32), all(I32), all(I32)]))]))];

const DESCRIBE_CONFIGS: &[Field] = &[all(Many(&[all(I8), all(Text), all(ManyOf(&Text))])), all(I8), since(3, I8)];

const DESCRIBE_TOPIC_PARTITIONS: &[Field] =
    &[all(Many(&[all(Text)])), all(I32), all(Shape::Option(&[all(Text), all(I32)]))];

const JOIN_GROUP: &[Field] = &[
    all(Text),
    all(I32),
    since(1, I32),
    all(Text),
    since(5, Text),
    all(Text),
    all(Many(&[all(Text), all(Bytes)])),
    since(8, Text),
];

const SYNC_GROUP: &[Field] = &[
    all(Text),
    all(I32),
    all(Text),
    since(3, Text),
    since(5, Text),
    since(5, Text),
    all(Many(&[all(Text), all(Bytes)])),
];

const LEAVE_GROUP: &[Field] =
    &[all(Text), until(2, Text), since(3, Many(&[all(Text), since(3, Text), since(5, Text)]))];

const OFFSET_COMMIT: &[Field] = &[
    all(Text),
    all(I32),
    all(Text),
    since(7, Text),
    until(4, I64),
    all(Many(&[all(Text), all(Many(&[all(I32), all(I64), since(6, I32), all(Text)]))])),
];

const OFFSET_FETCH: &[Field] = &[
    until(7, Text),
    until(7, Many(&[all(Text), all(ManyOf(&I32))])),
    since(8, Many(&[all(Text), since(9, Text), since(9, I32), all(Many(&[all(Text), all(ManyOf(&I32))]))])),
    since(7, I8),
];

const API_VERSIONS: &[Field] = &[since(3, Text), since(3, Text)];

const INIT_PRODUCER_ID: &[Field] = &[all(Text), all(I32), since(3, I64), since(3, I16)];

const FIND_COORDINATOR: &[Field] = &[until(3, Text), since(1, I8), since(4, ManyOf(&Text))];

const DESCRIBE_CLUSTER: &[Field] = &[all(I8), since(1, I8), since(2, I8)];

const HEARTBEAT: &[Field] = &[all(Text), all(I32), all(Text), since(3, Text)];

const LIST_GROUPS: &[Field] = &[since(4, ManyOf(&Text)), since(5, ManyOf(&Text))];

const DESCRIBE_GROUPS: &[Field] = &[all(ManyOf(&Text)), since(3, I8)];

const DELETE_GROUPS: &[Field] = &[all(ManyOf(&Text))];
