//! Alerts alongside a stream: a product that runs out and is refilled, over processes that end in
//! between.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use vitral_catalog::{DomainSettings, WATERMARK_ALERT};
use vitral_connect::memory::MemoryNotifier;
use vitral_panes::view::ViewReceiver;
use vitral_react::{AlertInputs, Alerts, Destination, Notifiers};
use vitral_schemas::reconciliation;
use vitral_store::Location;
use vitral_store::alerts::{TransitionKind, read_alerts};

use crate::world::{NOON_MS, PATIENCE, Shop, end, wait_until};

const STOCK: [&str; 3] = ["/nivel_estoque.sql", "/estoque_por_armazem.sql", "/estoque.sql"];
const OUT: &str = "CREATE VIEW falta WITH (alert = 'id_produto', notify = 'operacao') AS
SELECT id_produto, nivel_estoque FROM estoque WHERE nivel_estoque <= 0;";

fn alerts(shop: &Shop, dir: &Path, view: ViewReceiver, notifier: &Arc<MemoryNotifier>) -> Alerts {
    let mut notifiers = Notifiers::default();
    let destination = Destination { connection: "operacao".to_owned(), topic: "alertas".to_owned() };
    notifiers.add(destination, Arc::clone(notifier) as _);
    let inputs = AlertInputs {
        catalog: Arc::clone(shop.catalog()),
        settings: DomainSettings::default(),
        store: Location::folder(dir).expect("a folder"),
        reference_dir: dir.join("reference"),
        view,
        histories: tokio::sync::watch::channel(Arc::default()).1,
        reconciliations: tokio::sync::watch::channel(Arc::new(RecordBatch::new_empty(reconciliation::schema()))).1,
        clock: Arc::clone(shop.clock()),
        notify: Vec::new(),
        notifiers,
    };
    Alerts::new(inputs).expect("alerts").0
}

/// Level number `id` of a product in a place.
fn level(id: i64, product: &str, place: &str, level: i64) -> (String, Vec<u8>) {
    let time = chrono::DateTime::from_timestamp_millis(NOON_MS - 600_000 + id * 1_000).expect("a time").to_rfc3339();
    let message =
        format!(r#"{{"id_produto":"{product}","id_armazem":"{place}","nivel_estoque":{level},"timestamp":"{time}"}}"#);
    (product.to_owned(), message.into_bytes())
}

fn distinct(notifier: &MemoryNotifier) -> BTreeSet<String> {
    notifier.delivered().into_iter().map(|delivered| delivered.id).collect()
}

async fn count(dir: &Path, kind: TransitionKind) -> usize {
    let found = read_alerts(&Location::folder(dir).expect("a folder")).await.expect("read");
    found.map_or(0, |(transitions, _)| {
        let of_catalog = transitions.iter().filter(|made| made.alert != WATERMARK_ALERT);
        of_catalog.filter(|made| made.kind == kind).count()
    })
}

/// A process that lives for so long; the alerts end wherever they stand, the stream in order.
async fn live(shop: &Shop, dir: &Path, notifier: &Arc<MemoryNotifier>, life: Duration) {
    let (stream, view) = shop.start(dir);
    let mut alerts = alerts(shop, dir, view, notifier);
    let _ = tokio::time::timeout(life, alerts.run()).await;
    drop(alerts);
    end(stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_runs_out_and_is_refilled_is_reported_once_each() {
    let (shop, _) = Shop::at_noon(1);
    let shop = shop.of_files(&STOCK, OUT);
    let dir = tempfile::tempdir().expect("a folder");
    let notifier = Arc::new(MemoryNotifier::new());
    let (stream, mut view) = shop.start(dir.path());
    shop.produce(&[level(0, "p1", "sul", 3), level(1, "p1", "norte", 2), level(2, "p2", "sul", 9)]);
    let has_rows = |view: &vitral_panes::view::View| view.keyed_imports.contains_key("estoque_por_armazem");
    wait_until(&mut view, "the table", has_rows).await;
    let mut first = alerts(&shop, dir.path(), view, &notifier);
    let began = Instant::now();
    while count(dir.path(), TransitionKind::Began).await == 0 {
        assert!(began.elapsed() < PATIENCE, "the alert begins");
        first.poll().await.expect("nothing is wrong");
    }
    drop(first);
    end(stream).await;
    let mut chance = 11_u64;
    // In one place it runs out, which is not enough; then in the other; then it goes below; then it
    // is refilled.
    let steps = [
        (vec![level(3, "p1", "sul", 0)], 0),
        (vec![level(4, "p1", "norte", 0)], 1),
        (vec![level(5, "p1", "norte", -1), level(6, "p2", "sul", 8)], 1),
        (vec![level(7, "p1", "sul", 4)], 2),
        (vec![level(8, "p1", "sul", 5)], 2),
    ];
    for (messages, known) in steps {
        shop.produce(&messages);
        for _ in 0..3 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            live(&shop, dir.path(), &notifier, Duration::from_millis((chance >> 33) % 900)).await;
        }
        let began = Instant::now();
        while distinct(&notifier).len() < known {
            assert!(began.elapsed() < PATIENCE, "{:?}", distinct(&notifier));
            live(&shop, dir.path(), &notifier, Duration::from_secs(2)).await;
        }
        assert_eq!(distinct(&notifier).len(), known, "{:?}", distinct(&notifier));
    }
    let ids: Vec<String> = distinct(&notifier).into_iter().collect();
    assert!(ids[0].starts_with("falta/p1/") && ids[0].ends_with("/disparo"), "{ids:?}");
    assert_eq!(ids[1], ids[0].replace("/disparo", "/resolucao"));
    assert_eq!(
        (count(dir.path(), TransitionKind::Fired).await, count(dir.path(), TransitionKind::Resolved).await),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_kafka_before_the_first_start_is_not_news() {
    const PRODUCTS: i64 = 2_000;
    let (shop, _) = Shop::at_noon(1);
    let shop = shop.of_files(&STOCK, OUT);
    let dir = tempfile::tempdir().expect("a folder");
    let notifier = Arc::new(MemoryNotifier::new());
    let backlog: Vec<_> = (0..PRODUCTS).map(|id| level(id % 500, &format!("p{id}"), "sul", 0)).collect();
    shop.produce(&backlog);
    let (stream, view) = shop.start(dir.path());
    let mut alerts = alerts(&shop, dir.path(), view, &notifier);
    let began = Instant::now();
    while count(dir.path(), TransitionKind::Began).await == 0 {
        assert!(began.elapsed() < PATIENCE, "the alert begins");
        alerts.poll().await.expect("nothing is wrong");
    }
    assert_eq!(count(dir.path(), TransitionKind::Fired).await as i64, PRODUCTS, "all of it is in the first evaluation");
    shop.produce(&[level(600, "outro", "sul", 0)]);
    while distinct(&notifier).is_empty() {
        assert!(began.elapsed() < PATIENCE, "what comes since is news");
        alerts.poll().await.expect("nothing is wrong");
    }
    let found = distinct(&notifier);
    assert!(found.len() == 1 && found.iter().all(|id| id.starts_with("falta/outro/")), "{found:?}");
    drop(alerts);
    end(stream).await;
}
