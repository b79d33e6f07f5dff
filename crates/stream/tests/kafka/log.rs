//! A topic's log that is not what the archive knows.

use rdkafka::admin::AdminOptions;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use vitral_stream::StreamError;

use crate::world::{Shop, archived, end, event, failure, kafka, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_refused() {
    let Some(kafka) = kafka() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let shop = Shop::new(kafka.clone(), 1).await;
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event(1, "p", "clique")]).await;
    wait_for(&mut view, "one", |seen| seen.read == 1).await;
    end(stream).await;

    // Another log under the archive's folder: as if the topic had been deleted and made again.
    let other = Shop::new(kafka, 1).await;
    let (stream, _view) = other.start(dir.path());
    let error = failure(stream).await.to_string();
    assert!(error.contains("made anew"), "{error}");
}

/// Deletes the partition's records before `offset`, as retention would.
async fn delete_before(shop: &Shop, partition: i32, offset: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&shop.topic.kafka_topic, partition, Offset::Offset(offset)).expect("an offset");
    let deleted = shop.admin().delete_records(&offsets, &AdminOptions::new()).await.expect("answered");
    for partition in deleted.elements() {
        partition.error().expect("deleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_gone_before_they_were_read_stop_the_stream() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::new(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let events: Vec<Vec<u8>> = (0..10).map(|id| event(id, "p1", "clique")).collect();
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &events[..5]).await;
    wait_for(&mut view, "five are read", |seen| seen.read == 5).await;
    end(stream).await;

    // What was read may go.
    delete_before(&shop, 0, 5).await;
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &events[5..6]).await;
    wait_for(&mut view, "one more is read", |seen| seen.read == 6).await;
    end(stream).await;
    assert_eq!(archived(&view).await.len(), 6);

    shop.produce_to(0, &events[6..]).await;
    delete_before(&shop, 0, 8).await;
    let (stream, _view) = shop.start(dir.path());
    let error = failure(stream).await;
    assert!(matches!(error, StreamError::OffsetsGone { partition: 0, offset: 6, .. }), "{error}");
    let text = error.to_string();
    for part in [shop.topic.kafka_topic.as_str(), "partition 0", "offset 6", "retention.ms", "--data-dir"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
}
