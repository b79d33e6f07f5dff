//! Which moment is answered while another is made, and what a late request does to sums.

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use datafusion::catalog::TableProvider;
use vitral_catalog::{Catalog, DEFAULT_DOMAIN, DomainSettings, builtin_files};
use vitral_panes::view::{Completeness, KeyedThrough};
use vitral_store::{AppendTable, Location};

use super::*;
use crate::tables::{in_memory_table, scan};

fn view() -> KeyedView {
    let catalog = Catalog::parse(&[builtin_files(&[DEFAULT_DOMAIN])], &DomainSettings::default()).expect("the catalog");
    catalog.keyed_view("itens_vendidos").expect("a table").clone()
}

/// States of one sale each, at these times.
fn states(times: &[i64]) -> RecordBatch {
    let texts = |value: &str| Arc::new(StringArray::from(vec![value; times.len()])) as ArrayRef;
    let numbers = |value: i64| Arc::new(Int64Array::from(vec![value; times.len()])) as ArrayRef;
    RecordBatch::try_from_iter([
        ("instante", Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC")) as ArrayRef),
        ("id_produto", texts("a")),
        ("id_pedido", texts("1")),
        ("categoria", texts("x")),
        ("regiao", texts("SP")),
        ("moeda", texts("BRL")),
        ("unidades", numbers(1)),
        ("receita", numbers(100)),
        ("sem_pedido", numbers(0)),
    ])
    .expect("states")
}

/// Sums of these rows, with the view in which they are all of a topic.
fn moment(view: &KeyedView, through: u64) -> Moment {
    let rows = in_memory_table(states(&[])).expect("a table");
    let archive: Arc<dyn TableProvider> = Arc::clone(&rows);
    let sums = Sums::new(shape(view, view.rollup.as_ref().expect("a rollup")));
    Moment {
        now: Arc::new(Now::new(sums, Arc::new(Changes::loaded()), Touched::default())),
        table: KeyedTableView {
            topic: view.topic.clone(),
            keys: view.keys.clone(),
            rows,
            through: Arc::new(KeyedThrough { commit: Some(through), ..KeyedThrough::default() }),
            since_ms: None,
            failure: None,
        },
        topic: TopicView { archive, tail: Arc::default(), completeness: Completeness::default() },
        closed: vec![Some(1)],
        made: Instant::now(),
        asked: Arc::default(),
        is_renewed: Arc::default(),
    }
}

fn keep(rollups: &Rollups, view: &KeyedView, moment: &Moment) {
    *rollups.slot(view).moment.lock().expect("no panic") = Some(moment.clone());
}

#[tokio::test]
async fn who_asks_while_others_make_sums_gets_those_before() {
    let (rollups, view) = (Rollups::new(usize::MAX), view());
    let closed = vec![Some(1)];
    assert!(rollups.earlier(&view, &closed).is_none(), "there are none");
    let moment = moment(&view, 1);
    keep(&rollups, &view, &moment);
    assert!(rollups.earlier(&view, &closed).is_none(), "who asks alone gets the newest");
    let slot = rollups.slot(&view);
    let made = slot.state.lock().await;
    let (earlier, is_due) = rollups.earlier(&view, &closed).expect("the moment before");
    assert!(Arc::ptr_eq(&earlier.now, &moment.now) && !is_due, "it is being made");
    assert!(rollups.earlier(&view, &vec![Some(2)]).is_none(), "a window was closed since");
    let before = Instant::now().checked_sub(EARLIER_MAX).expect("it is later");
    keep(&rollups, &view, &Moment { made: before, ..moment });
    assert!(rollups.earlier(&view, &closed).is_none(), "it is too old");
    drop(made);
}

#[tokio::test]
async fn what_is_asked_often_is_renewed_by_one_request() {
    let (rollups, view) = (Rollups::new(usize::MAX), view());
    let (moment, closed) = (moment(&view, 1), vec![Some(1)]);
    keep(&rollups, &view, &moment);
    for _ in 0..ASKED_OFTEN {
        assert!(rollups.earlier(&view, &closed).is_none(), "who asks alone gets the newest");
        let known = rollups.known(&view, (&moment.table, &moment.topic)).expect("this moment");
        assert!(Arc::ptr_eq(&known, &moment.now));
    }
    let due: Vec<bool> = (0..3).map(|_| rollups.earlier(&view, &closed).expect("the moment before").1).collect();
    assert_eq!(due, [true, false, false]);
    let later = self::moment(&view, 2);
    assert!(rollups.known(&view, (&later.table, &later.topic)).is_none(), "its sums are to be made");
}

#[tokio::test]
async fn a_late_request_leaves_newer_sums_as_they_are() {
    let (rollups, view) = (Rollups::new(usize::MAX), view());
    let rollup = view.rollup.as_ref().expect("a rollup");
    let folder = tempfile::tempdir().expect("a folder");
    let location = Location::folder(folder.path()).expect("a location").join("estados");
    let mut table = AppendTable::open("estados", &location, states(&[]).schema()).await.expect("opened");
    let mut stored = Vec::new();
    for time in [1, 2, 3] {
        table.append(states(&[time])).await.expect("appended");
        let rows = scan(table.provider().await.expect("a provider")).and_then(|rows| rows.build()).expect("a plan");
        stored.push(StoredRows::of(&rows).expect("stored"));
    }
    let slot = rollups.slot(&view);
    let at = async |rows: &StoredRows| {
        let mut state = slot.state.lock().await;
        let loaded = rollups.stored(&slot, &mut state, (&view, rollup), rows.clone()).await.expect("read");
        (loaded.map(|loaded| loaded.sums.of((None, None), &[]).sums[0].clone()), matches!(*state, State::Loaded(_)))
    };
    assert_eq!(at(&stored[0]).await, (None, false), "they are loaded");
    let loaded = async {
        while at(&stored[1]).await.0.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), loaded).await.expect("they are loaded at last");
    assert_eq!(at(&stored[2]).await, (Some(vec![3]), true), "what has come was added");
    assert_eq!(at(&stored[1]).await, (None, true), "they are not loaded again");
    assert_eq!(at(&stored[2]).await, (Some(vec![3]), true));
}
