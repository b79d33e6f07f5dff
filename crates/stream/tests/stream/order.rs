//! Events that come in any order.

use std::collections::BTreeMap;

use vitral_schemas::event_time::Watermark;

use crate::world::{HOUR_MS, NOON_MS, Shop, all_rows, archived, end, event_at, wait_for};

const EVENTS: usize = 600;
const EVERY_MS: i64 = HOUR_MS / EVENTS as i64;

/// One every six seconds of the hour before noon.
fn numbered(index: usize) -> Vec<u8> {
    let kind = ["clique", "visualizacao", "adicao_carrinho", "inicio_checkout", "compra", "reembolso"][index % 6];
    let time_ms = NOON_MS - HOUR_MS + index as i64 * EVERY_MS;
    let event = event_at(index, &format!("p{}", index % 7), kind, time_ms);
    let event = String::from_utf8(event).expect("a text");
    let price = format!(r#","preco":"{}.{:02}","quantidade":{}}}"#, index % 90, index % 100, 1 + index % 3);
    event.replace('}', &price).into_bytes()
}

/// Every row of every metric once the events have come in this order, and a later one has closed
/// all their windows.
async fn results(order: Vec<usize>) -> BTreeMap<String, Vec<String>> {
    let (shop, clock) = Shop::at_noon(2);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    for part in order.chunks(EVENTS / 10) {
        for partition in [0, 1] {
            let mine = part.iter().filter(|index| *index % 2 == partition as usize);
            shop.produce_to(partition, &mine.map(|index| numbered(*index)).collect::<Vec<_>>());
        }
    }
    wait_for(&mut view, "all are read", |seen| seen.read == EVENTS as u64).await;
    let later_ms = NOON_MS + 3 * HOUR_MS;
    clock.set_ms(later_ms);
    for partition in [0, 1] {
        shop.produce_to(partition, &[event_at(EVENTS + partition as usize, "p0", "clique", later_ms)]);
    }
    let m = later_ms - shop.topic.watermark_ms;
    let all = EVENTS as u64 + 2;
    let seen =
        wait_for(&mut view, "all is closed", |seen| seen.read == all && seen.watermark.map(Watermark::ms) == Some(m))
            .await;
    assert_eq!(seen.counted, all, "{seen:?}");
    end(stream).await;
    assert_eq!(archived(&view).await.len(), EVENTS + 2);
    assert!(view.borrow().metrics.values().all(|metric| metric.published_through_ms == Some(m)));
    all_rows(&view).await
}

#[tokio::test(flavor = "multi_thread")]
async fn any_order_within_lateness_gives_the_same_rows() {
    let in_order: Vec<usize> = (0..EVENTS).collect();
    let backwards: Vec<usize> = (0..EVENTS).rev().collect();
    // 389 has no divisor in common with the number of events, so each comes once.
    let scattered: Vec<usize> = (0..EVENTS).map(|index| index * 389 % EVENTS).collect();
    let (expected, backwards, scattered) = tokio::join!(results(in_order), results(backwards), results(scattered));
    assert!(expected.len() == 7 && expected.values().all(|rows| !rows.is_empty()), "{expected:?}");
    assert_eq!(backwards, expected);
    assert_eq!(scattered, expected);
}
