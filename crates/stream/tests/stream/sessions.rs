//! Sessions over stops and starts: each is published once, and is what it would be without them.

use std::collections::BTreeMap;
use std::path::Path;

use vitral_panes::view::ViewReceiver;

use crate::world::{HOUR_MS, MINUTE_MS, NOON_MS, Shop, all_rows, end, event_at, published, wait_for, wait_until};

const PHASES: usize = 6;
const EVENTS: usize = 90;

/// The events of a phase, an hour each, by partition: seventeen users who come at distances around
/// the gap.
fn events(phase: usize, partition: usize) -> Vec<Vec<u8>> {
    let mine = (0..EVENTS).filter(|index| index % 2 == partition);
    let time_ms = |index: usize| {
        let minute = (index * 37 + phase * 11) % 60;
        NOON_MS + phase as i64 * HOUR_MS + minute as i64 * MINUTE_MS + (index % 60) as i64 * 1_000
    };
    let kind = |index: usize| ["clique", "adicao_carrinho", "compra"][index % 3];
    mine.map(|index| event_at(phase * EVENTS + index, "p1", kind(index), time_ms(index))).collect()
}

/// Stops after each phase, and takes away what would spare a rebuild where `forgets` says so.
async fn run(stops: bool, forgets: impl Fn(usize) -> bool) -> (BTreeMap<String, Vec<String>>, usize) {
    let (shop, clock) = Shop::at_noon(2);
    let dir = tempfile::tempdir().expect("a folder");
    let (mut stream, mut view) = shop.start(dir.path());
    let mut read = 0;
    for phase in 0..PHASES {
        clock.set_ms(NOON_MS + (phase as i64 + 1) * HOUR_MS);
        for partition in 0..2 {
            let events = events(phase, partition);
            read += events.len() as u64;
            shop.produce_to(partition as i32, &events);
        }
        wait_for(&mut view, "a phase is read", |seen| seen.read == read).await;
        if stops {
            end(stream).await;
            if forgets(phase) {
                forget_snapshots(dir.path());
            }
            (stream, view) = shop.start(dir.path());
            wait_for(&mut view, "what was read", |seen| seen.read == read).await;
        }
    }
    // One more event in each partition closes all of them.
    let later_ms = NOON_MS + (PHASES as i64 + 3) * HOUR_MS;
    clock.set_ms(later_ms);
    for partition in 0..2 {
        shop.produce_to(partition, &[event_at(10_000 + partition as usize, "p1", "clique", later_ms)]);
    }
    let through_ms = Some(later_ms - shop.topic.watermark_ms);
    wait_until(&mut view, "all is published", |view| {
        view.metrics.get("sessoes").is_some_and(|metric| metric.published_through_ms == through_ms)
    })
    .await;
    end(stream).await;
    let rows = published_count(&view).await;
    (all_rows(&view).await, rows)
}

async fn published_count(view: &ViewReceiver) -> usize {
    published(view, "sessoes").await.iter().map(|batch| batch.num_rows()).sum()
}

fn forget_snapshots(dir: &Path) {
    std::fs::remove_dir_all(dir.join("snapshots")).expect("snapshots that were written");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_published_once_over_stops_and_rebuilds() {
    let (whole, rows) = run(false, |_| false).await;
    assert!(rows > 50, "{rows}");
    let (stopped, rebuilt) = tokio::join!(run(true, |_| false), run(true, |phase| phase % 2 == 0));
    assert_eq!(stopped.0["sessoes"], whole["sessoes"]);
    assert_eq!(rebuilt.0["sessoes"], whole["sessoes"]);
    assert_eq!((stopped.1, rebuilt.1), (rows, rows));
}

/// A metric that is declared later has the history that it would have had, and goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_metric_of_sessions_has_its_history() {
    const VISITS: &str =
        "CREATE MATERIALIZED VIEW visitas AS SELECT session(INTERVAL '20 minutes', id_usuario) AS janela, id_usuario,
        count(*) AS n FROM eventos_clientes WHERE tipo_evento <> 'compra' GROUP BY janela, id_usuario;";
    let mut found = Vec::new();
    for declared_in in [0, 4] {
        let (shop, clock) = Shop::at_noon(1);
        let with = shop.with_catalog(VISITS);
        let dir = tempfile::tempdir().expect("a folder");
        let mut stream = None;
        let mut view = None;
        let mut read = 0;
        for phase in 0..PHASES {
            clock.set_ms(NOON_MS + (phase as i64 + 1) * HOUR_MS);
            if phase == 0 || phase == declared_in {
                if let Some(stream) = stream.take() {
                    end(stream).await;
                }
                let shop = if phase < declared_in { &shop } else { &with };
                let started = shop.start(dir.path());
                (stream, view) = (Some(started.0), Some(started.1));
            }
            let events: Vec<_> = [events(phase, 0), events(phase, 1)].concat();
            read += events.len() as u64;
            shop.produce_to(0, &events);
            wait_for(view.as_mut().expect("a view"), "a phase is read", |seen| seen.read == read).await;
        }
        let (stream, mut view) = (stream.expect("a stream"), view.expect("a view"));
        let later_ms = NOON_MS + (PHASES as i64 + 3) * HOUR_MS;
        clock.set_ms(later_ms);
        shop.produce_to(0, &[event_at(10_000, "p1", "clique", later_ms)]);
        let through_ms = Some(later_ms - shop.topic.watermark_ms);
        wait_until(&mut view, "all is published", |view| {
            view.metrics.get("visitas").is_some_and(|metric| metric.published_through_ms == through_ms)
        })
        .await;
        end(stream).await;
        found.push(all_rows(&view).await["visitas"].clone());
    }
    assert!(found[0].len() > 100, "{:?}", found[0]);
    assert_eq!(found[0], found[1]);
}
