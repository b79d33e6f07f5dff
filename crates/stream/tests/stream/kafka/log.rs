//! A topic's log of which the broker has lost a part.

use rdkafka::admin::AdminOptions;
use rdkafka::topic_partition_list::{Offset as ListOffset, TopicPartitionList};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::verdict::{Unread, Verdict};
use vitral_stream::{Skip, StreamConfig, StreamError};

use super::world::{KafkaShop, kafka};
use crate::world::{Shop, acts, archived, end, event, failure, wait_for};

/// Deletes the partition's records before `offset`, as retention would.
async fn delete_before(shop: &KafkaShop, partition: i32, offset: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&shop.topic.kafka_topic, partition, ListOffset::Offset(offset)).expect("an offset");
    let deleted = shop.broker.admin().delete_records(&offsets, &AdminOptions::new()).await.expect("answered");
    for partition in deleted.elements() {
        partition.error().expect("deleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_gone_before_they_were_read_stop_the_stream() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let events: Vec<Vec<u8>> = (0..10).map(|id| event(id, "p1", "clique")).collect();
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &events[..5]);
    wait_for(&mut view, "five are read", |seen| seen.read == 5).await;
    end(stream).await;

    // What was read may go.
    delete_before(&shop, 0, 5).await;
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &events[5..6]);
    wait_for(&mut view, "one more is read", |seen| seen.read == 6).await;
    end(stream).await;
    assert_eq!(archived(&view).await.len(), 6);

    shop.produce_to(0, &events[6..]);
    delete_before(&shop, 0, 8).await;
    let (stream, _view) = shop.start(dir.path());
    let error = failure(stream).await;
    assert!(matches!(error, StreamError::OffsetsGone { partition: PartitionId(0), offset: Offset(6), .. }), "{error}");
    let text = error.to_string();
    for part in [shop.topic.kafka_topic.as_str(), "partition 0", "offset 6", "retention.ms", "vitral stream --skip"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    let skip: Skip = text.split("--skip ").nth(1).expect("the way on").parse().expect("a range");
    let skipping = || StreamConfig { skips: vec![skip.clone()], ..shop.config(dir.path()) };
    for start in 0..2 {
        let (stream, mut view) = shop.start_with(skipping());
        let seen = wait_for(&mut view, "what is left is read", |seen| seen.read == 8).await;
        assert_eq!((seen.counted, seen.skipped), (8, 2), "start {start}: {seen:?}");
        end(stream).await;
        let rows = archived(&view).await;
        assert_eq!(rows[6].range(), (6, 7, Verdict::Undelivered));
        assert_eq!((rows[6].unread, rows.len()), (Some(Unread::Skipped), 9));
    }
    assert_eq!(acts(dir.path()).await, ["pular"], "once, however often the flag is given");
}
