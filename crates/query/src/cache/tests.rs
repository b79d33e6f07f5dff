use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::*;

fn rows(value: i64) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![value])) as ArrayRef)]).expect("a batch")
}

fn answer(status: u16, bytes: usize) -> KeptAnswer {
    KeptAnswer { status, body: vec![0; bytes].into(), completeness: Vec::new(), head: Vec::new() }
}

fn key(number: usize) -> Key {
    Key { principal: Principal::Anonymous, path: format!("/{number}"), parameters: Vec::new(), format: Format::Json }
}

#[test]
fn what_has_not_changed_is_told_from_what_looks_the_same() {
    let (one, same) = (rows(1), rows(1));
    assert!(State::of_rows(&one) == State::of_rows(&one.clone()));
    assert!(State::of_rows(&one) != State::of_rows(&same));
    // An answer does not keep alive what it was made of, and nothing new takes its place in memory.
    let before = State::of_rows(&one);
    drop(one);
    assert!((0..100).all(|_| before != State::of_rows(&rows(1))));
}

#[test]
fn costly_answers_are_given_again_for_as_long_as_they_took() {
    let (old, new) = (rows(1), rows(2));
    let (before, now) = (State::of_rows(&old), State::of_rows(&new));
    let entry = |status, took| Entry::new(State::of_rows(&old), answer(status, 3), took).expect("small");
    let quick = entry(200, Duration::from_millis(249));
    assert_eq!(quick.freshness(&before), Freshness::Current);
    assert_eq!(quick.freshness(&now), Freshness::Stale);
    let mut slow = entry(200, Duration::from_secs(9));
    assert!(matches!(slow.freshness(&now), Freshness::Aged(age) if age < Duration::from_secs(1)));
    slow.computed = Instant::now().checked_sub(Duration::from_secs(10)).expect("a time");
    assert_eq!(slow.freshness(&now), Freshness::Stale);
    // What failed may go well the next time, though nothing has changed.
    assert!(matches!(entry(503, Duration::from_secs(9)).freshness(&before), Freshness::Aged(_)));
    assert_eq!(entry(503, Duration::ZERO).freshness(&before), Freshness::Stale);
    assert!(Entry::new(State::of_rows(&old), answer(200, KEPT_BYTES_MAX + 1), Duration::ZERO).is_none());
}

#[tokio::test]
async fn kept_answers_are_bounded_and_of_one_principal() {
    let cache = MemoryCache::default();
    for number in 0..1000 {
        let entry = Entry::new(State::of_rows(&rows(1)), answer(200, 3), Duration::ZERO).expect("small");
        cache.put(key(number), entry).await;
    }
    assert_eq!(cache.len(), 64);
    assert!(cache.get(&key(999)).await.is_some() && cache.get(&key(0)).await.is_none());
    let other = Key { principal: Principal::Operator, ..key(999) };
    assert!(cache.get(&other).await.is_none());
}

#[test]
fn those_who_ask_the_same_share_a_flight_while_one_is_under_way() {
    let flights = SingleFlight::default();
    let first = flights.of(&key(1));
    assert!(Arc::ptr_eq(&first, &flights.of(&key(1))));
    assert!(!Arc::ptr_eq(&first, &flights.of(&key(2))));
    drop(first);
    (2..1000).for_each(|number| drop(flights.of(&key(number))));
    assert!(flights.0.lock().expect("not poisoned").len() <= 2);
}
