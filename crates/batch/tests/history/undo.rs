//! Imports that are taken back or replaced: exact in tables, jobs and warehouses.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use vitral_batch::BatchError;
use vitral_batch::import::records::{self, State};
use vitral_batch::jobs::{Jobs, Wanted};
use vitral_catalog::DomainSettings;
use vitral_connect_postgres::{DatabaseConfig, DatabaseUrl, PostgresWarehouse};
use vitral_store::warehouse::{Days, Warehouse, WarehouseTable};

use crate::world::{World, day, show};

const MAY: &str = "id_pedido,id_produto,valor,data,categoria,origem
A1,p1,10.00,2025-05-14,casa,app
A2,p2,5.00,2025-05-15,casa,loja
";
const JUNE: &str = "id_pedido,id_produto,valor,data,categoria,origem
B1,p1,7.00,2025-05-15,casa,app
B2,p2,x,2025-06-01,casa,app
";

const SALES: &str = "SELECT count(*) AS n, sum(valor) AS v FROM vendas";
const BY_DAY: &str = "SELECT data, receita FROM vendas_por_categoria ORDER BY data";

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_taken_back_leaves_nothing() {
    let world = World::new();
    let may = world.import(&world.write("maio.csv", MAY), "vendas").await.expect("imported");
    let june = world.import(&world.write("junho.csv", JUNE), "vendas").await.expect("imported");
    world.job("vendas_por_categoria", Wanted::Changed).await;
    let with_both = world.warehouse("vendas_por_categoria", BY_DAY).await;
    assert!(with_both.contains("2025-05-14 | 10.00") && with_both.contains("2025-05-15 | 12.00"), "{with_both}");
    assert_eq!(world.ledger().await.len(), 1);

    let undone = world.undo(&may.id[..6]).await;
    assert!(undone.is_changed && undone.record.counted == 2, "{undone:?}");
    assert!(world.sql(SALES).await.contains("| 1 | 7.00 |"));
    let done = world.job("vendas_por_categoria", Wanted::Changed).await;
    assert_eq!(done[0].days, Some(Days { from: day("2025-05-14"), to: day("2025-05-16") }));
    let left = world.warehouse("vendas_por_categoria", BY_DAY).await;
    assert!(
        !left.contains("2025-05-14") && left.contains("2025-05-15 | 7.00"),
        "a day without rows is emptied: {left}"
    );
    assert_eq!(world.job("vendas_por_categoria", Wanted::Changed).await[0].days, None);

    assert!(!world.undo(&may.id).await.is_changed, "twice changes nothing");
    assert!(world.undo(&june.id).await.is_changed);
    assert_eq!(world.ledger().await, Vec::<String>::new(), "its refused rows go too");
    assert!(world.sql(SALES).await.contains("| 0 |"));
    let states: Vec<State> = world.listed().await.into_iter().map(|(_, state, _)| state).collect();
    assert_eq!(states, [State::Undone, State::Undone]);
    // The same file comes in again as if it had never been there.
    let again = world.import(&world.write("outro.csv", MAY), "vendas").await.expect("imported");
    assert_eq!((again.accepted, again.known, again.id == may.id), (2, 0, true));
    assert!(world.sql(SALES).await.contains("| 2 | 15.00 |"));
    world.job("vendas_por_categoria", Wanted::Changed).await;
    let back = world.warehouse("vendas_por_categoria", BY_DAY).await;
    assert!(back.contains("2025-05-14 | 10.00") && back.contains("2025-05-15 | 5.00"), "{back}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_import_is_there_as_the_new_file_says() {
    let world = World::new();
    let path = world.write("maio.csv", MAY);
    let first = world.import(&path, "vendas").await.expect("imported");
    world.job("vendas_por_categoria", Wanted::Changed).await;
    let canal = "SELECT id_pedido, canal FROM vendas ORDER BY id_pedido";
    // The same file under another map keeps its id.
    let mapped = world.replace(&first.id, &path, "vendas", &[("origem", "canal")]).await;
    assert_eq!((mapped.accepted, mapped.known, mapped.id == first.id), (2, 0, true));
    let rows = world.sql(canal).await;
    assert!(rows.contains("| A1        | app   |") && rows.contains("| A2        | loja  |"), "{rows}");
    // Another file: one row corrected, one missing, one new.
    let corrected = world.write("maio2.csv", "id_pedido,id_produto,valor,data,categoria,origem\nA1,p1,11.00,2025-05-14,casa,app\nA3,p3,1.00,2025-05-20,casa,app\n");
    let new = world.replace(&mapped.id, &corrected, "vendas", &[]).await;
    assert_eq!((new.accepted, new.known), (2, 0));
    assert!(world.sql(SALES).await.contains("| 2 | 12.00 |"));
    world.job("vendas_por_categoria", Wanted::Changed).await;
    let by_day = world.warehouse("vendas_por_categoria", BY_DAY).await;
    assert!(by_day.contains("2025-05-14 | 11.00") && by_day.contains("2025-05-20 | 1.00"), "{by_day}");
    assert!(!by_day.contains("2025-05-15"), "{by_day}");
    let states: Vec<(bool, State)> =
        world.listed().await.into_iter().map(|(id, state, _)| (id == new.id, state)).collect();
    assert!(states.contains(&(true, State::Imported)) && states.contains(&(false, State::Replaced)), "{states:?}");
    // Repeated, as after a crash before it was recorded: the same.
    let again = world.replace(&mapped.id, &corrected, "vendas", &[]).await;
    assert_eq!(again.accepted, 2);
    assert!(world.sql(SALES).await.contains("| 2 | 12.00 |"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_profile_brought_into_other_tables_goes_with_the_main_one() {
    let world = World::new();
    let path = world.write(
        "orders.csv",
        "Name,Financial Status,Currency,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Refunded Amount
#1003,partially_refunded,USD,2025-05-14 12:00:00 -0300,2,Tote bag,30.00,TOTE-1,30.00
",
    );
    let both = "SELECT (SELECT count(*) FROM vendas) AS v, (SELECT count(*) FROM reembolsos) AS r";
    let (_, imported) = world.import_recognised(&path).await;
    let [sales, refunds] = imported.as_slice() else { panic!("{imported:?}") };
    // The smaller part alone.
    let undone = world.undo(&refunds.id).await;
    assert!(undone.is_changed && undone.along.is_empty(), "{undone:?}");
    assert_eq!(undone.staying.iter().map(|record| &record.id).collect::<Vec<_>>(), [&sales.id]);
    assert!(world.sql(both).await.contains("| 1 | 0 |"));
    world.import_recognised(&path).await;
    assert!(world.sql(both).await.contains("| 1 | 1 |"));
    let undone = world.undo(&sales.id).await;
    assert_eq!(undone.along.iter().map(|record| &record.id).collect::<Vec<_>>(), [&refunds.id]);
    assert!(world.sql(both).await.contains("| 0 | 0 |"));
    let states: Vec<State> = world.listed().await.into_iter().map(|(_, state, _)| state).collect();
    assert_eq!(states, [State::Undone, State::Undone]);
    // Of two files that somebody imported into two tables nothing is known.
    let path = world.write("a.csv", "Pedido,Valor,Data\nA1,1.00,2025-05-14\n");
    let sales = world.import(&path, "vendas").await.expect("imported");
    let refunds = world.import(&path, "reembolsos").await.expect("imported");
    let undone = world.undo(&sales.id).await;
    assert_eq!((undone.along.len(), undone.staying.len(), &undone.staying[0].id), (0, 1, &refunds.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_other_files_had_too_are_named() {
    let world = World::new();
    let first = world.import(&world.write("a.csv", MAY), "vendas").await.expect("imported");
    let grown = world.import(&world.write("b.csv", &format!("{MAY}A9,p1,1.00,2025-05-16,casa,app\n")), "vendas").await;
    let grown = grown.expect("imported");
    let undone = world.undo(&first.id).await;
    assert_eq!(undone.elsewhere.get(&grown.id).map(|(rows, _)| *rows), Some(2));
    assert!(world.sql(SALES).await.contains("| 1 | 1.00 |"));
    let again = world.import(&world.dir.path().join("b.csv"), "vendas").await.expect("imported");
    assert_eq!((again.accepted, again.known), (2, 1));
    assert!(world.sql(SALES).await.contains("| 3 | 16.00 |"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_cut_short_is_ended_by_repeating_it() {
    let world = World::new();
    let path = world.write("a.csv", MAY);
    let first = world.import(&path, "vendas").await.expect("imported");
    // As if it had been killed after its first commit and before its record.
    std::fs::remove_dir_all(world.dir.path().join("importacoes")).expect("removed");
    assert_eq!(world.listed().await, [(first.id.clone(), State::Unfinished, [2, 0, 0])]);
    let again = world.import(&path, "vendas").await.expect("imported");
    assert_eq!((again.accepted, again.known), (0, 2));
    assert_eq!(world.listed().await, [(first.id.clone(), State::Imported, [2, 0, 0])]);
    // As if an undo had been killed between the two.
    world.undo(&first.id).await;
    std::fs::remove_dir_all(world.dir.path().join("importacoes")).expect("removed");
    assert_eq!(world.listed().await, [(first.id.clone(), State::Undone, [0, 0, 0])]);
    assert!(!world.undo(&first.id).await.is_changed);
    assert_eq!(world.listed().await[0].1, State::Undone);
}

#[tokio::test]
async fn an_id_that_is_not_there_is_an_error_that_says_where_to_look() {
    let world = World::new();
    let error = records::find(&world.catalog, &world.store, "abc").await.expect_err("nothing");
    assert!(matches!(error, BatchError::NothingImported { .. }) && error.to_string().contains("--data-dir"), "{error}");
    world.import(&world.write("a.csv", MAY), "vendas").await.expect("imported");
    let error = records::find(&world.catalog, &world.store, "no").await.expect_err("none of that id");
    assert!(matches!(error, BatchError::NoImport { .. }) && error.to_string().contains("import list"), "{error}");
    assert!(records::find(&world.catalog, &world.store, "").await.is_err());
}

/// The server that `scripts/services` has started; in CI it must be there.
fn postgres() -> Option<DatabaseConfig> {
    match std::env::var("VITRAL_TEST_POSTGRES") {
        Ok(url) => Some(DatabaseConfig { url: DatabaseUrl::new(url), replica_url: None, pool_size: 2 }),
        Err(_) if std::env::var_os("CI").is_some() => panic!("VITRAL_TEST_POSTGRES is missing"),
        Err(_) => {
            eprintln!("left out: no PostgreSQL; scripts/services start postgres");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_loses_the_rows_too() {
    let Some(connection) = postgres() else { return };
    let warehouse = PostgresWarehouse::open(&connection).await.expect("a database");
    let warehouse: Arc<dyn Warehouse> = Arc::new(warehouse);
    let world = World::new();
    let zone = DomainSettings::default().time_zone;
    let jobs = Jobs { catalog: &world.catalog, zone, store: &world.store, warehouse: &*warehouse, allow_open: false };
    // Of the table's columns those that are looked at.
    let columns =
        vec![Field::new("data", DataType::Date32, true), Field::new("receita", DataType::Decimal128(38, 2), true)];
    let table = WarehouseTable {
        name: "vendas_por_categoria".to_owned(),
        schema: Arc::new(Schema::new(columns)),
        date: "data".to_owned(),
        key: Vec::new(),
    };
    let refresh = async || {
        let tables = world.tables().await;
        jobs.run("vendas_por_categoria", Wanted::Changed, &tables).await.expect("done");
        let days = Days { from: day("2001-01-01"), to: day("2002-01-01") };
        show(&warehouse.rows(&table, days).await.expect("rows"))
    };
    let old = |text: &str| text.replace("2025-05", "2001-05").replace("2025-06", "2001-06");
    let may = world.import(&world.write("a.csv", &old(MAY)), "vendas").await.expect("imported");
    world.import(&world.write("b.csv", &old(JUNE)), "vendas").await.expect("imported");
    let both = refresh().await;
    assert!(both.contains("| 2001-05-14 | 10.00") && both.contains("| 2001-05-15 | 12.00"), "{both}");
    world.undo(&may.id).await;
    let left = refresh().await;
    assert!(!left.contains("2001-05-14") && left.contains("| 2001-05-15 | 7.00"), "{left}");
}
