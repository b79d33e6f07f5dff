//! A topic's log that is not what the archive knows.

use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::verdict::{Unread, Verdict};
use vitral_stream::{AcceptedLogs, Skip, StreamConfig, StreamError};

use crate::world::{Archived, Shop, TestBroker, acts, archived, end, event, failure, product_views, views, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_created_again_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let shop = Shop::new(1);
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event(1, "p", "clique")]);
    wait_for(&mut view, "one", |seen| seen.read == 1).await;
    end(stream).await;

    let other = shop.clone();
    other.broker.create_topic(&other.topic.kafka_topic, 1);
    let (stream, _view) = other.start(dir.path());
    let error = failure(stream).await.to_string();
    let way_on = format!("vitral stream --accept-new-log {}", shop.topic.name);
    assert!(error.contains("deleted and created again") && error.contains(&way_on), "{error}");

    // What was counted stays; ids that are known stay known; the new log is read from where it
    // begins.
    other.produce_to(0, &[event(0, "q", "clique"), event(1, "q", "clique"), event(2, "q", "clique")]);
    delete_before(&other, 1);
    let accepted_logs = AcceptedLogs::Of([shop.topic.name.clone()].into());
    let accepted = || StreamConfig { accepted_logs: accepted_logs.clone(), ..other.config(dir.path()) };
    for start in 0..2 {
        let (stream, mut view) = other.start_with(accepted());
        let seen = wait_for(&mut view, "the new log is read", |seen| seen.read == 3).await;
        assert_eq!((seen.counted, seen.duplicate, seen.skipped), (2, 1, 0), "start {start}: {seen:?}");
        end(stream).await;
        let rows = archived(&view).await;
        let marks: Vec<_> = rows.iter().filter(|row| row.unread == Some(Unread::NewLog)).map(Archived::range).collect();
        assert_eq!(marks, [(-1, 0, Verdict::Undelivered)], "start {start}");
        assert_eq!(rows.len(), 4);
        assert_eq!(product_views(&view).await, views([("p", 1), ("q", 1)]));
    }
    assert_eq!(acts(dir.path()).await, ["aceitar_log"], "once, however often the flag is given");
}

/// Deletes the partition's messages before `offset`, as retention would.
fn delete_before(shop: &Shop, offset: i64) {
    shop.broker.delete_before(&shop.topic.kafka_topic, PartitionId(0), Offset(offset)).expect("deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_gone_before_they_were_read_stop_the_stream() {
    let shop = Shop::new(1);
    let log = shop.clone();
    lost_messages_stop_the_stream(shop, async |offset| delete_before(&log, offset)).await;
}

/// On a topic of one partition, whose messages before an offset can be deleted as retention would.
pub async fn lost_messages_stop_the_stream<B: TestBroker>(shop: Shop<B>, delete_before: impl AsyncFn(i64)) {
    let dir = tempfile::tempdir().expect("a folder");
    let events: Vec<Vec<u8>> = (0..10).map(|id| event(id, "p1", "clique")).collect();
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &events[..5]);
    wait_for(&mut view, "five are read", |seen| seen.read == 5).await;
    end(stream).await;

    // What was read may go.
    delete_before(5).await;
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &events[5..6]);
    wait_for(&mut view, "one more is read", |seen| seen.read == 6).await;
    end(stream).await;
    assert_eq!(archived(&view).await.len(), 6);

    shop.produce_to(0, &events[6..]);
    delete_before(8).await;
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
