//! Systems that refuse, fail, are away or take their time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use vitral_schemas::lookup::OnFailure;

use super::*;
use crate::cached::{Answers, LookupCounts, TableLookup};
use crate::{LookupExt, Portion};

/// What a system makes of the keys of its n-th call; it knows them all.
type Mood = Box<dyn Fn(&[&str], usize) -> Result<(), ConnectError> + Send + Sync>;

struct System {
    portion: Portion,
    mood: Mood,
    takes: Duration,
    calls: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    largest: Mutex<usize>,
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System").finish_non_exhaustive()
    }
}

fn system(keys: usize, calls: usize, mood: Mood) -> System {
    System {
        portion: Portion { keys, calls },
        mood,
        takes: Duration::ZERO,
        calls: AtomicUsize::new(0),
        at_once: AtomicUsize::new(0),
        most_at_once: AtomicUsize::new(0),
        largest: Mutex::new(0),
    }
}

#[async_trait]
impl Lookup for Arc<System> {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("chave", DataType::Utf8, true)]))
    }

    fn portion(&self) -> Portion {
        self.portion
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        let texts: Vec<&str> = keys.as_string::<i32>().iter().flatten().collect();
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        {
            let mut largest = self.largest.lock().expect("a lock");
            *largest = texts.len().max(*largest);
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.takes.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(self.takes).await;
        }
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        (self.mood)(&texts, call)?;
        Ok(RecordBatch::try_new(self.schema(), vec![Arc::clone(keys)]).expect("rows"))
    }
}

fn keys(count: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..count).map(|key| format!("{key}"))))
}

async fn ask_all(inner: impl Lookup + 'static, count: usize) -> (Vec<bool>, LookupCounts) {
    let cache = Duration::from_secs(3_600);
    let table = TableLookup::cached("t", Box::new(inner), "chave", cache, OnFailure::Null).expect("a table");
    let Answers { rows, counts } = table.get(&keys(count)).await;
    let found = rows.column(0).as_string::<i32>();
    let found = found.iter().enumerate().map(|(key, found)| {
        assert!(found.is_none_or(|found| found == key.to_string()), "{key} has the row of {found:?}");
        found.is_some()
    });
    (found.collect(), counts)
}

fn refuses(is_bad: fn(&str) -> bool) -> Mood {
    Box::new(move |keys, _| match keys.iter().any(|key| is_bad(key)) {
        true => Err(ConnectError::permanent("a bad key").of_keys()),
        false => Ok(()),
    })
}

#[tokio::test]
async fn keys_that_are_refused_cost_nobody_else_an_answer() {
    let is_bad: fn(&str) -> bool = |key| key.ends_with('3');
    for (most, calls) in [(1, 16), (40, 3), (1_000, 4)] {
        let asked = Arc::new(system(most, calls, refuses(is_bad)));
        let (found, counts) = ask_all(Arc::clone(&asked).with_breaker(), 500).await;
        for (key, is_found) in found.iter().enumerate() {
            assert_eq!(*is_found, !is_bad(&key.to_string()), "{key} of portions of {most}");
        }
        assert_eq!(counts, LookupCounts { asked: 500, failed: 50, ..LookupCounts::default() });
        assert!(asked.most_at_once.load(Ordering::SeqCst) <= calls && *asked.largest.lock().expect("a lock") <= most);
    }
}

#[tokio::test]
async fn a_system_that_refuses_everything_is_not_asked_for_each_key() {
    let asked = Arc::new(system(10_000, 4, refuses(|_| true)));
    let (found, counts) = ask_all(Arc::clone(&asked), 10_000).await;
    assert!(found.iter().all(|is_found| !is_found) && counts.failed == 10_000);
    assert!(asked.calls.load(Ordering::SeqCst) <= 2 * REFUSED_MAX + 1, "{asked:?}");
}

#[tokio::test]
async fn portions_that_fail_leave_the_others_their_answers_which_are_remembered() {
    let mood: Mood = Box::new(|keys, call| match keys.contains(&"25") && call < 10 {
        true => Err(ConnectError::outage("lost")),
        false => Ok(()),
    });
    let asked = Arc::new(system(10, 2, mood));
    let cache = Duration::from_secs(3_600);
    let table = TableLookup::cached("t", Box::new(Arc::clone(&asked)), "chave", cache, OnFailure::Null);
    let table = table.expect("a table");
    let counts = table.get(&keys(100)).await.counts;
    assert_eq!((counts.failed, asked.calls.load(Ordering::SeqCst)), (10, 10));
    let counts = table.get(&keys(100)).await.counts;
    assert_eq!((counts.failed, asked.calls.load(Ordering::SeqCst)), (0, 11), "only what failed is asked for again");
}

#[tokio::test]
async fn an_outage_ends_a_batch_soon() {
    let asked = Arc::new(system(1, 4, Box::new(|_, _| Err(ConnectError::outage("away")))));
    let (_, counts) = ask_all(Arc::clone(&asked).with_breaker(), 5_000).await;
    assert_eq!(counts.failed, 5_000);
    assert!(asked.calls.load(Ordering::SeqCst) < 10, "it is left alone");
    let asked = Arc::new(system(1, 4, Box::new(|_, _| Err(ConnectError::passing("neither there nor away")))));
    ask_all(Arc::clone(&asked), 5_000).await;
    assert!(asked.calls.load(Ordering::SeqCst) <= FAILED_MAX + 5);
}

#[tokio::test]
async fn what_was_not_asked_is_asked_once_the_system_is_back() {
    // The first call tries whether it is back, and meanwhile nobody else asks.
    let mood: Mood = Box::new(|keys, call| match keys == ["0"] || call > 20 {
        true => Ok(()),
        false => Err(ConnectError::unasked("left alone")),
    });
    let (found, counts) = ask_all(Arc::new(system(1, 8, mood)), 100).await;
    assert!(found.iter().all(|is_found| *is_found) && counts.failed == 0, "{counts:?}");
}

#[tokio::test]
async fn each_portion_has_its_own_time() {
    let slow = System { takes: Duration::from_millis(20), ..system(1, 4, Box::new(|_, _| Ok(()))) };
    // All of them take more than half a second.
    let bounded = Arc::new(slow).timed_out(Duration::from_millis(400));
    let (found, counts) = ask_all(bounded, 100).await;
    assert_eq!((counts.failed, found.len()), (0, 100));
}
