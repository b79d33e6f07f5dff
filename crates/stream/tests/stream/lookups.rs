//! Columns that are looked up: once, for rows that count, in order, and whatever their system does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use tokio::sync::watch;
use vitral_batch::ledger::LedgerFilter;
use vitral_batch::ledger::look_up_again::{LookedUpAgain, look_up_again};
use vitral_batch::ledger::replay::{finish, replay};
use vitral_batch::reconcile::{Selection, WindowRange, reconcile};
use vitral_batch::{Engine, Unanswered};
use vitral_catalog::DomainSettings;
use vitral_connect::{ConnectError, Lookup, LookupExt, Lookups, TableLookup, TopicLookups};
use vitral_panes::view::{LookupCompleteness, View, ViewReceiver};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::lookup::OnFailure;
use vitral_store::{Location, read_session};
use vitral_stream::StreamConfig;

use crate::watermarks::killed;
use crate::world::{
    HOUR_MS, MINUTE_MS, NOON_MS, PATIENCE, Shop, all_rows, archived, completeness, end, event_at, key, product_views,
    rows_of, views, wait_for, wait_until,
};

const METRIC: &str = "CREATE MATERIALIZED VIEW por_segmento AS
    SELECT tumble(INTERVAL '1 minute') AS janela, segmento, count(*) AS eventos FROM eventos_clientes GROUP BY janela, segmento;";

/// A system that knows a segment for every user but `u13`, and answers when it may.
#[derive(Debug)]
struct Profiles {
    may_answer: watch::Sender<bool>,
    is_away: AtomicBool,
    asked: AtomicUsize,
}

#[derive(Debug)]
struct Reached(Arc<Profiles>);

impl Profiles {
    fn new(may_answer: bool) -> Arc<Self> {
        let (may_answer, _) = watch::channel(may_answer);
        Arc::new(Self { may_answer, is_away: AtomicBool::new(false), asked: AtomicUsize::new(0) })
    }

    fn answer(&self) {
        self.may_answer.send_replace(true);
    }

    fn table(self: &Arc<Self>) -> [(String, TableLookup); 1] {
        let reached = Box::new(Reached(Arc::clone(self)).timed_out(PATIENCE));
        let table = TableLookup::cached("perfis", reached, "id_usuario", Duration::ZERO, OnFailure::Null);
        [("perfis".to_owned(), table.expect("a table"))]
    }
}

fn segment(user: &str) -> Option<String> {
    (user != "u13").then(|| format!("segment {}", &user[1..2]))
}

#[async_trait]
impl Lookup for Reached {
    fn schema(&self) -> SchemaRef {
        let field = |name: &str| Field::new(name, DataType::Utf8, true);
        Arc::new(Schema::new(vec![field("id_usuario"), field("segmento")]))
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        let Self(profiles) = self;
        profiles.asked.fetch_add(1, Ordering::SeqCst);
        profiles.may_answer.subscribe().wait_for(|may| *may).await.expect("the test goes on");
        if profiles.is_away.load(Ordering::SeqCst) {
            return Err(ConnectError::outage("away"));
        }
        let users = keys.as_string::<i32>();
        let found: Vec<Option<String>> = users.iter().map(|user| segment(user?)).collect();
        let known = users.iter().zip(&found).map(|(user, found)| user.filter(|_| found.is_some()));
        let columns: [ArrayRef; 2] = [
            Arc::new(known.collect::<StringArray>()),
            Arc::new(found.iter().map(Option::as_deref).collect::<StringArray>()),
        ];
        Ok(RecordBatch::try_new(self.schema(), columns.to_vec()).expect("rows"))
    }
}

/// The built-in topic with a column more, and a metric of it.
fn catalog() -> String {
    let files = vitral_catalog::builtin_files(&[vitral_catalog::DEFAULT_DOMAIN]);
    let topic = files.iter().find(|file| file.text.contains("CREATE TABLE eventos_clientes (")).expect("the topic");
    let looked_up = "CREATE TABLE eventos_clientes (
        segmento TEXT GENERATED ALWAYS AS (lookup('perfis', id_usuario, 'segmento')) STORED,";
    let topic = topic.text.replace("CREATE TABLE eventos_clientes (", looked_up);
    let table = "CREATE TABLE perfis (id_usuario VARCHAR(256) NOT NULL, segmento TEXT)
        WITH (connector = 'file', key = 'id_usuario');";
    format!("{topic}\n{table}\n{METRIC}")
}

fn shop(shop: &Shop, profiles: &Arc<Profiles>) -> Shop {
    shop.with_catalog(&catalog()).with_lookups(profiles.table())
}

/// Segments in the archive, by verdict, user and segment.
async fn in_archive(view: &ViewReceiver) -> BTreeMap<(String, String, Option<String>), i64> {
    let archive = view.borrow().topics.values().next().expect("a topic").archive.clone();
    let context = read_session(1);
    context.register_table("archive", archive).expect("a table");
    let sql = "SELECT _veredito, coalesce(id_usuario, ''), segmento, count(*) FROM archive GROUP BY 1, 2, 3";
    let batches = context.sql(sql).await.expect("planned").collect().await.expect("run");
    let mut rows = BTreeMap::new();
    for batch in &batches {
        let text = |column: usize| batch.column(column).as_string::<i32>();
        for row in 0..batch.num_rows() {
            let found = text(2).is_valid(row).then(|| text(2).value(row).to_owned());
            let place = (text(0).value(row).to_owned(), text(1).value(row).to_owned(), found);
            rows.insert(place, batch.column(3).as_primitive::<Int64Type>().value(row));
        }
    }
    rows
}

/// Events of all windows, by segment.
async fn by_segment(view: &ViewReceiver) -> BTreeMap<Option<String>, i64> {
    let mut totals = BTreeMap::new();
    for batch in rows_of(view, "por_segmento").await {
        let segments = batch.column_by_name("segmento").expect("a column").as_string::<i32>();
        let counts = batch.column_by_name("eventos").expect("a column").as_primitive::<Int64Type>();
        for (segment, count) in segments.iter().zip(counts.values()) {
            *totals.entry(segment.map(str::to_owned)).or_default() += count;
        }
    }
    totals
}

fn expected(ids: impl Iterator<Item = usize>) -> BTreeMap<Option<String>, i64> {
    let mut totals = BTreeMap::new();
    for id in ids {
        *totals.entry(segment(&key(id))).or_default() += 1;
    }
    totals
}

fn lookups(view: &ViewReceiver) -> LookupCompleteness {
    completeness(&view.borrow()).lookups["segmento"].clone()
}

/// What a producer says of a looked-up column means nothing.
fn events(ids: std::ops::Range<usize>, time_ms: i64) -> Vec<Vec<u8>> {
    let said = |id: usize| {
        let text = String::from_utf8(event_at(id, "p1", "clique", time_ms)).expect("a text");
        text.replacen('{', r#"{"segmento":"of the producer","#, 1).into_bytes()
    };
    ids.map(said).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_count_are_looked_up_once_and_kept() {
    let (at_noon, clock) = Shop::at_noon(1);
    let profiles = Profiles::new(true);
    let shop = shop(&at_noon, &profiles);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    clock.set_ms(NOON_MS + 5 * HOUR_MS);
    shop.produce_to(0, &events(0..100, NOON_MS + 4 * HOUR_MS));
    wait_for(&mut view, "100 events", |seen| seen.read == 100 && seen.watermark.is_some()).await;
    // A duplicate, a late row, and one that is not an event.
    shop.produce_to(0, &events(0..1, NOON_MS + 4 * HOUR_MS));
    shop.produce_to(0, &events(900..901, NOON_MS));
    shop.produce_to(0, &[b"{".to_vec()]);
    let seen = wait_for(&mut view, "all", |seen| seen.read == 103).await;
    assert_eq!((seen.counted, seen.duplicate, seen.late, seen.refused), (100, 1, 1, 1), "{seen:?}");
    wait_until(&mut view, "committed", |view| view.topics.values().all(|topic| topic.tail.is_empty())).await;
    end(stream).await;
    let unknown = (0..100).filter(|id| segment(&key(*id)).is_none()).count() as u64;
    let seen = lookups(&view);
    assert_eq!((seen.unknown, seen.failed, seen.stale, seen.since_ms), (unknown, 0, 0, None));
    let kept = in_archive(&view).await;
    for (verdict, user, found) in kept.keys() {
        let wanted = if verdict == "contada" { segment(user) } else { None };
        assert_eq!(*found, wanted, "{verdict} {user}");
    }
    assert_eq!(by_segment(&view).await, expected(0..100));

    // A restart reads what was found, and asks for nothing.
    let (live, asked) = (all_rows(&view).await, profiles.asked.load(Ordering::SeqCst));
    let (stream, mut view) = shop.start(dir.path());
    wait_for(&mut view, "the same", |seen| seen.read == 103).await;
    end(stream).await;
    assert_eq!(all_rows(&view).await, live);
    assert_eq!(profiles.asked.load(Ordering::SeqCst), asked);

    // What is fed again was never looked up.
    let store = Location::folder(dir.path()).expect("a folder");
    let tables = TopicLookups::new(&shop.topic, &Lookups::new(profiles.table())).expect("open");
    let now_ms = NOON_MS + 5 * HOUR_MS;
    let fed = replay(&shop.topic, &DomainSettings::default(), &store, &tables, &LedgerFilter::default(), now_ms).await;
    assert_eq!(fed.expect("fed again").counted, 1);
    let (stream, mut view) = shop.start(dir.path());
    wait_for(&mut view, "one counts more", |seen| seen.counted == 101).await;
    end(stream).await;
    let user = key(900);
    let fed = in_archive(&view).await;
    let of_user = fed.keys().filter(|(verdict, id, _)| verdict == "contada" && *id == user);
    assert!(of_user.clone().all(|(.., found)| *found == segment(&user)), "{fed:?}");
    let counted = |rows: &BTreeMap<(String, String, Option<String>), i64>| -> i64 {
        rows.iter().filter(|((verdict, ..), _)| verdict == "contada").map(|(_, count)| count).sum()
    };
    assert_eq!((counted(&kept), counted(&fed)), (100, 101));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_looked_up_column_that_is_dropped_is_kept_and_comes_back() {
    let (without, clock) = Shop::at_noon(1);
    let with = shop(&without, &Profiles::new(true));
    let dir = tempfile::tempdir().expect("a folder");
    clock.set_ms(NOON_MS + 5 * HOUR_MS);
    for (shop, ids) in [(&with, 0..10), (&without, 10..20), (&with, 20..30)] {
        let (stream, mut view) = shop.start(dir.path());
        shop.produce_to(0, &events(ids.clone(), NOON_MS + 4 * HOUR_MS));
        wait_for(&mut view, "its events", |seen| seen.counted == ids.end as u64).await;
        wait_until(&mut view, "committed", |view| view.topics.values().all(|topic| topic.tail.is_empty())).await;
        end(stream).await;
        // A restart reads all of them.
        let (stream, mut view) = shop.start(dir.path());
        wait_for(&mut view, "the same", |seen| seen.counted == ids.end as u64).await;
        end(stream).await;
        let mut wanted = BTreeMap::new();
        for (n, user) in (0..ids.end).map(|n| (n, key(n))) {
            let found = segment(&user).filter(|_| !(10..20).contains(&n));
            *wanted.entry(("contada".to_owned(), user, found)).or_insert(0) += 1;
        }
        assert_eq!(in_archive(&view).await, wanted);
    }
    // The windows of all of them close.
    clock.set_ms(NOON_MS + 10 * HOUR_MS);
    let (stream, mut view) = with.start(dir.path());
    with.produce_to(0, &events(30..31, NOON_MS + 9 * HOUR_MS));
    let is_published = |view: &View| {
        let mut through = view.metrics.values().map(|metric| metric.published_through_ms);
        !view.metrics.is_empty() && through.all(|through| through > Some(NOON_MS + 4 * HOUR_MS + HOUR_MS / 60))
    };
    wait_until(&mut view, "the published windows", is_published).await;
    end(stream).await;
    reconciles(&with, dir.path()).await;
}

/// What was published by segment is what the archive says, whatever the look-up table would say
/// now.
async fn reconciles(shop: &Shop, dir: &Path) {
    let store = Location::folder(dir).expect("a folder");
    let range = WindowRange::of_ms(NOON_MS - HOUR_MS, NOON_MS + 12 * HOUR_MS);
    let settings = DomainSettings::default();
    let selection = Selection { only: Some("por_segmento"), ..Selection::default() };
    let compared = reconcile(shop.catalog(), &settings, &store, &Engine::Local, range, selection);
    let compared = compared.await.expect("compared");
    let is_equal = !compared.is_empty() && compared.iter().all(|compared| compared.windows > 0 && !compared.differs());
    assert!(is_equal, "{compared:?}");
}

/// One message a poll, so that many polls wait for their look-ups.
fn one_by_one(shop: &Shop, dir: &Path) -> StreamConfig {
    StreamConfig { batch_rows: 1, commit_interval: Duration::from_millis(20), ..shop.config(dir) }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_system_is_slow_rows_are_classified_and_no_window_closes_without_them() {
    let (at_noon, clock) = Shop::at_noon(1);
    let profiles = Profiles::new(false);
    let shop = shop(&at_noon, &profiles);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start_with(one_by_one(&shop, dir.path()));
    clock.set_ms(NOON_MS + 10 * HOUR_MS);
    // Each event is three hours on: each closes the window of the one before, as soon as it is
    // counted.
    let payloads: Vec<_> = (0..4).map(|id| event_at(id, "p1", "clique", NOON_MS + 3 * HOUR_MS * id as i64)).collect();
    shop.produce_to(0, &payloads);
    let began = Instant::now();
    while profiles.asked.load(Ordering::SeqCst) < payloads.len() {
        assert!(began.elapsed() < PATIENCE, "reading waits for look-ups: {}", profiles.asked.load(Ordering::SeqCst));
        tokio::task::yield_now().await;
    }
    // A kill now: nothing is archived of what waits, and its watermark is not committed.
    let copy = killed(dir.path());
    let seen = completeness(&view.borrow());
    assert_eq!((seen.read, seen.watermark.map(Watermark::ms)), (0, None), "{seen:?}");
    profiles.answer();
    wait_for(&mut view, "all", |seen| seen.read == 4).await;
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", 4)]));
    assert_eq!(by_segment(&view).await, expected(0..4));
    assert_eq!(archived(&view).await.len(), 4);
    let live = all_rows(&view).await;
    reconciles(&shop, dir.path()).await;

    let (stream, mut view) = shop.start_with(one_by_one(&shop, copy.path()));
    wait_for(&mut view, "all, after a kill", |seen| seen.read == 4).await;
    end(stream).await;
    assert_eq!(all_rows(&view).await, live);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_polls_than_may_wait_lose_nothing_over_a_stop_with_snapshots() {
    const EVENTS: usize = 60;
    let (at_noon, clock) = Shop::at_noon(2);
    let profiles = Profiles::new(false);
    let shop = shop(&at_noon, &profiles);
    let dir = tempfile::tempdir().expect("a folder");
    let config = |dir: &Path| StreamConfig { snapshot: Some(Duration::ZERO), ..one_by_one(&shop, dir) };
    clock.set_ms(NOON_MS + HOUR_MS);
    let payload = |id: usize| event_at(id, "p1", "clique", NOON_MS + id as i64 * MINUTE_MS);
    let (even, odd): (Vec<usize>, Vec<usize>) = (0..EVENTS).partition(|id| id % 2 == 0);
    for (partition, ids) in [(0, even), (1, odd)] {
        shop.produce_to(partition, &ids.into_iter().map(payload).collect::<Vec<_>>());
    }
    let (stream, _) = shop.start_with(config(dir.path()));
    let began = Instant::now();
    while profiles.asked.load(Ordering::SeqCst) < 4 {
        assert!(began.elapsed() < PATIENCE, "no look-ups");
        tokio::task::yield_now().await;
    }
    // The stop waits for what waits, and commits it.
    let stopping = tokio::spawn(end(stream));
    profiles.answer();
    stopping.await.expect("an ordered end");
    let (stream, mut view) = shop.start_with(config(dir.path()));
    let seen = wait_for(&mut view, "all", |seen| seen.read == EVENTS as u64).await;
    assert_eq!((seen.counted, seen.duplicate), (EVENTS as u64, 0), "{seen:?}");
    end(stream).await;
    assert_eq!(product_views(&view).await, views([("p1", EVENTS as i64)]));
    assert_eq!(by_segment(&view).await, expected(0..EVENTS));
    assert_eq!(archived(&view).await.len(), EVENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_is_away_costs_values_and_nothing_else() {
    let (at_noon, clock) = Shop::at_noon(1);
    let profiles = Profiles::new(true);
    let plain = at_noon.clone();
    let dir = tempfile::tempdir().expect("a folder");
    clock.set_ms(NOON_MS + HOUR_MS);
    // First without the column: earlier rows have null, and completeness says since when they do
    // not.
    let (stream, mut view) = plain.start(dir.path());
    plain.produce_to(0, &events(0..10, NOON_MS));
    wait_for(&mut view, "10 events", |seen| seen.read == 10).await;
    end(stream).await;
    let shop = shop(&at_noon, &profiles);
    profiles.is_away.store(true, Ordering::SeqCst);
    let (stream, mut view) = shop.start(dir.path());
    shop.produce_to(0, &events(10..20, NOON_MS));
    let seen = wait_for(&mut view, "20 events", |seen| seen.read == 20).await;
    assert_eq!(seen.counted, 20);
    let seen = lookups(&view);
    assert_eq!((seen.unknown, seen.failed, seen.since_ms), (0, 10, Some(NOON_MS + HOUR_MS)));
    profiles.is_away.store(false, Ordering::SeqCst);
    shop.produce_to(0, &events(20..30, NOON_MS));
    wait_for(&mut view, "30 events", |seen| seen.read == 30).await;
    // One more closes the windows of the others.
    clock.set_ms(NOON_MS + 6 * HOUR_MS);
    shop.produce_to(0, &events(30..31, NOON_MS + 5 * HOUR_MS));
    wait_for(&mut view, "31 events", |seen| seen.read == 31).await;
    let has_history = |view: &View| view.metrics.contains_key("por_segmento");
    wait_until(&mut view, "the new metric has its history", has_history).await;
    end(stream).await;
    let mut wanted = expected(20..31);
    *wanted.entry(None).or_default() += 20;
    assert_eq!(by_segment(&view).await, wanted);

    // Looked up again, while the system is away, and when it is back: what was found is kept, the
    // rest is filled.
    let store = Location::folder(dir.path()).expect("a folder");
    let tables = TopicLookups::new(&shop.topic, &Lookups::new(profiles.table())).expect("open");
    profiles.is_away.store(true, Ordering::SeqCst);
    let all = LedgerFilter::default();
    let again = || look_up_again(&shop.topic, &store, &tables, &all);
    let done = |changed, unanswered| LookedUpAgain { rows: 31, changed, unanswered };
    assert_eq!(again().await.expect("nothing changed"), done(0, Unanswered::of("segmento", 31)));
    profiles.is_away.store(false, Ordering::SeqCst);
    let known = (0..20).filter(|id| segment(&key(*id)).is_some()).count();
    assert_eq!(again().await.expect("looked up"), done(known, Unanswered::default()));
    assert_eq!(again().await.expect("looked up"), done(0, Unanswered::default()));
    assert!(finish(shop.catalog(), &DomainSettings::default(), &store).await.expect("published again") > 0);
    let (stream, mut view) = shop.start(dir.path());
    wait_for(&mut view, "31 events", |seen| seen.read == 31).await;
    end(stream).await;
    assert_eq!(by_segment(&view).await, expected(0..31));
    reconciles(&shop, dir.path()).await;
}
