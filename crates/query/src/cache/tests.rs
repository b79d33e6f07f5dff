use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use vitral_panes::view::View;

use super::*;
use crate::principal::{Principal, RowFilters, Scopes};
use crate::rows::Format;

const LONG: Duration = Duration::from_secs(900);

fn rows(value: i64) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![value])) as ArrayRef)]).expect("a batch")
}

fn state(rows: &RecordBatch) -> State {
    State::of_rows(rows, &[])
}

fn answer(status: u16, bytes: usize) -> KeptAnswer {
    KeptAnswer { status, body: vec![0; bytes].into(), completeness: Vec::new(), head: Vec::new() }
}

fn key(number: usize) -> Key {
    Key::new(&Principal::anonymous(), &format!("/{number}"), [], Format::Json, None)
}

fn point() -> ReadPoint {
    ReadPoint::new(Principal::anonymous(), Arc::new(View::default()), 0)
}

#[test]
fn what_has_not_changed_is_told_from_what_looks_the_same() {
    let (one, same) = (rows(1), rows(1));
    assert!(state(&one) == state(&one.clone()));
    assert!(state(&one) != state(&same));
    // An answer does not keep alive what it was made of, and nothing new takes its place in memory.
    let before = state(&one);
    drop(one);
    assert!((0..100).all(|_| before != state(&rows(1))));
}

#[test]
fn costly_answers_are_given_again_until_something_is_committed() {
    let (committed, next, open, later) = (rows(1), rows(2), rows(3), rows(4));
    let before = State::of_rows(&committed, std::slice::from_ref(&open));
    let refreshed = State::of_rows(&committed, std::slice::from_ref(&later));
    let after = State::of_rows(&next, std::slice::from_ref(&later));
    let entry = |status, took, idle| {
        let begun = Instant::now().checked_sub(took + idle).expect("a time");
        Entry { took, ..Entry::new(before.clone(), answer(status, 3), begun) }
    };
    let quick = entry(200, Duration::from_millis(200), Duration::ZERO);
    assert_eq!(quick.freshness(&before, LONG), Freshness::Current);
    assert_eq!(quick.freshness(&refreshed, LONG), Freshness::Stale);
    let slow = entry(200, Duration::from_secs(9), Duration::ZERO);
    assert!(matches!(slow.freshness(&refreshed, LONG), Freshness::Aged(age) if age >= Duration::from_secs(9)));
    assert_eq!(slow.freshness(&after, LONG), Freshness::Stale, "a commit ends it at once");
    let old = entry(200, Duration::from_secs(9), Duration::from_secs(10));
    assert_eq!(old.freshness(&refreshed, LONG), Freshness::Stale);
    assert_eq!(old.freshness(&before, LONG), Freshness::Current);
    assert_eq!(old.freshness(&before, Duration::from_secs(18)), Freshness::Stale, "no older than the endpoint says");
    // What failed may go well the next time, though nothing has changed.
    let failed = entry(503, Duration::from_secs(9), Duration::ZERO);
    assert!(matches!(failed.freshness(&before, LONG), Freshness::Aged(_)));
    assert_eq!(entry(503, Duration::ZERO, Duration::ZERO).freshness(&before, LONG), Freshness::Stale);
}

#[tokio::test]
async fn kept_answers_are_bounded_by_their_bytes() {
    let cache = Cache::new(100 << 10);
    let needs = Needs::default();
    let (rows, point) = (rows(1), point());
    for number in 0..1000 {
        let key = key(number);
        let asked = Asked { key: &key, needs: &needs, ttl: LONG };
        let flight = cache.flight(&key);
        let entry = Entry::new(state(&rows), answer(200, 1000), Instant::now());
        cache.keep(asked, &point, &mut flight.turn().await, entry).await;
    }
    cache.0.memory.run_pending_tasks().await;
    assert!((20..=100).contains(&cache.0.memory.entry_count()), "{}", cache.0.memory.entry_count());
    assert!(cache.0.memory.weighted_size() <= 100 << 10);
    let key = key(1000);
    let asked = Asked { key: &key, needs: &needs, ttl: LONG };
    let large = Entry::new(state(&rows), answer(200, KEPT_BYTES_MAX + 1), Instant::now());
    let cache = Cache::new(100 << 20);
    cache.keep(asked, &point, &mut cache.flight(&key).turn().await, large).await;
    assert!(cache.in_memory(asked, &state(&rows)).await.is_none());
    assert!(!Cache::new(0).is_on() && cache.is_on());
}

#[test]
fn those_who_see_the_same_share_answers_and_nobody_else_does() {
    let filters = |values: &[&str]| -> RowFilters {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        [("loja".to_owned(), values)].into_iter().collect()
    };
    let scopes = |names: &[&str]| -> Scopes { names.iter().copied().collect() };
    let reader = |id, names: &[&str], values: &[&str]| Principal::new(id, scopes(names), filters(values));
    let of = |principal: &Principal, parameters: &[(&'static str, &'static str)], format| {
        Key::new(principal, "/a", parameters.iter().copied(), format, None)
    };
    let asked = of(&reader("a", &["x:read"], &["1", "2"]), &[("de", "1")], Format::Json);
    assert_eq!(asked, of(&reader("b", &["x:read"], &["2", "1"]), &[("de", "1")], Format::Json));
    for other in [
        of(&reader("a", &["y:read"], &["1", "2"]), &[("de", "1")], Format::Json),
        of(&reader("a", &["x:read"], &["12"]), &[("de", "1")], Format::Json),
        of(&reader("a", &["x:read"], &["1"]), &[("de", "1")], Format::Json),
        of(&reader("a", &["x:read"], &["1", "2"]), &[("de", "1"), ("x", "")], Format::Json),
        of(&reader("a", &["x:read"], &["1", "2"]), &[("de1", "")], Format::Json),
        of(&reader("a", &["x:read"], &["1", "2"]), &[("de", "1")], Format::Csv),
        of(&Principal::new("a", scopes(&["x:read"]), RowFilters::default()), &[("de", "1")], Format::Json),
    ] {
        assert_ne!(asked, other);
    }
    let ttl = Duration::from_secs(100);
    let spread: std::collections::BTreeSet<_> = (0..50).map(|number| key(number).spread(ttl)).collect();
    assert!(spread.len() > 10 && spread.iter().all(|ttl| (90..=100).contains(&ttl.as_secs())), "{spread:?}");
}

#[tokio::test]
async fn shared_names_hold_domain_endpoint_and_versions() {
    let catalog = vitral_catalog::Catalog::default();
    let settings = vitral_catalog::DomainSettings::default();
    let version = CatalogVersion::of(&catalog, &settings);
    let key = Key::new(&Principal::anonymous(), "/vendas/resumo", [], Format::Json, None);
    let name = key.shared_name(&version, "a@1");
    let prefix = format!("vitral:{}:vendas/resumo:", settings.domain());
    assert!(name.strip_prefix(&prefix).is_some_and(|hash| hash.len() == 32), "{name}");
    assert_eq!(name, key.shared_name(&version, "a@1"));
    assert_ne!(name, key.shared_name(&version, "a@2"));
    let mut other = settings.clone();
    other.title = "other".to_owned();
    assert_ne!(name, key.shared_name(&CatalogVersion::of(&catalog, &other), "a@1"));
}

/// What an endpoint does.
async fn ask(cache: &Cache, key: &Key, rows: &RecordBatch, computed: &AtomicUsize) -> Arc<Entry> {
    let needs = Needs::default();
    let asked = Asked { key, needs: &needs, ttl: LONG };
    if let Some(kept) = cache.in_memory(asked, &state(rows)).await {
        return kept.entry;
    }
    let flight = cache.flight(key);
    let mut turn = flight.turn().await;
    let (begun, point, now) = (Instant::now(), point(), state(rows));
    if let Some(kept) = cache.in_turn(asked, (&point, &now), &mut turn).await {
        return kept.entry;
    }
    computed.fetch_add(1, Ordering::SeqCst);
    // Others come meanwhile.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    cache.keep(asked, &point, &mut turn, Entry::new(now, answer(200, 3), begun)).await;
    cache.in_memory(asked, &state(rows)).await.map_or_else(|| panic!("kept"), |kept| kept.entry)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_that_miss_together_cost_one_computation() {
    let cache = Cache::new(1 << 20);
    let (rows, computed) = (rows(1), Arc::new(AtomicUsize::new(0)));
    let start = Arc::new(tokio::sync::Barrier::new(1000));
    let asking = (0..1000).map(|_| {
        let (cache, rows, computed, start) = (cache.clone(), rows.clone(), Arc::clone(&computed), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            ask(&cache, &key(1), &rows, &computed).await.answer.body.len()
        })
    });
    let answers = futures::future::join_all(asking.collect::<Vec<_>>()).await;
    assert!(answers.into_iter().all(|answer| answer.is_ok_and(|bytes| bytes == 3)));
    assert_eq!(computed.load(Ordering::SeqCst), 1);
    (2..1000).for_each(|number| drop(cache.flight(&key(number))));
    assert!(cache.0.flights.len() <= 2, "flights that have landed are forgotten");
}

#[tokio::test]
async fn whoever_waits_takes_what_was_begun_after_it_had_asked() {
    let cache = Cache::new(0);
    let (needs, key, point) = (Needs::default(), key(1), point());
    let asked = Asked { key: &key, needs: &needs, ttl: LONG };
    let (before, after) = (rows(1), rows(2));
    let first = cache.flight(&key);
    let mut turn = first.turn().await;
    assert!(!turn.has_waited());
    let entry = Entry::new(state(&before), answer(200, 1), Instant::now());
    // It asks while the answer is computed: that may lack what it has seen.
    let late = cache.flight(&key);
    cache.keep(asked, &point, &mut turn, entry).await;
    drop(turn);
    let mut turn = late.turn().await;
    assert!(!turn.has_waited(), "what was computed is of before it had asked");
    assert!(cache.in_turn(asked, (&point, &state(&after)), &mut turn).await.is_none());
    drop(turn);
    // It asks before: whatever has changed since, the answer is of later than its question.
    let early = cache.flight(&key);
    let mut turn = first.turn().await;
    cache.keep(asked, &point, &mut turn, Entry::new(state(&before), answer(200, 2), Instant::now())).await;
    drop(turn);
    let mut turn = early.turn().await;
    assert!(turn.has_waited());
    let kept = cache.in_turn(asked, (&point, &state(&after)), &mut turn).await.expect("an answer");
    assert_eq!((kept.entry.answer.body.len(), kept.age), (2, None));
    assert_eq!(cache.counts().joined(), 1);
}
