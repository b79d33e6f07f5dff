//! Messages that are refused.

use std::path::Path;

use vitral_batch::ledger::LedgerFilter;
use vitral_batch::ledger::replay::{Replayed, replay};
use vitral_catalog::DomainSettings;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::{Reason, Verdict};
use vitral_store::Location;

use crate::world::{Shop, TestBroker, archived, end, event, product_views, views, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_go_to_the_dead_letter_topic_with_their_reason() {
    a_refusal_is_sent_on(Shop::new(1)).await;
}

/// On a topic of one partition.
pub async fn a_refusal_is_sent_on<B: TestBroker>(shop: Shop<B>) {
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

fn whole_at(time: &str) -> Vec<u8> {
    format!(r#"{{"id_usuario":"u","tipo_evento":"clique","timestamp":"{time}"}}"#).into_bytes()
}

/// A sale with these further fields.
fn sale(fields: &str) -> Vec<u8> {
    let needed = r#""id_usuario":"u","tipo_evento":"compra","timestamp":"2025-05-14T12:00:00Z""#;
    format!("{{{needed},{fields}}}").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_refused_with_its_reason_and_the_next_message_counts() {
    let shop = Shop::new(1);
    let dir = tempfile::tempdir().expect("a folder");
    let whole = event(0, "p1", "clique");
    let mut not_utf8 = sale(r#""id_produto":"p?""#);
    not_utf8.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xff);
    let poison: Vec<(Reason, Vec<u8>)> = vec![
        (Reason::Json, sale(&format!(r#""x":{}{}"#, "[".repeat(10_000), "]".repeat(10_000)))),
        (Reason::Json, sale(&format!(r#""x":{}1{}"#, r#"{"y":"#.repeat(10_000), "}".repeat(10_000)))),
        (Reason::Json, not_utf8),
        (Reason::Json, whole[..whole.len() - 7].to_vec()),
        (Reason::Json, [whole.as_slice(), whole.as_slice()].concat()),
        (Reason::Json, [b"\xef\xbb\xbf".as_slice(), whole.as_slice()].concat()),
        (Reason::Json, Vec::new()),
        (Reason::Json, vec![0]),
        (Reason::MissingField, b"{}".to_vec()),
        (Reason::Type, sale(r#""preco":"1e400 reais""#)),
        (Reason::Type, sale(r#""id_produto":["p1"]"#)),
        (Reason::Value, sale(r#""preco":1e400"#)),
        (Reason::Value, sale(r#""preco":1e-400"#)),
        (Reason::Value, sale(r#""quantidade":1e99999999999999999999"#)),
        (Reason::Value, sale(r#""quantidade":99999999999999999999"#)),
        (Reason::Value, sale(&format!(r#""valor_total":1{}"#, "0".repeat(100_000)))),
        (Reason::Value, sale(r#""quantidade":0"#)),
        (Reason::Value, sale(r#""categoria":"a\u0000b""#)),
        (Reason::Value, sale(r#""moeda":"R$""#)),
        (Reason::Size, sale(&format!(r#""categoria":"{}""#, "x".repeat(6_000)))),
        (Reason::Size, sale(&format!(r#""id_produto":{}"#, "9".repeat(257)))),
        (Reason::Time, whole_at("0001-01-01T00:00:00Z")),
    ];
    let mut messages = Vec::new();
    for (id, (_, payload)) in poison.iter().enumerate() {
        messages.extend([payload.clone(), event(id, "p1", "clique")]);
    }
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &messages);
    let count = poison.len();
    let seen = wait_for(&mut view, "all are read", |seen| seen.read == 2 * count as u64).await;
    assert_eq!((seen.counted, seen.refused), (count as u64, count as u64), "{seen:?}");
    end(stream).await;

    assert_eq!(product_views(&view).await, views([("p1", count as i64)]));
    let rows: Vec<_> = archived(&view).await.iter().map(|row| (row.verdict, row.reason)).collect();
    let expected = poison.iter().flat_map(|(reason, _)| [(Verdict::Refused, Some(*reason)), (Verdict::Counted, None)]);
    assert_eq!(rows, expected.collect::<Vec<_>>());
    for (letter, (reason, payload)) in shop.dead_letters(count).iter().zip(&poison) {
        assert_eq!(letter.header("vitral.reason"), Some(reason.name()));
        assert!(letter.payload == *payload, "{reason}: another payload of {} bytes", letter.payload.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_one_byte_too_large_is_refused_and_the_next_counts() {
    let shop = Shop::new(1);
    let dir = tempfile::tempdir().expect("a folder");
    one_byte_too_large(&shop, dir.path()).await;

    // Fed again under a larger limit it is still not a message, though its beginning alone would
    // be.
    let store = Location::folder(dir.path()).expect("a location");
    let topic = Topic { message_bytes_max: 8 << 20, ..shop.topic.clone() };
    let filter = LedgerFilter::default();
    let now_ms = chrono::Utc::now().timestamp_millis();
    let fed = replay(&topic, &DomainSettings::default(), &store, &Default::default(), &filter, now_ms).await;
    assert_eq!(fed.expect("fed again"), Replayed { refused: 1, cut: 1, ..Replayed::default() });
}

/// On a topic of one partition that takes such messages.
pub async fn one_byte_too_large<B: TestBroker>(shop: &Shop<B>, data_dir: &Path) {
    let bytes_max = shop.topic.message_bytes_max;
    // Blanks behind an object are JSON.
    let sized = |id: usize, bytes: usize| {
        let mut event = event(id, "p1", "clique");
        event.resize(bytes, b' ');
        event
    };
    let messages = [sized(0, bytes_max), sized(1, bytes_max + 1), event(2, "p1", "clique")];
    let (stream, mut view) = shop.start(data_dir);
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
