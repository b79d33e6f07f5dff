//! Ways on past what cannot be read.

use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::verdict::{Unread, Verdict};
use vitral_stream::{Skip, StreamConfig, StreamError};

use crate::world::{Shop, acts, archived, end, event, failure, product_views, views, wait_for, with_verdict};

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_batch_stops_the_stream_until_it_is_skipped() {
    let shop = Shop::new(1);
    let topic = shop.topic.kafka_topic.clone();
    let dir = tempfile::tempdir().expect("a folder");
    let events: Vec<Vec<u8>> = (0..50).map(|id| event(id, "p1", "clique")).collect();
    shop.produce_to(0, &events);
    // Two of them, one behind the other: each is named by itself.
    for (first, next) in [(10, 20), (20, 30)] {
        shop.broker.damage(&topic, PartitionId(0), Offset(first)..Offset(next)).expect("damaged");
    }

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

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_is_skipped_only_by_name_and_nothing_that_is_to_come() {
    let shop = Shop::new(1);
    let dir = tempfile::tempdir().expect("a folder");
    let events: Vec<Vec<u8>> = (0..20).map(|id| event(id, "p1", "clique")).collect();
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &events[..10]);
    wait_for(&mut view, "ten are read", |seen| seen.read == 10).await;
    end(stream).await;
    shop.produce_to(0, &events[10..]);
    let skipping = |range: &str| {
        let skip = format!("{}/{range}", shop.topic.name).parse().expect("a range");
        StreamConfig { skips: vec![skip], ..shop.config(dir.path()) }
    };
    for (range, words) in [
        ("0:3-7", "has already passed it"),
        ("0:12-15", "begin the range with 10"),
        ("0:10-20", "ends before offset 20"),
        ("7:10-12", "1 partitions"),
    ] {
        let (stream, _view) = shop.start_with(skipping(range));
        let error = failure(stream).await.to_string();
        assert!(error.contains(words) && error.contains(range), "{range}: {error}");
    }
    let (stream, mut view) = shop.start_with(skipping("0:8-12"));
    let seen = wait_for(&mut view, "the rest is read", |seen| seen.read == 17).await;
    assert_eq!((seen.counted, seen.skipped), (17, 3), "what was read stays read: {seen:?}");
    end(stream).await;
    assert_eq!(archived(&view).await[10].range(), (10, 12, Verdict::Undelivered));
}
