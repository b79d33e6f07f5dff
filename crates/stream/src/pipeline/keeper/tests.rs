use prometheus_client::registry::Registry;
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_connect::Lookups;
use vitral_connect::memory::MemoryBroker;
use vitral_schemas::time::SystemClock;
use vitral_store::{Advance, ArchiveCommit};

use super::super::context::Context;
use super::*;
use crate::config::StreamConfig;
use crate::telemetry::StreamTelemetry;

const SQL: &str = "CREATE TABLE eventos (p TEXT, n BIGINT, t TIMESTAMP NOT NULL)
    WITH (connector = 'kafka', event_time = 't');
    CREATE MATERIALIZED VIEW niveis AS SELECT p, latest(n) AS n FROM eventos GROUP BY p;";
const LOG: &str = "log";
const PARTITION: PartitionId = PartitionId(0);

fn context(store: &Location) -> (TopicContext, watch::Receiver<Arc<View>>) {
    let settings = DomainSettings::default();
    let file = SourceFile { path: "a.sql".to_owned(), text: SQL.to_owned() };
    let catalog = Catalog::parse(&[vec![file]], &settings).expect("a catalog");
    let topic = catalog.topics[0].clone();
    let (sender, view) = watch::channel(Arc::new(View::default()));
    let context = Context {
        config: StreamConfig::new(store.clone()),
        connector: Arc::new(MemoryBroker::new()),
        lookups: Lookups::default(),
        row_sinks: BTreeMap::new(),
        catalog: Arc::new(catalog),
        settings,
        clock: Arc::new(SystemClock),
        view: sender,
        telemetry: StreamTelemetry::register(&mut Registry::default()),
        runtime: tokio::runtime::Handle::current(),
    };
    (TopicContext::new(context, topic), view)
}

/// Commits up to this offset; what is there does not count.
async fn commit(archive: &mut Archive, next: i64) {
    let from = archive.next_offsets().get(&PARTITION).copied();
    let commit = ArchiveCommit {
        offsets: [(PARTITION, Advance { from, to: Offset(next) })].into(),
        token: next,
        ..ArchiveCommit::default()
    };
    archive.commit(&commit).await.expect("committed");
}

#[tokio::test]
async fn a_commit_that_could_not_be_shown_is_shown_by_the_next_step() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Location::folder(dir.path()).expect("a store");
    let (context, view) = context(&store);
    let topic = context.topic.clone();
    let mut archive = Archive::open(&topic, LOG, [PARTITION], &store).await.expect("opened");
    let mut keeper = Keeper::open(&context).await.expect("opened");
    let offsets = |next| Offsets::from([(PARTITION, Offset(next))]);
    let shown = || view.borrow().keyed["niveis"].through.offsets.get(&PARTITION).copied();
    commit(&mut archive, 1).await;
    assert!(keeper.step(LOG, &offsets(1)).await.expect("a step"));
    assert!(view.borrow().keyed_imports.contains_key("niveis"), "it has begun");
    commit(&mut archive, 2).await;
    assert!(keeper.step(LOG, &offsets(2)).await.expect("a step"));
    assert_eq!(shown(), Some(Offset(2)));

    // The table's commit succeeds, and what comes behind it fails.
    commit(&mut archive, 3).await;
    let reader = Archive::read(&topic, &store).await.expect("read").expect("an archive");
    let reach = [Reached { log: LOG.to_owned(), partition: PARTITION, next: Offset(3) }];
    keeper.tables[0].step(&reader, &reach, (None, &store)).await.expect("committed");
    assert_eq!(shown(), Some(Offset(2)));
    assert!(keeper.step(LOG, &offsets(3)).await.expect("a step"));
    assert_eq!(shown(), Some(Offset(3)));
    let rows = Arc::clone(&view.borrow().keyed["niveis"].rows);
    assert!(keeper.step(LOG, &offsets(3)).await.expect("a step"));
    assert!(Arc::ptr_eq(&rows, &view.borrow().keyed["niveis"].rows), "nothing is new");
}

#[tokio::test]
async fn a_new_table_is_not_shown_before_its_history_is_in() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Location::folder(dir.path()).expect("a store");
    let (context, view) = context(&store);
    let mut archive = Archive::open(&context.topic, LOG, [PARTITION], &store).await.expect("opened");
    commit(&mut archive, 1).await;
    let mut keeper = Keeper::open(&context).await.expect("opened");
    assert!(!view.borrow().keyed.contains_key("niveis"), "it would be taken for one without rows");
    let offsets = Offsets::from([(PARTITION, Offset(1))]);
    assert!(keeper.step(LOG, &offsets).await.expect("a step"));
    assert!(view.borrow().keyed.contains_key("niveis"));
    // What an earlier process has left is shown at once.
    let (context, view) = self::context(&store);
    Keeper::open(&context).await.expect("opened");
    assert!(view.borrow().keyed.contains_key("niveis"));
}

#[tokio::test]
async fn a_commit_is_shown_though_what_comes_behind_it_fails() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Location::folder(dir.path()).expect("a store");
    let (context, view) = context(&store);
    let topic = context.topic.clone();
    let mut archive = Archive::open(&topic, LOG, [PARTITION], &store).await.expect("opened");
    let mut keeper = Keeper::open(&context).await.expect("opened");
    let offsets = |next| Offsets::from([(PARTITION, Offset(next))]);
    commit(&mut archive, 1).await;
    assert!(keeper.step(LOG, &offsets(1)).await.expect("a step"));
    commit(&mut archive, 2).await;
    // Nothing can be read any more of what was imported.
    let history = History::open(&topic, &Layout::of(&store).history(&topic)).await.expect("opened");
    (keeper.history, keeper.looked) = (Some(history), Some(Instant::now()));
    std::fs::remove_dir_all(dir.path().join("history")).expect("removed");
    assert!(!keeper.step(LOG, &offsets(2)).await.expect("a step"), "it is to be tried again");
    assert_eq!(view.borrow().keyed["niveis"].through.offsets.get(&PARTITION), Some(&Offset(2)));
}
