//! Retention: steps that are cut short, copies that are damaged, clocks that are wrong.

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_schemas::position::{Offset, PartitionId};

use super::arrivals::Arrivals;
use super::*;
use crate::archive::{Archive, ArchiveBatch};

const DAY_MS: i64 = DAY_MICROS / 1_000;
const LIMITS: Limits = Limits { hot_ms: 60, cold_ms: None, now_ms: 1_000 };

fn topic() -> Topic {
    Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog").topics.remove(0)
}

/// Offsets that came at these times, in milliseconds, all in the hot table.
async fn archive_of(topic: &Topic, store: &Location, arrivals: &[i64]) {
    let (schema, count) = (topic.archive_schema(), arrivals.len());
    let arrival = TimestampMicrosecondArray::from_iter_values(arrivals.iter().map(|ms| ms * 1_000));
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![0; count])),
        Arc::new(Int64Array::from_iter_values(0..count as i64)),
        Arc::new(Int64Array::from(vec![None::<i64>; count])),
        Arc::new(arrival.with_timezone("UTC")),
        Arc::new(StringArray::from(vec!["log"; count])),
        Arc::new(StringArray::from(vec![Verdict::Empty.name(); count])),
    ];
    columns.extend(schema.fields().iter().skip(6).map(|field| new_null_array(field.data_type(), count)));
    let rows = RecordBatch::try_new(schema.clone(), columns).expect("the archive's schema");
    let mut table = Table::open(&topic.name, &hot_place(store, topic), schema).await.expect("opened");
    table.append(vec![rows], &[]).await.expect("appended");
}

/// A hundred offsets, one for each millisecond.
async fn archive(topic: &Topic, store: &Location) {
    archive_of(topic, store, &(0..100).collect::<Vec<_>>()).await;
}

async fn count(provider: Arc<dyn TableProvider>) -> usize {
    read_session(1).read_table(provider).expect("a frame").count().await.expect("a count")
}

/// How many rows a reader finds, and how many lie in each table.
async fn found(topic: &Topic, store: &Location) -> [usize; 3] {
    let reader = Archive::read(topic, store).await.expect("read").expect("an archive");
    let mut counts = vec![count(reader.provider().await.expect("rows")).await];
    for place in [hot_place(store, topic), rows_place(store, topic)] {
        let rows = match Table::read(&topic.name, &place).await.expect("read") {
            Some(table) => count(table.provider().await.expect("rows")).await,
            None => 0,
        };
        counts.push(rows);
    }
    [counts[0], counts[1], counts[2]]
}

struct Place {
    topic: Topic,
    store: Location,
    _dir: tempfile::TempDir,
}

fn place() -> Place {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Location::folder(dir.path()).expect("a place");
    Place { topic: topic(), store, _dir: dir }
}

/// Plans the first step, as a run that is killed afterwards; the hot table as it was noted.
async fn plan(topic: &Topic, store: &Location) -> (Table, Steps, Step) {
    let hot = Table::read(&topic.name, &hot_place(store, topic)).await.expect("read").expect("a table");
    let mut steps = Steps::open(store, topic).await.expect("opened");
    let cold = moving(&hot, &Extent::default(), LIMITS).await.expect("planned").pop().expect("a part");
    let step = Step { number: 1, is_done: false, extent: Extent { cold, ..Extent::default() } };
    steps.write(&step).await.expect("planned");
    (note(topic, store, &step).await.expect("noted"), steps, step)
}

async fn copied(topic: &Topic, store: &Location, hot: &Table, step: &Step) -> u64 {
    let mut cold = Table::open(&topic.name, &rows_place(store, topic), topic.archive_schema()).await.expect("opened");
    copy(hot, &mut cold, through(&step.extent.cold), step.number).await.expect("copied")
}

/// Killed after each part of a step: readers find every row once, and the next run ends what was
/// begun.
#[tokio::test]
async fn a_step_that_was_cut_short_is_ended() {
    for parts in 1..=3 {
        let Place { topic, store, _dir } = place();
        archive(&topic, &store).await;
        let (hot, mut steps, step) = plan(&topic, &store).await;
        let mut expected = [100, 100, 0];
        if parts > 1 {
            assert_eq!(copied(&topic, &store, &hot, &step).await, 60);
            expected[2] = 60;
        }
        if parts > 2 {
            steps.write(&Step { is_done: true, ..step.clone() }).await.expect("done");
        }
        assert_eq!(found(&topic, &store).await, expected, "after {parts} parts");
        let later = Limits { hot_ms: 80, ..LIMITS };
        retain(&topic, &store, later).await.expect("ended");
        let ended = if parts > 2 { [100, 20, 80] } else { [100, 40, 60] };
        assert_eq!(found(&topic, &store).await, ended, "after {parts} parts");
    }
}

#[tokio::test]
async fn of_two_runs_at_once_one_comes_through() {
    let Place { topic, store, _dir } = place();
    archive(&topic, &store).await;
    let runs = futures::future::join_all((0..4).map(|_| retain(&topic, &store, LIMITS))).await;
    assert!(runs.iter().any(Result::is_ok), "{runs:?}");
    retain(&topic, &store, LIMITS).await.expect("and again");
    assert_eq!(found(&topic, &store).await, [100, 40, 60]);
}

/// A replay that began before the move is refused by it, one that comes in between has to wait; no
/// verdict is lost.
#[tokio::test]
async fn a_replay_and_a_move_exclude_each_other() {
    let Place { topic, store, _dir } = place();
    archive(&topic, &store).await;
    let mut before = Archive::read(&topic, &store).await.expect("read").expect("an archive");
    let rows = before.replayable(ident(archive_columns::OFFSET).eq(lit(5_i64))).await.expect("rows");
    let (hot, mut steps, step) = plan(&topic, &store).await;
    let rows = ArchiveBatch::new(&topic, rows[0].clone()).expect("rows of the archive");
    before.replay(rows).await.expect_err("it has not seen the move");
    copied(&topic, &store, &hot, &step).await;
    let between = Archive::read(&topic, &store).await.expect("read").expect("an archive");
    let refused = between.replayable(lit(true)).await.expect_err("rows are being moved");
    assert!(matches!(refused, StoreError::Moving { .. }), "{refused}");
    steps.write(&Step { is_done: true, ..step }).await.expect("done");
    let after = Archive::read(&topic, &store).await.expect("read").expect("an archive");
    let left: usize = after.replayable(lit(true)).await.expect("rows").iter().map(RecordBatch::num_rows).sum();
    assert_eq!(left, 40);
}

/// What a run that was killed has copied is not what it should be: the original stays until another
/// copy is read back.
#[tokio::test]
async fn rows_leave_their_place_only_after_their_copy_was_read() {
    let Place { topic, store, _dir } = place();
    archive(&topic, &store).await;
    let (hot, _, step) = plan(&topic, &store).await;
    copied(&topic, &store, &hot, &step).await;
    let mut cold = Table::open(&topic.name, &rows_place(&store, &topic), topic.archive_schema()).await.expect("opened");
    cold.delete(ident(archive_columns::OFFSET).eq(lit(7_i64))).await.expect("a row is lost");
    let lost = prove(&topic, &hot, &cold, through(&step.extent.cold)).await.expect_err("a row less");
    assert!(matches!(lost, StoreError::NotReadBack { expected: 60, found: 59, .. }), "{lost}");
    retain(&topic, &store, LIMITS).await.expect("copied again");
    assert_eq!(found(&topic, &store).await, [100, 40, 60]);
}

/// A file that a copy consists of is away: the move stops, and the rows are still in their place.
#[tokio::test]
async fn a_copy_that_cannot_be_read_stops_the_move() {
    let Place { topic, store, _dir } = place();
    archive(&topic, &store).await;
    let (hot, _, step) = plan(&topic, &store).await;
    copied(&topic, &store, &hot, &step).await;
    let folder = rows_place(&store, &topic).as_folder().expect("a folder");
    for file in std::fs::read_dir(folder).expect("listed") {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            std::fs::remove_file(path).expect("removed");
        }
    }
    retain(&topic, &store, LIMITS).await.expect_err("it cannot be read");
    assert_eq!(found(&topic, &store).await[..2], [100, 100]);
}

#[test]
fn moves_are_cut_between_days_and_wrong_clocks_hold_nothing_back() {
    let on = |day, first, last, recent: Option<i64>| Arrivals {
        log: "log".to_owned(),
        partition: PartitionId(0),
        day,
        first: Offset(first),
        last: Offset(last),
        recent: recent.map(Offset),
    };
    let ends = |found: &[Arrivals]| parts(found).iter().map(|part| part["log"][&PartitionId(0)].0).collect::<Vec<_>>();
    assert_eq!(ends(&[on(1, 0, 9, None), on(2, 10, 19, None), on(3, 20, 29, Some(25))]), [9, 19, 24]);
    assert_eq!(ends(&[on(1, 0, 9, None), on(2, 10, 19, None)]), [9, 19]);
    assert_eq!(ends(&[on(2, 0, 9, Some(0))]), Vec::<i64>::new(), "all of them are recent");
    // The clock was set back: offsets go on.
    assert_eq!(ends(&[on(2, 0, 9, None), on(1, 10, 19, None)]), [19]);
}

#[tokio::test]
async fn a_stamp_far_ahead_holds_nothing_back() {
    let Place { topic, store, _dir } = place();
    let year_3000_ms = 376_000 * DAY_MS;
    archive_of(&topic, &store, &[0, 1, year_3000_ms, 3, 4, 90, year_3000_ms]).await;
    let done = retain(&topic, &store, LIMITS).await.expect("moved").expect("an archive");
    assert_eq!(done.moved, 5, "what came before the limit, and what lies between");
    assert_eq!(found(&topic, &store).await, [7, 2, 5]);
    let done = retain(&topic, &store, Limits { hot_ms: 95, cold_ms: Some(95), ..LIMITS }).await.expect("moved");
    assert_eq!(done, Some(RetentionReport { moved: 1, purged: 5 }), "the last one is not old for all that is known");
}

/// What older versions wrote down: since when rows were deleted is not known, and stays so.
#[test]
fn deletions_of_older_versions_reach_back_without_end() {
    let at = |days| EventTime::from_micros(days * DAY_MICROS);
    let written = Extent { newest_purged: Some(at(90)), ..Extent::default() };
    let mut written = serde_json::to_value(&written).expect("JSON");
    written.as_object_mut().expect("an object").remove("gone_times").expect("what they lack");
    let found: Extent = serde_json::from_value(written).expect("it is read");
    assert_eq!(found.purged_times().within(at(0), at(1)), Some((at(0), EventTime::from_micros(DAY_MICROS - 1))));
    assert_eq!(found.purged_times().within(at(91), at(92)), None);
    let more = found.purged_times().and([(at(100), at(100))]);
    assert_eq!(more.within(at(91), at(100)), None, "and later ones are known");
    assert!(more.within(at(0), at(1)).is_some());
    assert_eq!(Extent::default().purged_times().within(EventTime::MIN, EventTime::from_micros(i64::MAX)), None);
}
