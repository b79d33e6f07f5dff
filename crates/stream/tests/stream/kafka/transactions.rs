//! Producers with transactions.

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use vitral_connect_kafka::client;
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::Clock;
use vitral_schemas::verdict::Verdict::{Counted, Undelivered};

use super::world::{KafkaShop, kafka};
use crate::world::{
    Archived, MINUTE_MS, NOON_MS, PATIENCE, Shop, archived, end, event, event_at, go_on, go_on_until, product_views,
    views, wait_for, wait_for_archive,
};

struct Transactions<'a> {
    producer: BaseProducer,
    shop: &'a KafkaShop,
}

impl<'a> Transactions<'a> {
    fn new(shop: &'a KafkaShop) -> Self {
        let mut client = client(&shop.broker.config);
        client.set("transactional.id", shop.topic.kafka_topic.as_str()).set("linger.ms", "0");
        let producer: BaseProducer = client.create().expect("a producer");
        producer.init_transactions(PATIENCE).expect("a producer with transactions");
        Self { producer, shop }
    }

    /// Begins a transaction with these messages, all of which the broker has then.
    fn begin(&self, partition: i32, payloads: &[Vec<u8>]) {
        self.producer.begin_transaction().expect("begun");
        for payload in payloads {
            let record = BaseRecord::<(), [u8]>::to(&self.shop.topic.kafka_topic).partition(partition).payload(payload);
            self.producer.send(record).map_err(|(error, _)| error).expect("queued");
        }
        self.producer.flush(PATIENCE).expect("flushed");
    }

    fn commit(&self) {
        self.producer.commit_transaction(PATIENCE).expect("committed");
    }

    fn abort(&self) {
        self.producer.abort_transaction(PATIENCE).expect("aborted");
    }
}

fn events(ids: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    ids.map(|id| event(id, "p1", "clique")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_aborted_is_archived_as_one_range() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on(kafka, 1).await;
    let transactions = Transactions::new(&shop);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &events(0..1));
    // At the end of the partition: no message follows that would show the step. The control record
    // is one more offset.
    transactions.begin(0, &events(1..4));
    transactions.abort();
    wait_for_archive(&mut view, 0, 5).await;
    let seen = wait_for(&mut view, "one was read", |seen| seen.read == 1).await;
    assert_eq!(seen.counted, 1, "{seen:?}");
    transactions.begin(0, &events(4..6));
    transactions.commit();
    wait_for_archive(&mut view, 0, 8).await;
    let seen = wait_for(&mut view, "three were read", |seen| seen.read == 3).await;
    assert_eq!(seen.counted, 3, "{seen:?}");
    end(stream).await;

    // The same across a restart.
    transactions.begin(0, &events(6..7));
    transactions.abort();
    let (stream, mut view) = shop.start(dir.path());
    // The broker writes the mark of the end when it likes.
    wait_for_archive(&mut view, 0, 10).await;
    shop.produce_to(0, &events(7..8));
    let seen = wait_for(&mut view, "four were read", |seen| seen.read == 4).await;
    assert_eq!((seen.counted, seen.duplicate), (4, 0), "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", 4)]));
    let ranges: Vec<_> = archived(&view).await.iter().map(Archived::range).collect();
    assert_eq!(
        ranges,
        [
            (0, 0, Counted),
            (1, 4, Undelivered),
            (5, 5, Counted),
            (6, 6, Counted),
            (7, 7, Undelivered),
            (8, 9, Undelivered),
            (10, 10, Counted)
        ]
    );
}

/// What an open transaction holds back will be read: the partition is not at its end.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_holds_m_until_it_ends() {
    let Some(kafka) = kafka() else { return };
    let (shop, clock) = Shop::on(kafka, 2).await.with_clock_at_noon();
    let transactions = Transactions::new(&shop);
    let held_ms = NOON_MS - 30 * MINUTE_MS;
    transactions.begin(1, &[event_at(0, "p1", "clique", held_ms)]);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    wait_for(&mut view, "it runs", |_| true).await;
    for _ in 0..4 {
        let seen = go_on(&shop, &clock, &mut view).await;
        assert!(seen.watermark.is_none() && !seen.idle_partitions.contains(&PartitionId(1)), "{seen:?}");
    }
    transactions.commit();
    let m = Some(held_ms - shop.topic.watermark_ms);
    let seen = wait_for(&mut view, "its event moves M", |seen| seen.watermark.map(Watermark::ms) == m).await;
    assert_eq!((seen.read, seen.counted), (5, 5), "{seen:?}");
    go_on_until(&shop, &clock, &mut view, "the partition is idle again", |seen| seen.watermark.map(Watermark::ms) > m)
        .await;
    end(stream).await;
    assert_eq!(product_views(&view).await.get("p1"), Some(&1));
    let rows = archived(&view).await;
    let of_second: Vec<_> = rows.iter().filter(|row| row.partition == 1).map(Archived::range).collect();
    assert_eq!(of_second, [(0, 0, Counted), (1, 1, Undelivered)]);
}

/// The same where the partition's end was reached before: no mark comes that says it is the end no
/// more.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_begins_at_the_end_ends_the_idleness() {
    let Some(kafka) = kafka() else { return };
    let (shop, clock) = Shop::on(kafka, 2).await.with_clock_at_noon();
    let transactions = Transactions::new(&shop);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    let what = "the partition without events is idle";
    go_on_until(&shop, &clock, &mut view, what, |seen| seen.watermark.is_some()).await;
    transactions.begin(1, &[event_at(0, "p1", "clique", clock.now_ms())]);
    let what = "the partition has more than can be read";
    let held = wait_for(&mut view, what, |seen| !seen.idle_partitions.contains(&PartitionId(1))).await;
    for _ in 0..4 {
        let seen = go_on(&shop, &clock, &mut view).await;
        assert!(
            seen.watermark.map(Watermark::ms) == held.watermark.map(Watermark::ms)
                && !seen.idle_partitions.contains(&PartitionId(1)),
            "{seen:?}"
        );
    }
    transactions.commit();
    let seen = wait_for(&mut view, "its event is read", |seen| seen.read == held.read + 5).await;
    assert_eq!((seen.counted, seen.late), (seen.read, 0), "{seen:?}");
    end(stream).await;
    archived(&view).await;
}
