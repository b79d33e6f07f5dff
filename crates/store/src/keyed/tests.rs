//! Tables over an archive that grows, is merged, moved and purged: their rows are always those of a
//! plain model.

mod kept_back;
mod sides;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::util::pretty::pretty_format_batches;
use datafusion::logical_expr::ident;
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::{Topic, archive_columns, history_columns};

use super::{Freshness, KeyedPlan, KeyedTable, Sides, keep_balances};
use crate::archive::{Limits, retain};
use crate::{Advance, Archive, ArchiveCommit, History, Layout, Location, read_session};

const SQL: &str =
    "CREATE TABLE estoques (id TEXT NOT NULL, nivel BIGINT, valor DECIMAL(18, 2), timestamp TIMESTAMP NOT NULL)
    WITH (connector = 'kafka', event_time = 'timestamp', lateness = 'never');
    CREATE MATERIALIZED VIEW niveis AS
    SELECT id, latest(nivel) AS nivel, earliest(nivel) FILTER (WHERE nivel > 2) AS primeiro, count(*) AS vezes,
           count(DISTINCT nivel) AS niveis, sum(valor) AS valor, max(timestamp) AS ate,
           sum_since(valor, nivel = 0) AS desde_zero, sum_since(nivel, nivel = 1) FILTER (WHERE nivel < 6) AS desde_um
    FROM estoques WHERE nivel IS NULL OR nivel < 9 GROUP BY id;";
/// 2025-05-14T12:00:00Z
const NOON_MS: i64 = 1_747_224_000_000;
const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    /// By which rows of the same time are ordered: the log's generation, the partition and the
    /// offset; of imports -1, the commit, the line.
    place: (i64, i64, i64),
    id: String,
    nivel: Option<i64>,
    cents: i64,
    time_ms: i64,
    arrival_ms: i64,
}

struct World {
    _dir: tempfile::TempDir,
    store: Location,
    topic: Topic,
    plan: Arc<KeyedPlan>,
    rows: Vec<Row>,
    seed: u64,
}

impl World {
    fn new() -> Self {
        Self::of(SQL)
    }

    fn of(declarations: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let file = SourceFile { path: "t.sql".into(), text: declarations.into() };
        let settings = DomainSettings::default();
        let catalog = Catalog::parse(&[vec![file]], &settings).expect("a catalog");
        let plan = KeyedPlan::new(&catalog.keyed[0], &catalog.topics[0], &settings).expect("planned");
        Self {
            store: Location::folder(dir.path()).expect("a place"),
            _dir: dir,
            topic: catalog.topics[0].clone(),
            plan: Arc::new(plan),
            rows: Vec::new(),
            seed: 7,
        }
    }

    fn random(&mut self, below: u64) -> i64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.seed >> 33) % below).expect("a small number")
    }

    fn row(&mut self, place: (i64, i64, i64), arrival_ms: i64) -> Row {
        let nivel = Some(self.random(12)).filter(|nivel| *nivel < 10);
        Row {
            place,
            id: format!("p{}", self.random(7)),
            nivel,
            cents: self.random(1_000),
            // Many rows have the same time, and come in no order.
            time_ms: NOON_MS + self.random(40) * 1_000,
            arrival_ms,
        }
    }

    /// Commits rows of two partitions of a log; some do not count.
    async fn commit(&mut self, log: &str, generation: i64, count: i64, arrival_ms: i64) {
        let mut archive = Archive::open(&self.topic, log, [0, 1].map(PartitionId), &self.store).await.expect("opened");
        let (mut rows, mut verdicts) = (Vec::new(), Vec::new());
        for partition in [0, 1].map(PartitionId) {
            let first = archive.next_offsets().get(&partition).copied().unwrap_or_default();
            for offset in first.0..first.0 + count {
                rows.push(self.row((generation, i64::from(partition.0), offset), arrival_ms));
                verdicts.push(if self.random(5) == 0 { "duplicada" } else { "contada" });
            }
        }
        self.archive(&mut archive, log, &rows, &verdicts).await;
        let counted = rows.into_iter().zip(verdicts).filter(|(_, verdict)| *verdict == "contada");
        self.rows.extend(counted.map(|(row, _)| row));
    }

    /// One commit of these rows.
    async fn archive(&mut self, archive: &mut Archive, log: &str, rows: &[Row], verdicts: &[&str]) {
        let next = |partition: PartitionId| {
            let of_partition = rows.iter().filter(|row| row.place.1 == i64::from(partition.0));
            of_partition.map(|row| Offset(row.place.2 + 1)).max()
        };
        let known = archive.next_offsets().clone();
        let offsets = [0, 1].map(PartitionId).into_iter().filter_map(|partition| {
            let advance = Advance { from: known.get(&partition).copied(), to: next(partition)? };
            Some((partition, advance))
        });
        let commit = ArchiveCommit {
            rows: vec![self.archived(log, rows, verdicts)],
            offsets: offsets.collect(),
            token: self.random(1 << 30),
            ..ArchiveCommit::default()
        };
        archive.commit(&commit).await.expect("committed");
    }

    fn archived(&self, log: &str, rows: &[Row], verdicts: &[&str]) -> RecordBatch {
        let schema = self.topic.archive_schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            use archive_columns::*;
            match field.name().as_str() {
                PARTITION => Arc::new(rows.iter().map(|row| Some(row.place.1 as i32)).collect::<Int32Array>()),
                OFFSET => Arc::new(rows.iter().map(|row| Some(row.place.2)).collect::<Int64Array>()),
                LOG => Arc::new(rows.iter().map(|_| Some(log)).collect::<StringArray>()),
                VERDICT => Arc::new(verdicts.iter().map(|verdict| Some(*verdict)).collect::<StringArray>()),
                name => column(name, rows).unwrap_or_else(|| new_null_array(field.data_type(), rows.len())),
            }
        });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("rows")
    }

    async fn import(&mut self, import: &str, count: i64) {
        let mut history =
            History::open(&self.topic, &Layout::of(&self.store).history(&self.topic)).await.expect("opened");
        let sequence = history.sequence().await.expect("a number") + 1;
        let rows: Vec<Row> = (0..count).map(|line| self.row((-1, sequence, line), NOON_MS)).collect();
        let schema = self.topic.history_schema();
        let fields = schema.fields()[1..].iter();
        let columns = fields.clone().map(|field| -> ArrayRef {
            use history_columns::*;
            let text = |text: &str| Arc::new(rows.iter().map(|_| Some(text)).collect::<StringArray>()) as ArrayRef;
            match field.name().as_str() {
                IMPORT => text(import),
                FILE => text("f.csv"),
                VERDICT => text("contada"),
                LINE => Arc::new(rows.iter().map(|row| Some(row.place.2)).collect::<Int64Array>()),
                name => column(name, &rows).unwrap_or_else(|| new_null_array(field.data_type(), rows.len())),
            }
        });
        let schema = Arc::new(arrow::datatypes::Schema::new(fields.clone().cloned().collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema, columns.collect()).expect("rows");
        history.append(&batch).await.expect("imported");
        self.rows.extend(rows);
    }

    /// What the table must hold, as text.
    fn expected(&self) -> Vec<String> {
        let mut by_id = BTreeMap::<&str, Vec<&Row>>::new();
        for row in self.rows.iter().filter(|row| row.nivel.is_none_or(|nivel| nivel < 9)) {
            by_id.entry(&row.id).or_default().push(row);
        }
        let text = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let rows = by_id.into_iter().map(|(id, mut rows)| {
            rows.sort_by_key(|row| (row.time_ms, row.place));
            let latest = rows.iter().rev().find_map(|row| row.nivel);
            let first = rows.iter().filter_map(|row| row.nivel).find(|nivel| *nivel > 2);
            let levels: BTreeSet<i64> = rows.iter().filter_map(|row| row.nivel).collect();
            let cents: i64 = rows.iter().map(|row| row.cents).sum();
            let since = |restart: i64, of: &dyn Fn(&Row) -> Option<i64>| {
                let behind = rows.iter().rposition(|row| row.nivel == Some(restart)).map_or(0, |at| at + 1);
                rows[behind..].iter().filter_map(|row| of(row)).reduce(|sum, value| sum + value)
            };
            let since_zero = since(0, &|row| Some(row.cents));
            let since_zero = since_zero.map(|cents| format!("{}.{:02}", cents / 100, cents % 100)).unwrap_or_default();
            let since_one = since(1, &|row| row.nivel.filter(|nivel| *nivel < 6));
            let until = rows.iter().map(|row| row.time_ms).max().expect("a row");
            let updated = rows.iter().map(|row| row.arrival_ms).max().expect("a row");
            let time = |ms| chrono::DateTime::from_timestamp_millis(ms).expect("a time").format("%Y-%m-%dT%H:%M:%SZ");
            format!(
                "{id}|{}|{}|{}|{}|{}.{:02}|{}|{since_zero}|{}|{}",
                text(latest),
                text(first),
                rows.len(),
                levels.len(),
                cents / 100,
                cents % 100,
                time(until),
                text(since_one),
                time(updated)
            )
        });
        rows.collect()
    }

    async fn open(&self) -> KeyedTable {
        KeyedTable::open(&self.plan, &self.store).await.expect("opened")
    }

    async fn bring_up_to_date(&self, table: &mut KeyedTable) {
        table.refresh().await.expect("refreshed");
        let archive = Archive::read(&self.topic, &self.store).await.expect("read").expect("an archive");
        table.catch_up(&archive, None).await.expect("added");
        let history = History::read(&self.topic, &Layout::of(&self.store).history(&self.topic)).await.expect("read");
        if let Some(history) = &history {
            table.take_imports(history).await.expect("taken");
        }
        assert_eq!(table.freshness(&archive, history.as_ref()).await.expect("known"), Freshness::Current);
        sides::check(table, &archive, history.as_ref()).await;
    }

    async fn check(&self, table: &KeyedTable, when: &str) {
        let frame = read_session(2).read_table(table.rows().await.expect("rows")).expect("a frame");
        let frame = frame.sort(vec![ident("id").sort(true, true)]).expect("sorted");
        assert_eq!(texts(&frame.collect().await.expect("rows")), self.expected(), "{when}");
    }
}

fn column(name: &str, rows: &[Row]) -> Option<ArrayRef> {
    let times = |of: fn(&Row) -> i64| -> ArrayRef {
        let micros = rows.iter().map(|row| Some(of(row) * MICROS_PER_MS));
        Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    Some(match name {
        archive_columns::ARRIVAL => times(|row| row.arrival_ms),
        "timestamp" => times(|row| row.time_ms),
        "id" => Arc::new(rows.iter().map(|row| Some(row.id.as_str())).collect::<StringArray>()),
        "nivel" => Arc::new(rows.iter().map(|row| row.nivel).collect::<Int64Array>()),
        "valor" => {
            let cents = rows.iter().map(|row| Some(i128::from(row.cents)));
            let cents = cents.collect::<arrow::array::Decimal128Array>();
            Arc::new(cents.with_precision_and_scale(18, 2).expect("a decimal"))
        }
        _ => return None,
    })
}

fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let shown = pretty_format_batches(batches).expect("texts").to_string();
    let lines = shown.lines().filter(|line| line.starts_with("| ")).skip(1);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect()
}

#[tokio::test]
async fn states_of_any_commits_merge_into_the_rows_of_all() {
    let mut world = World::new();
    let mut table = world.open().await;
    world.commit("a", 0, 20, NOON_MS).await;
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "begun").await;
    for round in 0..30 {
        // A topic that was recreated: its rows come after those of the old log that have the same
        // time.
        let (log, generation) = if round < 20 { ("a", 0) } else { ("b", 1) };
        world.commit(log, generation, 3, NOON_MS + round * 1_000).await;
        if round % 3 == 0 {
            world.bring_up_to_date(&mut table).await;
        }
        table.compact().await.expect("merged");
    }
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "after many commits").await;
    assert!(table.table.row_count().expect("counted") < 60, "states were merged by key");
    // Another process that knows nothing goes on there, and adds nothing twice.
    let mut again = world.open().await;
    world.bring_up_to_date(&mut again).await;
    world.check(&again, "after a restart").await;
    // A writer that has not seen the last commit adds what is behind it, and no more.
    world.commit("b", 1, 5, NOON_MS).await;
    world.bring_up_to_date(&mut again).await;
    let archive = Archive::read(&world.topic, &world.store).await.expect("read").expect("an archive");
    table.catch_up(&archive, None).await.expect("nothing is left");
    world.check(&table, "after a commit of another").await;
}

#[tokio::test]
async fn what_an_import_added_goes_with_it() {
    let mut world = World::new();
    let mut table = world.open().await;
    world.commit("a", 0, 20, NOON_MS).await;
    world.import("um", 30).await;
    world.import("dois", 30).await;
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "with two imports").await;
    world.import("um", 4).await;
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "with more of one").await;
    let mut history =
        History::open(&world.topic, &Layout::of(&world.store).history(&world.topic)).await.expect("opened");
    assert!(history.take_back(&["um"]).await.expect("taken back"));
    world.rows.retain(|row| row.place.0 != -1 || row.place.1 == 2);
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "without one").await;
    table.compact().await.expect("merged");
    world.check(&table, "without one, merged").await;
}

#[tokio::test]
async fn balances_stand_for_rows_that_are_purged() {
    let mut world = World::new();
    let mut table = world.open().await;
    for day in 0..4 {
        world.commit("a", 0, 12, NOON_MS + day * DAY_MS).await;
    }
    world.bring_up_to_date(&mut table).await;
    let now_ms = NOON_MS + 4 * DAY_MS;
    for (hot_days, cold_days) in [(1, 100), (1, 2), (0, 1)] {
        let before = |days: i64| now_ms - days * DAY_MS + 1;
        keep_balances(&[Arc::clone(&world.plan)], &world.store).await.expect("kept");
        let limits = Limits { hot_ms: before(hot_days), cold_ms: Some(before(cold_days)), now_ms };
        retain(&world.topic, &world.store, limits).await.expect("done");
    }
    let archive = Archive::read(&world.topic, &world.store).await.expect("read").expect("an archive");
    assert!(
        archive.purged_through("a", PartitionId(0)) >= Some(Offset(23)),
        "{:?}",
        archive.purged_through("a", PartitionId(0))
    );
    world.commit("a", 0, 5, now_ms).await;
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "after retention").await;
    // What another version of the functions would do: it has no states, and begins with the
    // balances.
    let folder =
        Layout::of(&world.store).keyed().join("niveis").join(&world.plan.version).as_folder().expect("a folder");
    std::fs::remove_dir_all(folder).expect("removed");
    let mut other = world.open().await;
    world.bring_up_to_date(&mut other).await;
    world.check(&other, "recomputed").await;
    assert_eq!(other.since_ms().await.expect("known"), None, "it is whole");
    other.repair(&archive).await.expect("repaired");
    world.bring_up_to_date(&mut other).await;
    world.check(&other, "repaired").await;
}

#[tokio::test]
async fn a_table_that_begins_after_rows_were_purged_says_since_when_it_is_whole() {
    let mut world = World::new();
    for day in 0..3 {
        world.commit("a", 0, 12, NOON_MS + day * DAY_MS).await;
    }
    let now_ms = NOON_MS + 3 * DAY_MS;
    for cold_ms in [0, now_ms - 2 * DAY_MS + 1] {
        let limits = Limits { hot_ms: now_ms - DAY_MS + 1, cold_ms: Some(cold_ms), now_ms };
        retain(&world.topic, &world.store, limits).await.expect("done");
    }
    let archive = Archive::read(&world.topic, &world.store).await.expect("read").expect("an archive");
    let purged = archive.newest_purged().expect("rows were purged");
    let mut table = world.open().await;
    world.bring_up_to_date(&mut table).await;
    assert_eq!(table.since_ms().await.expect("known"), Some(purged.ms() + 1));
    let purged_through = |partition: i64| archive.purged_through("a", PartitionId(partition as i32));
    world.rows.retain(|row| row.place.2 >= 24 || Some(Offset(row.place.2)) > purged_through(row.place.1));
    world.check(&table, "of what is left").await;
}

#[tokio::test]
async fn a_state_that_is_there_twice_is_found_and_repaired() {
    let mut world = World::new();
    let mut table = world.open().await;
    world.commit("a", 0, 20, NOON_MS).await;
    world.bring_up_to_date(&mut table).await;
    let archive = Archive::read(&world.topic, &world.store).await.expect("read").expect("an archive");
    let states = read_session(1).read_table(table.table.provider().await.expect("states")).expect("a frame");
    let one = states.limit(0, Some(1)).expect("limited").collect().await.expect("a state");
    table.table.append(one, &[]).await.expect("appended");
    let Sides { published, expected } = table.sides(&archive, None, None).await.expect("both sides");
    let side = async |frame: datafusion::dataframe::DataFrame| {
        let sorted = frame.sort(vec![ident("id").sort(true, true)]).expect("sorted");
        texts(&sorted.collect().await.expect("rows"))
    };
    let (published, expected) = (side(published).await, side(expected).await);
    assert_eq!(published.iter().zip(&expected).filter(|(one, other)| one != other).count(), 1, "{published:?}");
    assert_eq!(expected, world.expected());
    table.repair(&archive).await.expect("repaired");
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "repaired").await;
}
