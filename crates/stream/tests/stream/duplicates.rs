//! Messages that come more than once.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use vitral_schemas::verdict::Verdict;

use crate::world::{Shop, archived, end, event, key, product_views, views, wait_for, with_verdict};

/// A producer that writes an empty text where it has no id sends different events all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_id_makes_no_duplicates() {
    let shop = Shop::new(1);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    let now = chrono::Utc::now().to_rfc3339();
    let sale = |id: &str| {
        format!(
            r#"{{"id_usuario":"u","tipo_evento":"compra","timestamp":"{now}","id_evento":{id},"id_pedido":{id},"id_produto":"p","valor_total":1}}"#
        )
    };
    let ids = [r#""""#, r#""""#, r#"" ""#, r#""\u00a0""#, "null", "null", r#""e1""#, r#""e1""#];
    shop.produce_to(0, &ids.map(sale));
    let seen = wait_for(&mut view, "all are read", |seen| seen.read == 8).await;
    assert_eq!((seen.counted, seen.duplicate), (7, 1), "{seen:?}");
    end(stream).await;
    let orders = crate::world::rows_of(&view, "vendas_por_minuto").await;
    let of = |batch: &arrow::array::RecordBatch| {
        let orders = batch.column_by_name("pedidos").expect("the orders").as_primitive::<Int64Type>();
        orders.values().iter().sum::<i64>()
    };
    assert_eq!(orders.iter().map(of).sum::<i64>(), 7, "each sale without an order's id is one");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_often_a_message_comes_it_counts_once() {
    const IDS: usize = 200;
    const MESSAGES: usize = IDS / 5 * (1 + 2 + 3 + 4 + 5);
    let shop = Shop::new(2);
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
