//! Leases: one holder at a time, in a bucket and in a folder.

use std::time::Instant;

use super::*;

const QUICK: Timing = Timing { renewed_every: Duration::from_millis(50), free_after: Duration::from_millis(600) };

fn holder(name: &str) -> Holder {
    Holder { id: name.to_owned(), name: format!("process of {name}") }
}

fn place() -> (tempfile::TempDir, Location) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Location::folder(dir.path()).expect("a place");
    (dir, store)
}

/// As in a bucket: a folder's files can be put "if absent" too.
async fn take(store: &Location, who: &str, patience: Duration) -> Result<Lease, StoreError> {
    Objects::new(store, STREAM, QUICK).take(Held::by(&holder(who)), patience).await
}

fn refused(outcome: Result<Lease, StoreError>) -> String {
    match outcome {
        Err(error @ StoreError::Leased { .. }) => error.to_string(),
        other => panic!("it is not free: {other:?}"),
    }
}

#[tokio::test]
async fn one_holds_it_and_the_next_learns_who() {
    let (_dir, store) = place();
    let one = take(&store, "one", Duration::ZERO).await.expect("free");
    let said = refused(take(&store, "other", Duration::ZERO).await);
    assert!(said.contains("process of one") && said.contains("since 2") && said.contains("stop it"), "{said}");
    one.release().await;
    let other = take(&store, "other", Duration::ZERO).await.expect("free again");
    refused(take(&store, "one", Duration::ZERO).await);
    other.release().await;
    assert_eq!(Objects::new(&store, STREAM, QUICK).numbers().await.expect("listed").len(), 1);
}

#[tokio::test]
async fn a_silent_holder_has_lost_it() {
    let (_dir, store) = place();
    let killed = take(&store, "killed", Duration::ZERO).await.expect("free");
    let Kind::Bucket { renewing, .. } = &killed.0 else { panic!("objects") };
    renewing.abort();
    let began = Instant::now();
    let next = take(&store, "next", Duration::ZERO).await.expect("free after a while");
    assert!(began.elapsed() >= QUICK.free_after / 2, "not at once: {:?}", began.elapsed());
    refused(take(&store, "third", Duration::ZERO).await);
    // The next process of the same data directory need not wait.
    let Kind::Bucket { renewing, .. } = &next.0 else { panic!("objects") };
    renewing.abort();
    let began = Instant::now();
    take(&store, "next", Duration::ZERO).await.expect("its own");
    assert!(began.elapsed() < QUICK.free_after, "{:?}", began.elapsed());
}

#[tokio::test]
async fn one_that_was_taken_over_says_so() {
    let (_dir, store) = place();
    let stale = take(&store, "same", Duration::ZERO).await.expect("free");
    let _new = take(&store, "same", Duration::ZERO).await.expect("its own");
    let lost = tokio::time::timeout(Duration::from_secs(20), stale.lost()).await.expect("it looks");
    assert!(matches!(lost, StoreError::LeaseLost { .. }), "{lost}");
    let never = stale.during(std::future::pending::<Result<(), StoreError>>()).await;
    assert!(matches!(never, Err(StoreError::LeaseLost { .. })), "work without it is broken off");
    refused(take(&store, "other", Duration::ZERO).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_has_it() {
    let (_dir, store) = place();
    let names: Vec<String> = (0..8).map(|n| n.to_string()).collect();
    let taken = futures::future::join_all(names.iter().map(|name| take(&store, name, Duration::ZERO))).await;
    assert_eq!(taken.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{taken:?}");
}

#[tokio::test]
async fn in_a_folder_it_is_free_once_its_process_has_ended() {
    let (dir, store) = place();
    let holder = Holder::of_data_dir(dir.path()).expect("an identity");
    let take = || Lease::take(&store, UPKEEP, &holder, Duration::ZERO);
    let one = take().await.expect("free");
    let said = refused(take().await);
    assert!(said.contains(&std::process::id().to_string()) && said.contains("wait"), "{said}");
    drop(one);
    let two = take().await.expect("free again");
    let patient = Lease::take(&store, UPKEEP, &holder, Duration::from_secs(60));
    let (waited, ()) = tokio::join!(patient, two.release());
    waited.expect("it has waited");
    assert_eq!(Holder::of_data_dir(dir.path()).expect("known").id, holder.id, "a directory keeps its identity");
}
