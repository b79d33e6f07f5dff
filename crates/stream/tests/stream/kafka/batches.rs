//! Batches that are small on the wire and large in memory.

use vitral_schemas::verdict::Verdict;

use super::world::kafka;
use crate::world::{Shop, archived, end, event, product_views, views, wait_for, with_verdict};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_grows_a_thousandfold_is_counted() {
    const EVENTS: usize = 64;
    const TEXT_BYTES: usize = 900_000;
    /// All messages wait for each other and go as one batch.
    const ONE_BATCH: [(&str, &str); 5] = [
        ("compression.codec", "gzip"),
        ("batch.num.messages", "64"),
        ("batch.size", "100000000"),
        ("message.max.bytes", "100000000"),
        ("linger.ms", "1000"),
    ];
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let text = "a".repeat(TEXT_BYTES);
    let events: Vec<Vec<u8>> = (0..EVENTS)
        .map(|id| {
            let event = String::from_utf8(event(id, "p1", "clique")).expect("a text");
            event.replace('}', &format!(r#","outro":"{text}"}}"#)).into_bytes()
        })
        .collect();
    shop.produce_with(&ONE_BATCH, 0, &events);
    shop.produce_to(0, &[event(EVENTS, "p2", "clique")]);
    let (stream, mut view) = shop.start(dir.path());
    let seen = wait_for(&mut view, "all are read", |seen| seen.read == EVENTS as u64 + 1).await;
    assert_eq!(seen.counted, EVENTS as u64 + 1, "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", EVENTS as i64), ("p2", 1)]));
    assert_eq!(with_verdict(&archived(&view).await, Verdict::Counted), EVENTS + 1);
}
