//! What a publisher must do.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Read, TestTopic};
use crate::Outgoing;

/// Messages are where the publisher says, in their order, and equal keys are in one partition.
pub async fn publisher_conforms(test: &impl TestTopic) {
    let topic = test.topic();
    let publisher = test.connector().publisher(Duration::from_secs(30)).expect("a publisher");
    let message = |key: Option<&str>, payload: &str| Outgoing {
        key: key.map(|key| key.as_bytes().to_vec()),
        payload: payload.as_bytes().to_vec(),
        headers: vec![("vitral.correlation_id", "c1".to_owned())],
    };
    let sent = [(Some("a"), "1"), (Some("b"), "2"), (Some("a"), "3"), (None, "4")];
    let messages = sent.iter().map(|(key, payload)| message(*key, payload)).collect();
    let placed = publisher.publish(&topic.kafka_topic, messages).await;
    let placed: Vec<_> = placed.into_iter().map(|placed| placed.expect("the broker has it")).collect();
    assert_eq!(placed[0].partition, placed[2].partition, "equal keys meet");
    assert!(placed[0].offset < placed[2].offset, "in their order");

    let mut source = test.connector().source(topic).expect("a source");
    let partitions = source.log().partitions().expect("partitions");
    let from_the_start: BTreeMap<_, _> = partitions.into_iter().map(|partition| (partition, None)).collect();
    source.assign(&from_the_start).expect("assigned");
    let read = Read::until(&mut *source, 10, |read| read.messages.len() == sent.len());
    for ((key, payload), placed) in sent.iter().zip(&placed) {
        let is_it = |seen: &&super::Seen| (seen.partition, seen.offset) == (placed.partition, placed.offset);
        let seen = read.messages.iter().find(is_it).expect("it is where it was said");
        assert_eq!(seen.payload.as_deref(), Some(payload.as_bytes()));
        assert_eq!(seen.key.as_deref(), key.map(str::as_bytes));
    }
}
