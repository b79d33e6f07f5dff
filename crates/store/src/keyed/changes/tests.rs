//! Tables of topics with a primary key over an archive that grows, is merged, moved and purged,
//! against a plain model.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::Int64Type;
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_schemas::changes::change_columns;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::{Topic, archive_columns};

use crate::archive::{Limits, retain};
use crate::keyed::{KeyedPlan, KeyedTable, Sides, keep_balances};
use crate::{Advance, Archive, ArchiveCommit, Location, read_session};

const DEBEZIUM: &str = "CREATE TABLE clientes (id BIGINT, pontos BIGINT)
    WITH (connector = 'kafka', format = 'debezium', primary_key = 'id')";
const BY_OFFSET: &str = "CREATE TABLE clientes (id BIGINT, pontos BIGINT, quando TIMESTAMP NOT NULL)
    WITH (connector = 'kafka', event_time = 'quando', primary_key = 'id')";
const BY_COLUMN: &str =
    "CREATE TABLE clientes (id BIGINT, pontos BIGINT, versao BIGINT NOT NULL, quando TIMESTAMP NOT NULL)
    WITH (connector = 'kafka', event_time = 'quando', primary_key = 'id', order = 'versao')";
const NOON_MS: i64 = 1_747_224_000_000;
const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Row,
    Delete,
    Tombstone,
}

#[derive(Debug, Clone)]
struct Message {
    /// The log's generation, the partition, the offset.
    place: (i64, i64, i64),
    /// The LSN of a source's log, or the version of a row.
    number: Option<i64>,
    id: i64,
    points: Option<i64>,
    kind: Kind,
    time_ms: i64,
}

struct World {
    _dir: tempfile::TempDir,
    store: Location,
    topic: Topic,
    plan: Arc<KeyedPlan>,
    messages: Vec<Message>,
    is_debezium: bool,
    is_by_column: bool,
    seed: u64,
}

impl World {
    fn new(declaration: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let file = SourceFile { path: "t.sql".into(), text: declaration.into() };
        let settings = DomainSettings::default();
        let catalog = Catalog::parse(&[vec![file]], &settings).expect("a catalog");
        let plan = KeyedPlan::new(&catalog.keyed[0], &catalog.topics[0], &settings).expect("planned");
        Self {
            store: Location::folder(dir.path()).expect("a place"),
            _dir: dir,
            topic: catalog.topics[0].clone(),
            plan: Arc::new(plan),
            messages: Vec::new(),
            is_debezium: declaration == DEBEZIUM,
            is_by_column: declaration == BY_COLUMN,
            seed: 5,
        }
    }

    fn random(&mut self, below: u64) -> i64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.seed >> 33) % below).expect("a small number")
    }

    fn message(&mut self, place: (i64, i64, i64), time_ms: i64) -> Message {
        let kind = match self.random(6) {
            0 => Kind::Tombstone,
            1 if self.is_debezium => Kind::Delete,
            _ => Kind::Row,
        };
        // They go back and forth, and many are the same.
        let is_numbered = self.is_debezium || self.is_by_column;
        let number = Some(100 + self.random(20)).filter(|_| is_numbered && kind != Kind::Tombstone);
        // A key stays in its partition.
        let id = self.random(12) * 2 + place.1;
        let points = Some(self.random(1_000)).filter(|points| kind == Kind::Row && *points < 800);
        Message { place, number, id, points, kind, time_ms }
    }

    async fn commit(&mut self, log: &str, generation: i64, count: i64, time_ms: i64) {
        let mut archive = Archive::open(&self.topic, log, [0, 1].map(PartitionId), &self.store).await.expect("opened");
        let (mut messages, mut offsets) = (Vec::new(), BTreeMap::new());
        for partition in [0, 1].map(PartitionId) {
            let from = archive.next_offsets().get(&partition).copied();
            let to = from.unwrap_or_default() + count;
            for offset in to.0 - count..to.0 {
                messages.push(self.message((generation, i64::from(partition.0), offset), time_ms));
            }
            offsets.insert(partition, Advance { from, to });
        }
        let rows = vec![self.archived(log, &messages)];
        let commit = ArchiveCommit { rows, offsets, token: self.random(1 << 30), ..ArchiveCommit::default() };
        archive.commit(&commit).await.expect("committed");
        self.messages.extend(messages);
    }

    fn archived(&self, log: &str, messages: &[Message]) -> RecordBatch {
        let schema = self.topic.archive_schema();
        let integers = |of: &dyn Fn(&Message) -> Option<i64>| -> ArrayRef {
            Arc::new(messages.iter().map(of).collect::<Int64Array>())
        };
        let times = |of: &dyn Fn(&Message) -> bool| -> ArrayRef {
            let micros = messages.iter().map(|message| of(message).then_some(message.time_ms * MICROS_PER_MS));
            Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        };
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            use archive_columns::*;
            match field.name().as_str() {
                PARTITION => Arc::new(messages.iter().map(|row| Some(row.place.1 as i32)).collect::<Int32Array>()),
                OFFSET => integers(&|message| Some(message.place.2)),
                LOG => Arc::new(messages.iter().map(|_| Some(log)).collect::<StringArray>()),
                VERDICT => {
                    let verdict = |message: &Message| if message.kind == Kind::Tombstone { "vazia" } else { "contada" };
                    Arc::new(messages.iter().map(|message| Some(verdict(message))).collect::<StringArray>())
                }
                ARRIVAL => times(&|_| true),
                change_columns::INSTANT | "quando" => times(&|message| message.kind != Kind::Tombstone),
                change_columns::POSITION | "versao" => integers(&|message| message.number),
                change_columns::DELETED => {
                    let deletes =
                        |message: &Message| (message.kind != Kind::Tombstone).then_some(message.kind == Kind::Delete);
                    Arc::new(messages.iter().map(deletes).collect::<BooleanArray>())
                }
                "id" => integers(&|message| Some(message.id)),
                "pontos" => integers(&|message| message.points),
                _ => new_null_array(field.data_type(), messages.len()),
            }
        });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("rows")
    }

    fn expected(&self) -> BTreeMap<i64, Option<i64>> {
        let mut by_id = BTreeMap::<i64, Vec<&Message>>::new();
        for message in &self.messages {
            by_id.entry(message.id).or_default().push(message);
        }
        let row = |messages: Vec<&Message>| {
            let tombstones = messages.iter().filter(|message| message.kind == Kind::Tombstone);
            let last = tombstones.map(|message| message.place).max();
            let rows = messages.iter().filter(|message| message.kind != Kind::Tombstone);
            // A row that comes again may be numbered from the start; the numbers of a source's log
            // only rise.
            let rows = rows.filter(|message| !self.is_by_column || last < Some(message.place));
            let newest = rows.max_by_key(|message| (message.number.unwrap_or_default(), message.place))?;
            let is_behind = last < Some(newest.place);
            (newest.kind == Kind::Row && is_behind).then_some(newest.points)
        };
        by_id.into_iter().filter_map(|(id, messages)| Some((id, row(messages)?))).collect()
    }

    async fn open(&self) -> KeyedTable {
        KeyedTable::open(&self.plan, &self.store).await.expect("opened")
    }

    async fn check(&self, table: &mut KeyedTable, when: &str) {
        table.refresh().await.expect("refreshed");
        let archive = Archive::read(&self.topic, &self.store).await.expect("read").expect("an archive");
        table.catch_up(&archive, None).await.expect("added");
        let rows = read_session(1).read_table(table.rows().await.expect("rows")).expect("a frame");
        let Sides { published, expected: recomputed } = table.sides(&archive, None, None).await.expect("both sides");
        for (what, frame) in [("read", rows), ("published", published), ("recomputed", recomputed)] {
            let batches = frame.collect().await.expect("rows");
            let names: Vec<&str> = batches
                .iter()
                .flat_map(|batch| batch.schema_ref().fields())
                .map(|f| f.name().as_str())
                .take(2)
                .collect();
            assert!(names.is_empty() || names == ["id", "pontos"], "{names:?}");
            let mut found = BTreeMap::new();
            for batch in &batches {
                let (ids, points) =
                    (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
                for row in 0..batch.num_rows() {
                    let before = found.insert(ids.value(row), points.is_valid(row).then(|| points.value(row)));
                    assert!(before.is_none(), "one row for each key");
                }
            }
            assert_eq!(found, self.expected(), "{when}, {what}");
        }
    }
}

async fn equals_its_source(declaration: &str) {
    let mut world = World::new(declaration);
    let mut table = world.open().await;
    for round in 0..24 {
        // The topic was recreated: what it has deletes what the old one had.
        let (log, generation) = if round < 16 { ("a", 0) } else { ("b", 1) };
        world.commit(log, generation, 4, NOON_MS + round * 1_000).await;
        if round % 3 == 0 {
            world.check(&mut table, "between commits").await;
        }
        table.compact().await.expect("merged");
    }
    world.check(&mut table, "after many commits").await;
    assert!(table.table.row_count().expect("counted") < 100, "states were merged by key");
    let mut again = world.open().await;
    world.check(&mut again, "after a restart").await;
}

#[tokio::test]
async fn a_table_in_the_order_of_a_log_equals_its_source() {
    equals_its_source(DEBEZIUM).await;
}

#[tokio::test]
async fn a_table_in_the_order_of_its_messages_equals_its_source() {
    equals_its_source(BY_OFFSET).await;
}

#[tokio::test]
async fn a_row_that_comes_again_may_be_numbered_anew() {
    equals_its_source(BY_COLUMN).await;
}

/// Messages of three days and what retention leaves of them, with the opening balances of `plan`.
async fn purged(world: &mut World, plan: &Arc<KeyedPlan>) {
    for day in 0..3 {
        world.commit("a", 0, 15, NOON_MS + day * DAY_MS).await;
    }
    let now_ms = NOON_MS + 3 * DAY_MS;
    for (hot_days, cold_days) in [(1, 100), (0, 1)] {
        let before = |days: i64| now_ms - days * DAY_MS + 1;
        keep_balances(std::slice::from_ref(plan), &world.store).await.expect("kept");
        let limits = Limits { hot_ms: before(hot_days), cold_ms: Some(before(cold_days)), now_ms };
        retain(&world.topic, &world.store, limits).await.expect("done");
    }
    let archive = Archive::read(&world.topic, &world.store).await.expect("read").expect("an archive");
    assert!(
        archive.purged_through("a", PartitionId(0)) >= Some(Offset(14)),
        "{:?}",
        archive.purged_through("a", PartitionId(0))
    );
}

async fn gains_and_loses_columns(declaration: &str) {
    let mut world = World::new(declaration);
    // As programs named it that took each column for a part of what the table is.
    let settings = DomainSettings::default();
    let mut old = KeyedPlan::new(&world.plan.view, &world.topic, &settings).expect("planned");
    old.version = old.earlier_version.clone();
    let statement = old.view.definition();
    old.definition_id = old.view.earlier_definition_id(&statement, &settings).expect("a definition");
    assert!(old.version != world.plan.version && old.definition_id != world.plan.definition_id);
    let old = Arc::new(old);
    purged(&mut world, &old).await;
    let mut table = KeyedTable::open(&old, &world.store).await.expect("opened");
    world.check(&mut table, "of an old program").await;
    // Until this program has written its own, it reads that.
    let found = KeyedTable::read(&world.plan, &world.store).await.expect("read").expect("a table");
    assert_eq!(found.version(), old.version);

    let catalog = |text: String| {
        let file = SourceFile { path: "t.sql".into(), text };
        Catalog::parse(&[vec![file]], &settings).expect("a catalog")
    };
    for column in ["novo TEXT", "novo TEXT, outro BIGINT", "outro BIGINT", ""] {
        let columns = ["pontos BIGINT", column].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>();
        let catalog = catalog(declaration.replace("pontos BIGINT", &columns.join(", ")));
        world.topic = catalog.topics[0].clone();
        world.plan = Arc::new(KeyedPlan::new(&catalog.keyed[0], &world.topic, &settings).expect("planned"));
        world.commit("a", 0, 5, NOON_MS + 3 * DAY_MS).await;
        let mut table = world.open().await;
        world.check(&mut table, column).await;
        assert_eq!(table.since_ms().await.expect("known"), None, "it is whole");
        let rows = table.rows().await.expect("rows").schema();
        let added = column.split(", ").filter_map(|column| column.split(' ').next()).filter(|name| !name.is_empty());
        for name in ["novo", "outro"] {
            assert_eq!(rows.field_with_name(name).is_ok(), added.clone().any(|added| added == name), "{rows}");
        }
        keep_balances(&[Arc::clone(&world.plan)], &world.store).await.expect("kept");
        let archive = Archive::read(&world.topic, &world.store).await.expect("read").expect("an archive");
        table.repair(&archive).await.expect("computed again");
        world.check(&mut table, "computed again").await;
        table.compact().await.expect("merged");
        world.check(&mut table, "merged").await;
    }
}

#[tokio::test]
async fn a_topic_that_gains_and_loses_columns_keeps_what_was_purged() {
    gains_and_loses_columns(DEBEZIUM).await;
    gains_and_loses_columns(BY_OFFSET).await;
    gains_and_loses_columns(BY_COLUMN).await;
}

#[tokio::test]
async fn balances_keep_what_was_deleted_as_well() {
    let mut world = World::new(DEBEZIUM);
    for day in 0..4 {
        world.commit("a", 0, 15, NOON_MS + day * DAY_MS).await;
    }
    let mut table = world.open().await;
    world.check(&mut table, "begun").await;
    let now_ms = NOON_MS + 4 * DAY_MS;
    for (hot_days, cold_days) in [(1, 100), (1, 2), (0, 1)] {
        let before = |days: i64| now_ms - days * DAY_MS + 1;
        keep_balances(&[Arc::clone(&world.plan)], &world.store).await.expect("kept");
        let limits = Limits { hot_ms: before(hot_days), cold_ms: Some(before(cold_days)), now_ms };
        retain(&world.topic, &world.store, limits).await.expect("done");
    }
    let archive = Archive::read(&world.topic, &world.store).await.expect("read").expect("an archive");
    assert!(
        archive.purged_through("a", PartitionId(0)) >= Some(Offset(29)),
        "{:?}",
        archive.purged_through("a", PartitionId(0))
    );
    // What comes again with an older LSN brings nothing back.
    world.commit("a", 0, 10, now_ms).await;
    world.check(&mut table, "after retention").await;
    let folder = crate::Layout::of(&world.store).keyed().join("clientes").join(&world.plan.version);
    std::fs::remove_dir_all(folder.as_folder().expect("a folder")).expect("removed");
    let mut other = world.open().await;
    world.check(&mut other, "recomputed").await;
}
