//! Days that are not over, rows that come after their day, and rows that a database cannot take.

use vitral_batch::jobs::Wanted;
use vitral_batch::{BatchError, checks};
use vitral_catalog::Catalog;
use vitral_connect_postgres::{DatabaseConfig, DatabaseUrl, PostgresWarehouse};
use vitral_store::Quarantine;
use vitral_store::warehouse::Days;

use crate::world::{World, day, show};

fn one(date: &str) -> Wanted {
    Wanted::Days(day(date), day(date))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_later_reach_every_table_by_change() {
    let world = World::new();
    world.streamed(&["2025-05-14T15:00:00Z"], "2025-05-15T06:00:00Z").await;
    let tables =
        [("limpeza", "vendas"), ("vendas_por_regiao", "vendas_por_regiao"), ("receita_mensal", "receita_mensal")];
    for (job, _) in tables {
        world.try_job(job, one("2025-05-14"), false).await.expect("a day that is over");
        world.job(job, Wanted::Changed).await;
    }
    // Late for the stream's windows, but within the lateness; and a file.
    world.streamed(&["2025-05-14T16:00:00Z"], "2025-05-15T07:00:00Z").await;
    let file = world.write("mais.csv", "data,valor\n2025-05-14,7.00\n");
    world.import(&file, "vendas").await.expect("imported");
    for (job, table) in tables {
        world.job(job, Wanted::Changed).await;
        let (column, total) = if table == "vendas" { ("valor", "27.00") } else { ("receita", "27.00") };
        let rows = world.warehouse(table, &format!("SELECT sum({column}) AS total FROM {table}")).await;
        assert!(rows.contains(total), "{table}: {rows}");
        assert_eq!(world.job(job, Wanted::Changed).await[0].days, None, "{table}: nothing has changed since");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_computed_once_no_event_of_it_can_count_any_more() {
    let world = World::new();
    // The day ends at 03:00 UTC, and is closed an hour later.
    world.streamed(&["2025-05-14T15:00:00Z"], "2025-05-15T03:59:59Z").await;
    for job in ["limpeza", "vendas_por_categoria", "receita_mensal"] {
        let refused = world.try_job(job, one("2025-05-14"), false).await.expect_err("it is open");
        let said = refused.to_string();
        assert!(matches!(refused, BatchError::OpenDay { .. }), "{said}");
        assert!(said.contains("2025-05-15T01:00:00-03:00") && said.contains("--wait"), "{said}");
        let done = world.try_job(job, one("2025-05-14"), true).await.expect("as it was asked for");
        assert_eq!(done[0].written, 1, "{job}");
        assert_eq!(world.job(job, Wanted::Changed).await[0].written, 1, "{job}: open days too, again and again");
    }
    world.streamed(&[], "2025-05-15T04:00:00Z").await;
    // The month goes on, the day that is asked for does not.
    world.try_job("receita_mensal", one("2025-05-14"), false).await.expect("it is over");
    world.try_job("limpeza", one("2025-05-15"), false).await.expect_err("the next has begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_stream_every_day_is_over() {
    let world = World::new();
    let file = world.write("vendas.csv", "data,valor\n2026-10-30,7.00\n");
    world.import(&file, "vendas").await.expect("imported");
    let done = world.try_job("limpeza", one("2026-10-30"), false).await.expect("only files");
    assert_eq!(done[0].written, 1);
}

/// Programs write their smallest date where nobody filled one in; nanoseconds do not reach so far.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_the_year_one_stops_no_job() {
    let world = World::new();
    world
        .streamed(&["0001-01-01T12:00:00Z", "1600-02-29T12:00:00Z", "2025-05-14T15:00:00Z"], "2025-05-16T00:00:00Z")
        .await;
    for (job, table, day_column) in [
        ("limpeza", "vendas", "data"),
        ("vendas_por_regiao", "vendas_por_regiao", "data"),
        ("vendas_por_categoria", "vendas_por_categoria", "data"),
        ("receita_mensal", "receita_mensal", "mes"),
        ("mais_vendidos", "mais_vendidos", "mes"),
    ] {
        let done = world.job(job, Wanted::Changed).await;
        assert_eq!(done[0].written, 3, "{job}");
        let named = Wanted::Days(day("0001-01-01"), day("0001-01-31"));
        assert_eq!(world.try_job(job, named, false).await.expect("by name")[0].written, 1, "{job}");
        let rows = world.warehouse(table, &format!("SELECT {day_column} AS d FROM {table} ORDER BY 1")).await;
        let first = if day_column == "mes" { "| 1600-02-01 |" } else { "| 1600-02-29 |" };
        assert!(rows.contains("| 0001-01-01 |") && rows.contains(first), "{job}: {rows}");
    }
}

/// In a database, one row that it does not take would fail its table forever.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_cannot_take_is_set_aside_and_the_rest_goes_on() {
    let url = match std::env::var("VITRAL_TEST_POSTGRES") {
        Ok(url) => url,
        Err(_) if std::env::var_os("CI").is_some() => panic!("VITRAL_TEST_POSTGRES is missing"),
        Err(_) => {
            eprintln!("left out: no PostgreSQL; scripts/services start postgres");
            return;
        }
    };
    let config = DatabaseConfig { url: DatabaseUrl::new(url), replica_url: None, pool_size: 3 };
    let warehouse = PostgresWarehouse::open(&config).await.expect("a database");
    let world = World::new();
    let letters = (0..6_000_u32).map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 26));
    let long = letters.collect::<String>();
    let time = "2025-05-14T15:00:00Z";
    world.streamed_to(0, &[(time, "casa"), (time, "ca\0sa"), (time, long.as_str())], "2025-05-16T00:00:00Z").await;
    for (job, written, set_aside) in [("vendas_por_categoria", 1, 2), ("limpeza", 2, 1), ("mais_vendidos", 1, 0)] {
        let done = world.job_into(&warehouse, job, Wanted::Changed, false).await.expect("the others go on");
        assert_eq!((done[0].written, done[0].set_aside), (written, set_aside), "{job}");
    }
    let days = Days { from: day("2025-05-14"), to: day("2025-05-15") };
    let found = checks::quarantined(&world.store, days).await.expect("read").expect("rows");
    assert_eq!(found.count, 3);
    let rows = show(&Quarantine::of(&world.store).rows().await.expect("rows"));
    for words in ["tamanho", "valor", "zero character", "2600", "vendas_por_categoria", "2025-05-14"] {
        assert!(rows.contains(words), "{words}: {rows}");
    }
    // Their table computed for a warehouse that takes everything: nothing of it is set aside any
    // more.
    world.try_job("vendas_por_categoria", one("2025-05-14"), false).await.expect("done");
    let left = checks::quarantined(&world.store, days).await.expect("read").expect("that of the other table");
    assert_eq!(left.count, 1);
}

/// A division by zero on one day keeps the others neither from being computed nor, once it is
/// corrected, that day.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_cannot_be_computed_keeps_no_other_from_it() {
    let mut world = World::new();
    let statement = |divisor: &str| {
        format!(
            "CREATE TABLE quociente WITH (connector = 'warehouse', date = 'data') AS
             SELECT data, moeda, 100 / {divisor} AS quociente FROM movimentos GROUP BY data, moeda;"
        )
    };
    let file =
        world.write("vendas.csv", "data,valor\n2025-05-01,1.00\n2025-05-02,1.00\n2025-05-02,2.00\n2025-05-04,1.00\n");
    world.import(&file, "vendas").await.expect("imported");
    let ask = "SELECT data, quociente FROM quociente ORDER BY data";
    for (divisor, fails) in [("(count(*) - 2)", true), ("nullif(count(*) - 2, 0)", false)] {
        world.write("catalogo/quociente.sql", &statement(divisor));
        world.catalog = Catalog::load(&[world.dir.path().join("catalogo")], &world.settings).expect("a catalog");
        let done = world.try_job("quociente", Wanted::Changed, false).await;
        match done {
            Err(error) => assert!(fails && error.to_string().contains("for 2025-05-02; other days"), "{error}"),
            Ok(done) => assert!(!fails && done[0].written == 3, "{done:?}"),
        }
        let rows = world.warehouse("quociente", ask).await;
        assert!(rows.contains("| 2025-05-01 | -100") && rows.contains("| 2025-05-04 | -100"), "{rows}");
        assert_eq!(rows.contains("2025-05-02"), !fails, "{rows}");
    }
}
