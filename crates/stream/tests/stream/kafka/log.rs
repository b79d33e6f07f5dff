//! A topic's log of which the broker has lost a part.

use rdkafka::admin::AdminOptions;
use rdkafka::topic_partition_list::{Offset as ListOffset, TopicPartitionList};

use super::world::{KafkaShop, kafka};
use crate::log::lost_messages_stop_the_stream;
use crate::world::Shop;

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
    let log = shop.clone();
    lost_messages_stop_the_stream(shop, async |offset| delete_before(&log, 0, offset).await).await;
}
