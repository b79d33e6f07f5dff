//! What dead letters must do.

use std::collections::BTreeMap;

use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::Reason;

use super::{Read, TestTopic};
use crate::DeadLetter;

/// Payload and key are kept, in the order in which they were sent, before a delivery resolves.
pub async fn dead_letters_conform(test: &impl TestTopic) {
    let topic = test.topic();
    let mut dead_letters = test.connector().dead_letters(topic).await.expect("dead letters");
    let letter = |offset: i64, payload: &'static [u8], key: Option<&'static [u8]>| DeadLetter {
        topic: "eventos",
        partition: PartitionId(3),
        offset: Offset(offset),
        key,
        payload,
        truncated_bytes: None,
        reason: Reason::Json,
        detail: "not an object",
    };
    for letter in [letter(7, b"{broken", Some(b"k")), letter(8, b"", None)] {
        dead_letters.send(&letter).expect("sent").await.expect("kept");
    }
    let kept = Topic { kafka_topic: topic.dead_letter_topic(), ..topic.clone() };
    let mut source = test.connector().source(&kept).expect("a source");
    source.assign(&BTreeMap::from([(PartitionId(0), None)])).expect("assigned");
    let read = Read::until(&mut *source, 10, |read| read.messages.len() == 2);
    let found: Vec<_> = read.messages.iter().map(|seen| (seen.payload.as_deref(), seen.key.as_deref())).collect();
    assert_eq!(found, [(Some(&b"{broken"[..]), Some(&b"k"[..])), (Some(&b""[..]), None)]);
}
