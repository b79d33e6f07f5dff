//! What is committed and nothing else: what alerts see of topics and of open windows.

use std::time::Duration;

use vitral_panes::view::View;
use vitral_stream::StreamConfig;

use crate::world::{Shop, end, event, views_in, wait_for_archive, wait_until};

const ALERT: &str = "CREATE VIEW muito_visto WITH (alert = 'id_produto') AS
SELECT id_produto, visualizacoes FROM produtos_mais_vistos WHERE visualizacoes > 1000;";

/// The products of the committed open windows; none if they are not known.
fn committed(view: &View) -> Option<Vec<(String, i64)>> {
    let metrics = view.at_commit().metrics;
    let rows: Vec<_> = metrics.get("produtos_mais_vistos")?.open.rows().values().cloned().collect();
    Some(views_in(&rows).into_iter().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_see_open_windows_as_they_were_at_the_commit() {
    let shop = Shop::new(1).with_catalog(ALERT);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event(0, "p1", "clique"), event(1, "p1", "clique")]);
    wait_for_archive(&mut view, 0, 2).await;
    let is_committed = |view: &View| committed(view) == Some(vec![("p1".to_owned(), 2)]);
    let seen = wait_until(&mut view, "both are committed", is_committed).await;
    assert!(seen.at_commit().topics.values().all(|topic| topic.tail.is_empty()));
    end(stream).await;

    // Of what is read and not committed the live view knows, the committed one does not; and a
    // start begins with what is committed.
    let never = StreamConfig { commit_interval: Duration::from_secs(3_600), ..shop.config(dir.path()) };
    let (stream, mut view) = shop.start_with(never);
    shop.produce_to(0, &[event(2, "p2", "clique")]);
    let is_live = |view: &View| {
        let open = view.metrics.get("produtos_mais_vistos").map(|metric| &metric.open);
        open.is_some_and(|open| views_in(&open.rows().values().cloned().collect::<Vec<_>>()).len() == 2)
    };
    let seen = wait_until(&mut view, "it is read", is_live).await;
    assert_eq!(committed(&seen), Some(vec![("p1".to_owned(), 2)]));
    end(stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_and_sinks_see_them_too() {
    for options in ["report = '08:00'", "connector = 'kafka', key = 'id_produto'"] {
        let view = format!(
            "CREATE VIEW vistos WITH ({options}) AS SELECT id_produto, visualizacoes FROM produtos_mais_vistos;"
        );
        let shop = Shop::new(1).with_catalog(&view);
        let dir = tempfile::tempdir().expect("a folder");
        let (stream, mut view) = shop.start(dir.path());
        shop.produce_to(0, &[event(0, "p1", "clique")]);
        let is_committed = |view: &View| committed(view) == Some(vec![("p1".to_owned(), 1)]);
        wait_until(&mut view, "it is committed", is_committed).await;
        end(stream).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_alerts_nothing_is_kept() {
    let shop = Shop::new(1);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &[event(0, "p1", "clique")]);
    wait_for_archive(&mut view, 0, 1).await;
    assert_eq!(committed(&view.borrow()), None);
    end(stream).await;
}
