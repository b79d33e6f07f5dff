//! Messages that come more than once.

use vitral_schemas::verdict::Verdict;

use crate::world::{Shop, archived, end, event, kafka, key, product_views, views, wait_for, with_verdict};

#[tokio::test(flavor = "multi_thread")]
async fn however_often_a_message_comes_it_counts_once() {
    const IDS: usize = 200;
    const MESSAGES: usize = IDS / 5 * (1 + 2 + 3 + 4 + 5);
    let Some(kafka) = kafka() else { return };
    let shop = Shop::new(kafka, 2).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    let events: Vec<(String, Vec<u8>)> = (0..IDS).map(|id| (key(id), event(id, "p1", "clique"))).collect();
    // The first round sends all of them, the fifth those that are sent five times.
    let rounds = (0..5).flat_map(|round| events.iter().enumerate().filter(move |(id, _)| id % 5 >= round));
    let messages: Vec<(&String, &Vec<u8>)> = rounds.map(|(_, (key, payload))| (key, payload)).collect();
    assert_eq!(messages.len(), MESSAGES);
    shop.produce(&messages);
    let seen = wait_for(&mut view, "all are read", |seen| seen.read >= MESSAGES as u64).await;
    assert_eq!((seen.counted, seen.duplicate), (IDS as u64, (MESSAGES - IDS) as u64), "{seen:?}");
    end(stream).await;

    // What was counted before a restart is known after it.
    let (stream, mut view) = shop.start(dir.path());
    let mut again = events.clone();
    again.extend((IDS..IDS + 10).map(|id| (key(id), event(id, "p2", "clique"))));
    shop.produce(&again);
    let read = MESSAGES + IDS + 10;
    let seen = wait_for(&mut view, "all are read again", |seen| seen.read >= read as u64).await;
    assert_eq!((seen.counted, seen.duplicate), (IDS as u64 + 10, MESSAGES as u64), "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", IDS as i64), ("p2", 10)]));
    let rows = archived(&view).await;
    assert_eq!((rows.len(), with_verdict(&rows, Verdict::Counted)), (read, IDS + 10));
    assert_eq!(with_verdict(&rows, Verdict::Duplicate), MESSAGES);
}
