//! Refused messages, on their way to another topic.

use vitral_schemas::verdict::{Reason, Verdict};

use super::world::kafka;
use crate::world::{Shop, archived, end, event, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_go_to_the_dead_letter_topic_with_their_reason() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on(kafka, 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce(&[("k", b"{broken".to_vec()), ("k", event(1, "p", "clique"))]);
    wait_for(&mut view, "both", |seen| seen.read == 2).await;
    end(stream).await;

    let dead = &shop.dead_letters(1)[0];
    assert_eq!(dead.payload, b"{broken");
    assert_eq!(dead.header("vitral.reason"), Some("json"));
    assert_eq!(dead.header("vitral.topic"), Some(shop.topic.kafka_topic.as_str()));
    assert_eq!((dead.header("vitral.partition"), dead.header("vitral.offset")), (Some("0"), Some("0")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_one_byte_too_large_is_refused_and_the_next_counts() {
    let Some(kafka) = kafka() else { return };
    let shop = Shop::on_with_settings(kafka, 1, &[("max.message.bytes", "4194304")]).await;
    let dir = tempfile::tempdir().expect("a folder");
    let bytes_max = shop.topic.message_bytes_max;
    // Blanks behind an object are JSON.
    let sized = |id: usize, bytes: usize| {
        let mut event = event(id, "p1", "clique");
        event.resize(bytes, b' ');
        event
    };
    let messages = [sized(0, bytes_max), sized(1, bytes_max + 1), event(2, "p1", "clique")];
    let (stream, mut view) = shop.start(dir.path());
    shop.produce(&messages.map(|payload| ("k", payload)));
    let seen = wait_for(&mut view, "all are read", |seen| seen.read == 3).await;
    assert_eq!((seen.counted, seen.refused), (2, 1), "{seen:?}");
    end(stream).await;
    let rows: Vec<_> = archived(&view).await.iter().map(|row| (row.verdict, row.reason)).collect();
    let counted = (Verdict::Counted, None);
    assert_eq!(rows, [counted, (Verdict::Refused, Some(Reason::Size)), counted]);
    let dead = &shop.dead_letters(1)[0];
    assert_eq!(dead.header("vitral.reason"), Some("tamanho"));
    assert_eq!(dead.header("vitral.truncated"), Some((bytes_max + 1).to_string().as_str()));
    let note = String::from_utf8_lossy(&dead.payload[dead.payload.len() - 110..]).into_owned();
    assert!(
        dead.payload.len() <= bytes_max && note.contains("bytes, SHA-256 "),
        "{} bytes, {note}",
        dead.payload.len()
    );
}
