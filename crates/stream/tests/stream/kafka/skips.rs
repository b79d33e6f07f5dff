//! A batch that is damaged on the broker's disk.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use vitral_connect::Connector;
use vitral_connect_kafka::KafkaConnector;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::verdict::{Unread, Verdict};
use vitral_stream::{Skip, StreamError};

use super::world::{KafkaShop, kafka};
use crate::world::{Shop, acts, archived, end, event, failure, product_views, views, wait_for, with_verdict};

/// What is sent together is one batch.
const ONE_BATCH: [(&str, &str); 3] =
    [("compression.codec", "gzip"), ("batch.num.messages", "10"), ("linger.ms", "1000")];
/// Of a batch: its first offset, its length, and what comes before its records.
const LENGTH_AT: u64 = 8;
const HEAD_BYTES: u64 = 61;

/// Where the broker under test keeps its logs; none without it.
fn broker_data() -> Option<PathBuf> {
    let data = std::env::var_os("VITRAL_TEST_KAFKA_DATA").map(PathBuf::from);
    if data.is_none() {
        eprintln!("left out: VITRAL_TEST_KAFKA_DATA is not set (scripts/services env)");
    }
    data
}

/// Changes a byte in the records of the batch that begins at `offset`, on the broker's disk.
fn damage(data: &std::path::Path, shop: &KafkaShop, offset: i64) {
    let log = data.join(format!("{}-0", shop.topic.kafka_topic)).join("00000000000000000000.log");
    let mut log = std::fs::File::options().read(true).write(true).open(log).expect("the partition's log");
    let mut at = 0;
    loop {
        let mut head = [0; 12];
        log.seek(SeekFrom::Start(at)).expect("sought");
        log.read_exact(&mut head).expect("a batch");
        let (first, length) = head.split_at(usize::try_from(LENGTH_AT).expect("small"));
        let first = i64::from_be_bytes(first.try_into().expect("eight bytes"));
        let length = u64::from(u32::from_be_bytes(length.try_into().expect("four bytes")));
        if first == offset {
            let place = at + HEAD_BYTES + (length + 12 - HEAD_BYTES) / 2;
            let mut byte = [0];
            log.seek(SeekFrom::Start(place)).expect("sought");
            log.read_exact(&mut byte).expect("a byte");
            log.seek(SeekFrom::Start(place)).expect("sought");
            log.write_all(&[byte[0] ^ 0xff]).expect("written");
            return;
        }
        at += 12 + length;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_batch_stops_the_stream_until_it_is_skipped() {
    let (Some(kafka), Some(data)) = (kafka(), broker_data()) else { return };
    let shop = Shop::on(kafka, 1).await;
    let topic = shop.topic.kafka_topic.clone();
    let dir = tempfile::tempdir().expect("a folder");
    let events: Vec<Vec<u8>> = (0..50).map(|id| event(id, "p1", "clique")).collect();
    for batch in events.chunks(10) {
        shop.produce_with(&ONE_BATCH, 0, batch);
    }
    // Two of them, one behind the other: each is named by itself.
    damage(&data, &shop, 10);
    damage(&data, &shop, 20);
    let log = KafkaConnector::new(shop.broker.config.clone()).source(&shop.topic).expect("a source").log();
    let reach = tokio::task::spawn_blocking(move || log.unreadable_until(PartitionId(0), Offset(13), Offset(50)));
    assert_eq!(reach.await.expect("asked").expect("answered"), Some(Offset(20)), "from within the batch");

    let mut config = shop.config(dir.path());
    for (first, last) in [(10, 19), (20, 29)] {
        let (stream, view) = shop.start_with(config.clone());
        let error = failure(stream).await;
        assert!(matches!(error, StreamError::Unreadable { partition: PartitionId(0), .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("at offset {first} cannot be read")), "{text}");
        let skip: Skip = text.split("vitral stream --skip ").nth(1).expect("the way on").parse().expect("a range");
        let named = Skip { topic: topic.clone(), partition: PartitionId(0), first: Offset(first), last: Offset(last) };
        assert_eq!(skip, named, "{text}");
        // What came before it is committed.
        assert_eq!(with_verdict(&archived(&view).await, Verdict::Counted), 10);
        config.skips.push(skip);
    }
    for start in 0..2 {
        let (stream, mut view) = shop.start_with(config.clone());
        let seen = wait_for(&mut view, "what is left is read", |seen| seen.read == 30).await;
        assert_eq!((seen.counted, seen.skipped), (30, 20), "start {start}: {seen:?}");
        end(stream).await;
        let rows = archived(&view).await;
        let skipped: Vec<_> = rows.iter().filter(|row| row.unread == Some(Unread::Skipped)).collect();
        assert_eq!(
            skipped.iter().map(|row| row.range()).collect::<Vec<_>>(),
            [(10, 19, Verdict::Undelivered), (20, 29, Verdict::Undelivered)]
        );
        assert_eq!(product_views(&view).await, views([("p1", 30)]));
    }
    assert_eq!(acts(dir.path()).await, ["pular", "pular"]);
}
