//! Stops and starts.

use vitral_schemas::verdict::Verdict;

use super::world::kafka;
use crate::world::{Shop, archived, end, event, key, product_views, views, wait_for, with_verdict};

#[tokio::test(flavor = "multi_thread")]
async fn every_offset_gets_one_verdict_and_a_restart_goes_on() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on(kafka, 4).await;
    let dir = tempfile::tempdir().expect("a folder");

    let (stream, mut view) = shop.start(dir.path());
    let events: Vec<(String, Vec<u8>)> = (0..300).map(|id| (key(id), event(id, "p1", "clique"))).collect();
    let mut messages = events.clone();
    let bad: [&[u8]; 8] = [
        b"not json",
        b"[1]",
        b"",
        br#"{"id_usuario":"u"}"#,
        br#"{"id_usuario":7.5e0,"tipo_evento":true,"timestamp":"2025-01-01T00:00:00Z"}"#,
        br#"{"id_usuario":"u","tipo_evento":"compra","timestamp":"2025-02-30T00:00:00Z"}"#,
        &[b"[".repeat(10_000), b"]".repeat(10_000)].concat(),
        br#"{"id_usuario":"u","tipo_evento":"clique","timestamp":"2999-01-01T00:00:00Z"}"#,
    ];
    messages.extend(bad.iter().map(|payload| ("bad".to_owned(), payload.to_vec())));
    messages.push(events[0].clone());
    shop.produce(&messages);
    let seen = wait_for(&mut view, "309 messages", |seen| seen.read == 309).await;
    assert_eq!((seen.counted, seen.refused, seen.duplicate, seen.late), (300, 8, 1, 0), "{seen:?}");
    end(stream).await;

    // Ids known before the restart still are; the open windows are rebuilt.
    let (stream, mut view) = shop.start(dir.path());
    let seen = wait_for(&mut view, "the same numbers", |seen| seen.read == 309).await;
    assert_eq!(seen.counted, 300);
    assert_eq!(product_views(&view).await, views([("p1", 300)]));
    let mut again: Vec<(String, Vec<u8>)> = (300..400).map(|id| (key(id), event(id, "p2", "visualizacao"))).collect();
    again.extend_from_slice(&events[..50]);
    shop.produce(&again);
    let seen = wait_for(&mut view, "150 more", |seen| seen.read == 459).await;
    assert_eq!((seen.counted, seen.duplicate), (400, 51), "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", 300), ("p2", 100)]));
    let rows = archived(&view).await;
    assert_eq!((rows.len(), with_verdict(&rows, Verdict::Refused)), (459, 8));
}
