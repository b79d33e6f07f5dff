//! What is remembered, for how long, and what there is without an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use proptest::prelude::*;

use super::*;

/// Knows every key but those that begin with `x`, as `value of KEY`.
#[derive(Debug, Default)]
struct System {
    asked: AtomicUsize,
    is_away: AtomicBool,
}

#[derive(Debug)]
struct Reached(Arc<System>);

#[async_trait]
impl Lookup for Reached {
    fn schema(&self) -> SchemaRef {
        let field = |name: &str| Field::new(name, DataType::Utf8, true);
        Arc::new(Schema::new(vec![field("chave"), field("valor")]))
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        if self.0.is_away.load(Ordering::SeqCst) {
            return Err(ConnectError::outage("away"));
        }
        self.0.asked.fetch_add(keys.len(), Ordering::SeqCst);
        let known = keys.as_string::<i32>().iter().map(|key| key.filter(|key| !key.starts_with('x')));
        let values = known.clone().map(|key| key.map(|key| format!("value of {key}")));
        let columns: Vec<ArrayRef> =
            vec![Arc::new(known.collect::<StringArray>()), Arc::new(values.collect::<StringArray>())];
        Ok(RecordBatch::try_new(self.schema(), columns).expect("rows"))
    }
}

fn cached(believed_for: Duration, on_failure: OnFailure) -> (Arc<System>, TableLookup) {
    let system = Arc::new(System::default());
    let inner = Box::new(Reached(Arc::clone(&system)));
    (system, TableLookup::cached("t", inner, "chave", believed_for, on_failure).expect("a look-up"))
}

async fn values(lookup: &TableLookup, keys: &[Option<&str>]) -> (Vec<Option<String>>, LookupCounts) {
    let keys: ArrayRef = Arc::new(StringArray::from(keys.to_vec()));
    let Answers { rows, counts } = lookup.get(&keys).await;
    (rows.column(1).as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect(), counts)
}

fn value(key: &str) -> Option<String> {
    Some(format!("value of {key}"))
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn each_key_is_asked_for_once_and_unknown_ones_are_remembered_too() {
    let (system, lookup) = cached(HOUR, OnFailure::Null);
    let keys = [Some("a"), Some("x1"), None, Some("a"), Some("b")];
    for _ in 0..2 {
        let (found, counts) = values(&lookup, &keys).await;
        assert_eq!(found, [value("a"), None, None, value("a"), value("b")]);
        assert_eq!(counts, LookupCounts { asked: 4, unknown: 1, failed: 0, stale: 0 });
        assert_eq!(system.asked.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn what_is_too_old_is_asked_for_again_and_used_only_where_the_table_says_so() {
    for (on_failure, expected, failed, stale) in [(OnFailure::Null, None, 3, 0), (OnFailure::Last, value("a"), 1, 2)] {
        let (system, lookup) = cached(Duration::ZERO, on_failure);
        values(&lookup, &[Some("a"), Some("x1")]).await;
        values(&lookup, &[Some("a")]).await;
        assert_eq!(system.asked.load(Ordering::SeqCst), 3, "nothing is believed");
        system.is_away.store(true, Ordering::SeqCst);
        let (found, counts) = values(&lookup, &[Some("a"), None, Some("x1"), Some("new")]).await;
        assert_eq!(found, [expected, None, None, None], "{on_failure:?}");
        assert_eq!(counts, LookupCounts { asked: 3, unknown: 0, failed, stale });
    }
}

#[tokio::test]
async fn what_is_known_is_answered_while_the_system_is_away() {
    let (system, lookup) = cached(HOUR, OnFailure::Null);
    values(&lookup, &[Some("a")]).await;
    system.is_away.store(true, Ordering::SeqCst);
    let (found, counts) = values(&lookup, &[Some("b"), Some("a")]).await;
    assert_eq!((found, counts.failed), (vec![None, value("a")], 1));
    system.is_away.store(false, Ordering::SeqCst);
    assert_eq!(values(&lookup, &[Some("b")]).await.0, [value("b")], "a failure is not remembered");
}

proptest! {
    #[test]
    fn whatever_is_forgotten_answers_stay_right(batches in proptest::collection::vec(
        proptest::collection::vec(proptest::option::of("[abx][0-9]{1,2}"), 0..12), 0..120)) {
        let (_, mut lookup) = cached(HOUR, OnFailure::Null);
        let memory = Memory::of_keys(&lookup.inner.schema(), 40);
        lookup.cache = lookup.cache.map(|cache| Cache { memory: Mutex::new(memory), ..cache });
        futures::executor::block_on(async {
            for batch in &batches {
                let keys: Vec<_> = batch.iter().map(Option::as_deref).collect();
                let (found, _) = values(&lookup, &keys).await;
                let expected: Vec<_> =
                    keys.iter().map(|key| key.filter(|key| !key.starts_with('x')).and_then(value)).collect();
                assert_eq!(found, expected);
                let memory = lookup.cache.as_ref().expect("a cache").memory.lock().expect("a lock");
                assert!(memory.key_count() <= 40 + 12, "{}", memory.key_count());
            }
        });
    }
}
