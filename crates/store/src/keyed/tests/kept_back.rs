//! What a table cannot take in, what it has lost, and what it goes on with.

use super::*;
use crate::StoreError;

const SUMS: &str =
    "CREATE TABLE estoques (id TEXT NOT NULL, nivel BIGINT, valor DECIMAL(18, 2), timestamp TIMESTAMP NOT NULL)
    WITH (connector = 'kafka', event_time = 'timestamp', lateness = 'never');
    CREATE MATERIALIZED VIEW somas AS SELECT id, sum(nivel) AS soma, count(*) AS vezes FROM estoques GROUP BY id;";

impl World {
    /// One commit of these keys and numbers, to these partitions.
    async fn send(&mut self, rows: &[(i32, &str, i64)]) {
        let mut archive = Archive::open(&self.topic, "a", [0, 1].map(PartitionId), &self.store).await.expect("opened");
        let mut next = archive.next_offsets().clone();
        let row = |(partition, id, nivel): &(i32, &str, i64)| {
            let offset = next.entry(PartitionId(*partition)).or_default();
            let place = (0, i64::from(*partition), offset.0);
            *offset = *offset + 1;
            Row { place, id: (*id).to_owned(), nivel: Some(*nivel), cents: 0, time_ms: NOON_MS, arrival_ms: NOON_MS }
        };
        let rows: Vec<Row> = rows.iter().map(row).collect();
        let verdicts = vec!["contada"; rows.len()];
        self.archive(&mut archive, "a", &rows, &verdicts).await;
    }

    async fn catch_up(&self, table: &mut KeyedTable) -> Result<bool, StoreError> {
        let archive = Archive::read(&self.topic, &self.store).await.expect("read").expect("an archive");
        table.catch_up(&archive, None).await
    }

    async fn shown(&self, table: &KeyedTable) -> Vec<String> {
        let frame = read_session(1).read_table(table.rows().await.expect("rows")).expect("a frame");
        let frame = frame.sort(vec![ident("id").sort(true, true)]).expect("sorted");
        let rows = texts(&frame.collect().await.expect("rows"));
        rows.iter().map(|row| row.rsplit_once('|').expect("columns").0.to_owned()).collect()
    }
}

fn said(refused: Result<bool, StoreError>) -> String {
    match refused {
        Err(error @ StoreError::NotKept { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_sum_that_does_not_fit_is_found_by_the_commit_that_makes_it() {
    let mut world = World::of(SUMS);
    let mut table = world.open().await;
    world.send(&[(0, "a", 1), (0, "b", i64::MAX - 5), (1, "c", i64::MIN)]).await;
    world.catch_up(&mut table).await.expect("added");
    // What is large fits, also next to what makes it smaller again.
    world.send(&[(0, "b", 5), (1, "c", i64::MAX), (1, "b", -1)]).await;
    world.catch_up(&mut table).await.expect("added");
    let before = ["a|1|1".to_owned(), format!("b|{}|3", i64::MAX - 1), "c|-1|2".to_owned()];
    assert_eq!(world.shown(&table).await, before);
    world.send(&[(0, "a", 7), (1, "d", 3), (1, "b", 2), (1, "a", 1)]).await;
    let words = said(world.catch_up(&mut table).await);
    for part in
        ["table somas cannot take in", "offset 4 of partition 1", "id = 'b'", "DECIMAL(38, 0)", "a restart tries"]
    {
        assert!(words.contains(part), "{part} in {words}");
    }
    // It stays as it was, whatever comes; and who opens it again finds the same.
    assert_eq!(world.shown(&table).await, before);
    world.send(&[(0, "e", 1)]).await;
    let mut again = world.open().await;
    assert_eq!(said(world.catch_up(&mut again).await), words);
    assert_eq!(world.shown(&again).await, before);
    again.set_failure(Some((NOON_MS, &words))).await.expect("kept");
    let found = KeyedTable::read(&world.plan, &world.store).await.expect("read").expect("a table");
    assert_eq!(found.failure().await.expect("read"), Some((NOON_MS, words)));
    again.set_failure(None).await.expect("kept");
    assert_eq!(found.failure().await.expect("read"), None);
}

#[tokio::test]
async fn rows_of_one_commit_that_cannot_be_added_are_named() {
    let mut world = World::of(SUMS);
    let mut table = world.open().await;
    world.send(&[(0, "a", 1)]).await;
    world.catch_up(&mut table).await.expect("added");
    world.send(&[(0, "b", i64::MAX), (0, "c", 1), (0, "b", i64::MAX), (0, "d", 1)]).await;
    let words = said(world.catch_up(&mut table).await);
    assert!(words.contains("offset 3 of partition 0") && words.contains("id = 'b'"), "{words}");
    assert_eq!(world.shown(&table).await, ["a|1|1"]);
    // The same of a table that begins there.
    let mut world = World::of(&SUMS.replace("sum(nivel)", "sum(10 / nivel)"));
    world.send(&[(0, "a", 5), (1, "x", 0), (1, "a", 2)]).await;
    let mut table = world.open().await;
    let words = said(world.catch_up(&mut table).await);
    assert!(words.contains("offset 0 of partition 1") && words.contains("id = 'x'"), "{words}");
    assert!(words.contains("a division by zero"), "{words}");
}

#[tokio::test]
async fn states_that_do_not_merge_name_their_keys() {
    let mut world = World::of(SUMS);
    let mut table = world.open().await;
    world.send(&[(0, "a", i64::MAX), (0, "b", 1)]).await;
    world.catch_up(&mut table).await.expect("added");
    // As programs left it that did not look.
    let states = read_session(1).read_table(table.table.provider().await.expect("states")).expect("a frame");
    let states = states.collect().await.expect("states");
    table.table.append(states, &[]).await.expect("appended");
    let mut again = world.open().await;
    let words = said(world.catch_up(&mut again).await);
    assert!(words.contains("what it has of id = 'a':"), "{words}");
}

#[tokio::test]
async fn a_table_that_was_left_while_rows_were_purged_says_so() {
    let mut world = World::new();
    let mut table = world.open().await;
    world.commit("a", 0, 12, NOON_MS).await;
    world.bring_up_to_date(&mut table).await;
    for day in 1..4 {
        world.commit("a", 0, 12, NOON_MS + day * DAY_MS).await;
    }
    let now_ms = NOON_MS + 4 * DAY_MS;
    for (hot_days, cold_days) in [(1, 100), (0, 2)] {
        let before = |days: i64| now_ms - days * DAY_MS + 1;
        let limits = Limits { hot_ms: before(hot_days), cold_ms: Some(before(cold_days)), now_ms };
        retain(&world.topic, &world.store, limits).await.expect("done");
    }
    let archive = Archive::read(&world.topic, &world.store).await.expect("read").expect("an archive");
    let through = [0, 1].map(|partition| archive.purged_through("a", PartitionId(partition)));
    assert!(through[0] >= Some(Offset(23)), "{through:?}");
    world.rows.retain(|row| row.place.2 < 12 || Some(Offset(row.place.2)) > through[row.place.1 as usize]);
    let mut table = world.open().await;
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "without what is nowhere").await;
    let since = Some(archive.newest_purged().expect("purged").ms() + 1);
    assert_eq!(table.since_ms().await.expect("known"), since);
    // What it had is not lost when it is computed again.
    table.repair(&archive).await.expect("repaired");
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "repaired").await;
    assert_eq!(table.since_ms().await.expect("known"), since);
    world.commit("a", 0, 5, now_ms).await;
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "with more").await;
}

#[tokio::test]
async fn a_table_that_was_left_takes_opening_balances() {
    let mut world = World::new();
    let mut table = world.open().await;
    world.commit("a", 0, 12, NOON_MS).await;
    world.bring_up_to_date(&mut table).await;
    for day in 1..4 {
        world.commit("a", 0, 12, NOON_MS + day * DAY_MS).await;
    }
    let now_ms = NOON_MS + 4 * DAY_MS;
    for (hot_days, cold_days) in [(1, 100), (0, 2)] {
        let before = |days: i64| now_ms - days * DAY_MS + 1;
        keep_balances(&[Arc::clone(&world.plan)], &world.store).await.expect("kept");
        let limits = Limits { hot_ms: before(hot_days), cold_ms: Some(before(cold_days)), now_ms };
        retain(&world.topic, &world.store, limits).await.expect("done");
    }
    let mut table = world.open().await;
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "from opening balances").await;
    assert_eq!(table.since_ms().await.expect("known"), None, "it is whole");
}

#[tokio::test]
async fn states_are_continued_under_their_old_name_if_their_types_are_the_same() {
    let mut world = World::new();
    let settings = DomainSettings::default();
    let mut old = KeyedPlan::new(&world.plan.view, &world.topic, &settings).expect("planned");
    old.version = old.earlier_version.clone();
    assert_ne!(old.version, world.plan.version);
    let mut table = KeyedTable::open(&Arc::new(old), &world.store).await.expect("opened");
    world.commit("a", 0, 12, NOON_MS).await;
    world.bring_up_to_date(&mut table).await;
    let old_version = table.version().to_owned();
    let mut table = world.open().await;
    assert_eq!(table.version(), old_version);
    world.commit("a", 0, 12, NOON_MS).await;
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "continued").await;
    // Another type of a column is another version, and leaves that as it is.
    let file = SourceFile { path: "t.sql".into(), text: SQL.replace("DECIMAL(18, 2)", "DECIMAL(18, 4)") };
    let catalog = Catalog::parse(&[vec![file]], &settings).expect("a catalog");
    let other = KeyedPlan::new(&catalog.keyed[0], &catalog.topics[0], &settings).expect("planned");
    assert_eq!(other.earlier_version, old_version);
    let other = Arc::new(other);
    assert!(KeyedTable::read(&other, &world.store).await.expect("read").is_none());
    let archive = Archive::read(&world.topic, &world.store).await.expect("read").expect("an archive");
    let refused = archive.check_columns(&other.topic).expect_err("another type");
    assert!(refused.to_string().contains("restore its type"), "{refused}");
    assert_ne!(KeyedTable::open(&other, &world.store).await.expect("opened").version(), old_version);
    let mut table = world.open().await;
    world.bring_up_to_date(&mut table).await;
    world.check(&table, "as it was").await;
}
