//! Whether a place in an object store supports what Vitral needs, for `vitral doctor`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode};
use uuid::Uuid;

use crate::location::Location;

/// The steps that were tried, in order, up to the first that failed.
#[derive(Debug, Clone)]
pub struct StoreProbe {
    /// What each step does, and its error as text.
    pub steps: Vec<(&'static str, Result<(), String>)>,
    /// How far the store's clock is ahead of this machine's, in milliseconds.
    pub clock_ahead_ms: Option<i64>,
}

const TIMEOUT: Duration = Duration::from_secs(15);
/// Below the place, apart from every table.
const FOLDER: &str = "doctor";

/// Lists, writes a small file, refuses to write it again, reads it and deletes it.
pub async fn probe(location: &Location) -> StoreProbe {
    let mut probe = StoreProbe { steps: Vec::new(), clock_ahead_ms: None };
    let place = location.join(FOLDER);
    let name = Uuid::new_v4().to_string();
    let path = match (place.path(), place.file(&name)) {
        (Ok(folder), Ok(file)) => (folder, file),
        (Err(error), _) | (_, Err(error)) => {
            probe.steps.push(("list", Err(error.to_string())));
            return probe;
        }
    };
    let (folder, file) = path;
    let store = place.store();
    let listed = async { store.list(Some(&folder)).try_next().await.map(|_| ()) };
    if !probe.step("list", listed).await {
        return probe;
    }
    let write = || store.put_opts(&file, "vitral doctor".into(), PutMode::Create.into());
    let before = Utc::now();
    if !probe.step("write", async { write().await.map(|_| ()) }).await {
        return probe;
    }
    let after = Utc::now();
    let written = tokio::time::timeout(TIMEOUT, store.head(&file)).await;
    probe.clock_ahead_ms = written.ok().and_then(Result::ok).map(|found| ahead_ms(found.last_modified, before, after));
    // The one commit depends on this.
    let again = async {
        match write().await {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(object_store::Error::Generic {
                store: "object store",
                source: "it wrote over a file that was to be written only if there was none".into(),
            }),
        }
    };
    probe.step("write if absent", again).await;
    probe.step("read", async { store.get(&file).await?.bytes().await.map(|_| ()) }).await;
    probe.step("delete", store.delete(&file)).await;
    probe
}

impl StoreProbe {
    /// Whether the step succeeded.
    async fn step(&mut self, name: &'static str, work: impl Future<Output = Result<(), object_store::Error>>) -> bool {
        let outcome = match tokio::time::timeout(TIMEOUT, work).await {
            Ok(outcome) => outcome.map_err(|error| words(&error)),
            Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        };
        let succeeded = outcome.is_ok();
        self.steps.push((name, outcome));
        succeeded
    }
}

/// Stores report whole seconds.
fn ahead_ms(written: DateTime<Utc>, before: DateTime<Utc>, after: DateTime<Utc>) -> i64 {
    let (written, before, after) = (written.timestamp_millis(), before.timestamp_millis(), after.timestamp_millis());
    if written + 1000 < before { written + 1000 - before } else { (written - after).max(0) }
}

/// The error and its causes, in one line.
fn words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_can_do_everything_and_is_left_as_it_was() {
        let dir = tempfile::tempdir().expect("a folder");
        let location = Location::folder(dir.path()).expect("a folder");
        let found = probe(&location).await;
        assert!(found.steps.len() == 5 && found.steps.iter().all(|(_, outcome)| outcome.is_ok()), "{found:?}");
        assert!(found.clock_ahead_ms.is_some_and(|ahead| ahead.abs() < 1000), "{found:?}");
        assert_eq!(location.files().await.expect("listed"), []);
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_says_why() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("doctor"), "a file where a folder should be").expect("written");
        let found = probe(&Location::folder(dir.path()).expect("a folder")).await;
        let (step, outcome) = found.steps.last().expect("a step");
        assert!(outcome.as_ref().is_err_and(|reason| !reason.is_empty()), "{step}: {outcome:?}");
    }

    #[test]
    fn clocks_with_whole_seconds() {
        let at = |ms| DateTime::from_timestamp_millis(ms).expect("a time");
        assert_eq!(ahead_ms(at(10_000), at(10_900), at(10_950)), 0);
        assert_eq!(ahead_ms(at(12_000), at(10_900), at(10_950)), 1050);
        assert_eq!(ahead_ms(at(7_000), at(10_900), at(10_950)), -2900);
    }
}
