//! Tables with one row for each key, alongside a stream that is stopped, left behind and started
//! again.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use vitral_batch::reconcile::{BUCKETS, Selection, bring_up_to_date, reconcile_keyed};
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_panes::view::{View, ViewReceiver};
use vitral_store::{Location, read_session};

use crate::world::{NOON_MS, Shop, end, event_at, wait_for, wait_until};

const TABLE: &str = "CREATE MATERIALIZED VIEW produtos_por_evento AS
    SELECT id_produto, latest(tipo_evento) AS ultimo, count(*) AS vezes, count(DISTINCT id_usuario) AS usuarios, max(timestamp) AS ate
    FROM eventos_clientes GROUP BY id_produto";
const KINDS: [&str; 3] = ["clique", "visualizacao", "busca"];

/// Event number `id`: which product, which kind, when. Times go back and forth, and no two of a
/// product are the same.
fn facts(id: usize) -> (String, &'static str, i64) {
    (format!("p{}", id % 5), KINDS[id % 3], NOON_MS - ((id * 7_919) % 10_007) as i64)
}

fn produce(shop: &Shop, ids: std::ops::Range<usize>) {
    for id in ids {
        let (product, kind, time_ms) = facts(id);
        shop.produce_to((id % 3) as i32, &[event_at(id, &product, kind, time_ms)]);
    }
}

type Rows = BTreeMap<String, (String, i64, i64, i64)>;

fn expected(ids: std::ops::Range<usize>) -> Rows {
    let mut rows = BTreeMap::<String, Vec<(i64, &str, usize)>>::new();
    for id in ids {
        let (product, kind, time_ms) = facts(id);
        rows.entry(product).or_default().push((time_ms, kind, id % 17));
    }
    let row = |mut events: Vec<(i64, &str, usize)>| {
        events.sort_unstable();
        let (until, kind, _) = *events.last().expect("an event");
        let users: std::collections::BTreeSet<usize> = events.iter().map(|(_, _, user)| *user).collect();
        (kind.to_owned(), events.len() as i64, users.len() as i64, until * 1_000)
    };
    rows.into_iter().map(|(product, events)| (product, row(events))).collect()
}

async fn rows(view: &View) -> Rows {
    let table = view.keyed["produtos_por_evento"].rows.clone();
    let batches = read_session(1).read_table(table).expect("a table").collect().await.expect("rows");
    let mut rows = Rows::new();
    for batch in &batches {
        let number = |column: usize, row: usize| batch.column(column).as_primitive::<Int64Type>().value(row);
        let times = batch.column(4).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            assert!(batch.column_by_name("atualizado").expect("when it changed").is_valid(row));
            let kind = batch.column(1).as_string::<i32>().value(row).to_owned();
            let values = (kind, number(2, row), number(3, row), times.value(row));
            let before = rows.insert(batch.column(0).as_string::<i32>().value(row).to_owned(), values);
            assert!(before.is_none(), "one row for each key");
        }
    }
    rows
}

fn catalog() -> Catalog {
    let below = vitral_catalog::builtin_files(&[vitral_catalog::DEFAULT_DOMAIN]);
    let file = SourceFile { path: "above.sql".to_owned(), text: TABLE.to_owned() };
    Catalog::parse(&[below, vec![file]], &DomainSettings::default()).expect("a catalog")
}

async fn assert_proved(dir: &Path) {
    let store = Location::folder(dir).expect("a folder");
    let (catalog, settings) = (catalog(), DomainSettings::default());
    let compared = reconcile_keyed(
        &catalog,
        &settings,
        &store,
        Selection { only: Some("produtos_por_evento"), ..Selection::default() },
    );
    let compared = compared.await.expect("compared").pop().expect("the table");
    assert!(compared.failure.is_none() && !compared.differs(), "{compared:?}");
    assert_eq!(compared.expected.num_rows(), 5, "{compared:?}");
    // Part by part: each is compared with what it was at the last time, and the rows since.
    let mut rows = 0;
    for (nth, bucket) in std::iter::once(BUCKETS - 1).chain(0..BUCKETS).enumerate() {
        let part = Selection { only: Some("produtos_por_evento"), bucket: Some(bucket), ..Selection::default() };
        let compared = reconcile_keyed(&catalog, &settings, &store, part).await.expect("compared");
        assert!(compared.iter().all(|table| table.failure.is_none() && !table.differs()), "{bucket}: {compared:?}");
        if nth > 0 {
            rows += compared[0].expected.num_rows();
        }
    }
    assert_eq!(rows, 5, "all parts together");
}

async fn wait_for_count(view: &mut ViewReceiver, events: usize) {
    wait_for(view, "all events", |seen| seen.read == events as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_follows_the_stream_over_stops() {
    let (shop, _) = Shop::at_noon(3);
    let shop = shop.with_catalog(TABLE);
    let dir = tempfile::tempdir().expect("a folder");
    for stop in 1..=3 {
        let (stream, mut view) = shop.start(dir.path());
        produce(&shop, (stop - 1) * 100..stop * 100);
        wait_for_count(&mut view, stop * 100).await;
        end(stream).await;
        // A stop in order leaves nothing behind.
        let shown = view.borrow().clone();
        assert_eq!(rows(&shown).await, expected(0..stop * 100), "stop {stop}");
        assert_proved(dir.path()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_left_behind_catches_up() {
    let (plain, _) = Shop::at_noon(3);
    let kept = plain.with_catalog(TABLE);
    let dir = tempfile::tempdir().expect("a folder");
    let mut events = 0;
    // As after a kill between the archive's commit and the table's: the archive is ahead, at first
    // by all of it.
    for round in 0..3 {
        let (stream, mut view) = plain.start(dir.path());
        produce(&plain, events..events + 50);
        events += 50;
        wait_for_count(&mut view, events).await;
        end(stream).await;
        if round == 1 {
            let (catalog, store) = (catalog(), Location::folder(dir.path()).expect("a folder"));
            let keyed = catalog.keyed_view("produtos_por_evento").expect("the table");
            bring_up_to_date(keyed, &catalog.topics[0], &DomainSettings::default(), &store).await.expect("filled");
            assert_proved(dir.path()).await;
        }
        let (stream, mut view) = kept.start(dir.path());
        let total = events as i64;
        let has_all = |view: &View| view.keyed.contains_key("produtos_por_evento") && view.ready;
        wait_until(&mut view, "the table", has_all).await;
        end(stream).await;
        let shown = view.borrow().clone();
        let found = rows(&shown).await;
        assert_eq!(found.values().map(|row| row.1).sum::<i64>(), total);
        assert_eq!(found, expected(0..events), "round {round}");
        assert_proved(dir.path()).await;
    }
}
