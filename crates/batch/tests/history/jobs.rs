//! Jobs of the warehouse, and checks of quality, over imported history.

use crate::world::{World, day};
use vitral_batch::jobs::Wanted;
use vitral_batch::{checks, planning};
use vitral_catalog::{Catalog, DomainSettings};
use vitral_store::warehouse::Days;

const SALES: &str = "id_pedido,id_produto,quantidade,valor,desconto,timestamp,regiao,categoria
A1,p1,2,10.00,1.00,2025-12-31T23:59:59-03:00,Sul,casa
A1,p2,1,5.00,,2025-12-31T23:59:59-03:00,Sul,jogos
A2,p1,1,5.00,,2026-01-01T00:00:00-03:00,,casa
";
const REFUNDS: &str = "id_pedido,id_produto,valor,timestamp,regiao,categoria
A1,p1,4.05,2026-01-01T12:00:00-03:00,Sul,casa
";

async fn shop() -> World {
    let world = World::new();
    let sales = world.write("vendas.csv", SALES);
    world.import(&sales, "vendas").await.expect("imported");
    let refunds = world.write("reembolsos.csv", REFUNDS);
    world.import(&refunds, "reembolsos").await.expect("imported");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_of_days_of_the_zone_and_refunds_of_their_own() {
    let world = shop().await;
    let done = world.job("vendas_por_regiao", Wanted::Days(day("2025-12-31"), day("2026-01-01"))).await;
    assert_eq!((done[0].read, done[0].written, done[0].refused), (4, 3, 0));
    let rows = world
        .warehouse("vendas_por_regiao", "SELECT data, regiao, pedidos, unidades, receita, reembolso, receita_liquida FROM vendas_por_regiao ORDER BY data, regiao")
        .await;
    for row in [
        "| 2025-12-31 | Sul          | 1       | 3        | 15.00   | 0.00      | 14.00           |",
        "| 2026-01-01 | (sem região) | 1       | 1        | 5.00    | 0.00      | 5.00            |",
        "| 2026-01-01 | Sul          | 0       | 0        | 0.00    | 4.05      | -4.05           |",
    ] {
        assert!(rows.contains(row), "{row}\n{rows}");
    }
    world.job("receita_mensal", Wanted::Days(day("2025-12-31"), day("2025-12-31"))).await;
    let rows = world.warehouse("receita_mensal", "SELECT mes, receita_liquida, ticket FROM receita_mensal").await;
    assert!(rows.contains("| 2025-12-01 | 14.00           | 14.00  |") && !rows.contains("2026"), "{rows}");
    world.job("limpeza", Wanted::Changed).await;
    let rows = world.warehouse("vendas", "SELECT data, id_pedido, valor FROM vendas ORDER BY valor").await;
    assert_eq!(rows.lines().count(), 7, "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_repeated_or_run_twice_at_once_leaves_the_same() {
    let world = shop().await;
    let wanted = Wanted::Days(day("2025-12-01"), day("2026-01-31"));
    let ask = "SELECT * FROM mais_vendidos ORDER BY mes, posicao";
    world.job("mais_vendidos", wanted).await;
    let first = world.warehouse("mais_vendidos", ask).await;
    assert!(first.contains("| 2025-12-01 | BRL   | 1       | p1         | 2        | 10.00   |"), "{first}");
    world.job("mais_vendidos", wanted).await;
    assert_eq!(world.warehouse("mais_vendidos", ask).await, first);
    let (one, other) = tokio::join!(world.job("mais_vendidos", wanted), world.job("mais_vendidos", wanted));
    assert_eq!((one[0].written, other[0].written), (3, 3));
    assert_eq!(world.warehouse("mais_vendidos", ask).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_days_those_that_changed_are_computed() {
    let world = shop().await;
    let done = world.job("vendas_por_categoria", Wanted::Changed).await;
    assert_eq!(done[0].days, Some(Days { from: day("2025-12-31"), to: day("2026-01-02") }));
    assert_eq!(world.job("vendas_por_categoria", Wanted::Changed).await[0].days, None);
    let more = world.write("mais.csv", "data,valor,categoria\n2026-02-10,7.00,casa\n2026-02-12,1.00,casa\n");
    world.import(&more, "vendas").await.expect("imported");
    let done = world.job("vendas_por_categoria", Wanted::Changed).await;
    assert_eq!(done[0].days, Some(Days { from: day("2026-02-10"), to: day("2026-02-13") }));
    assert_eq!((done[0].read, done[0].written), (2, 2));
    let rows = world
        .warehouse("vendas_por_categoria", "SELECT count(*) AS n, sum(receita) AS r FROM vendas_por_categoria")
        .await;
    assert!(rows.contains("| 5 | 28.00 |"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_whose_rows_are_gone_is_emptied() {
    let world = shop().await;
    let wanted = Wanted::Days(day("2025-12-31"), day("2025-12-31"));
    world.job("vendas_por_regiao", wanted).await;
    std::fs::remove_dir_all(world.dir.path().join("history")).expect("removed");
    let done = world.job("vendas_por_regiao", wanted).await;
    assert_eq!((done[0].read, done[0].written), (0, 0));
    let rows = world.warehouse("vendas_por_regiao", "SELECT count(*) AS n FROM vendas_por_regiao").await;
    assert!(rows.contains("| 0 |"), "{rows}");
}

/// Every day that a calendar has is named: it ends, and empties what no row is stored of.
#[tokio::test(flavor = "multi_thread")]
async fn days_without_rows_are_not_gone_through_one_by_one() {
    let world = shop().await;
    world.job("vendas_por_regiao", Wanted::Changed).await;
    let old = world.write("antes.csv", "data,valor\n1999-05-01,3.00\n");
    assert_eq!(world.import(&old, "vendas").await.expect("imported").accepted, 1);
    world.job("vendas_por_regiao", Wanted::Changed).await;
    std::fs::remove_dir_all(world.dir.path().join("history")).expect("removed");
    for (name, text, table) in [("vendas.csv", SALES, "vendas"), ("reembolsos.csv", REFUNDS, "reembolsos")] {
        world.import(&world.write(name, text), table).await.expect("imported again");
    }
    let done = world.job("vendas_por_regiao", Wanted::Days(day("0001-01-01"), day("9999-12-31"))).await;
    let all = Days { from: day("0001-01-01"), to: day("+10000-01-01") };
    assert_eq!((done[0].days, done[0].written), (Some(all), 3));
    let empty = [("0001-01-01", "2025-12-31"), ("2026-01-02", "+10000-01-01")];
    assert_eq!(done[0].empty, empty.map(|(from, to)| Days { from: day(from), to: day(to) }));
    let rows =
        world.warehouse("vendas_por_regiao", "SELECT count(*) AS n, min(data) AS d FROM vendas_por_regiao").await;
    assert!(rows.contains("| 3 | 2025-12-31 |"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_reference_table_is_not_checked() {
    let world = shop().await;
    let days = Days { from: day("2025-12-31"), to: day("2026-01-02") };
    let unchecked = async || {
        let tables = world.tables().await;
        let found =
            checks::run(&world.catalog, DomainSettings::default().time_zone, days, &tables).await.expect("checked");
        found.into_iter().filter_map(|check| Some((check.name, check.unchecked?))).collect::<Vec<_>>()
    };
    let found = unchecked().await;
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["produtos_desconhecidos", "regioes_desconhecidas"]);
    assert!(found[0].1.contains("produtos.csv is not there"), "{found:?}");
    world.write("reference/produtos.csv", "id_produto,nome\n");
    world.write("reference/regioes.csv", "regiao,nome\nSul,Sul\n");
    let found = unchecked().await;
    assert!(found.len() == 1 && found[0].1.contains("produtos.csv has no rows"), "{found:?}");
    world.write("reference/produtos.csv", "id_produto,nome\np1,Copo\np2,Prato\n");
    assert_eq!(unchecked().await, []);
}

/// That nothing offends among no rows says nothing; a check that looks back sees the earlier rows.
#[tokio::test(flavor = "multi_thread")]
async fn days_without_an_event_are_not_checked() {
    let world = shop().await;
    let unchecked = async |from: &str, to: &str| {
        let (days, tables) = (Days { from: day(from), to: day(to) }, world.tables().await);
        let found = checks::run(&world.catalog, DomainSettings::default().time_zone, days, &tables).await;
        let unchecked = found.expect("checked").into_iter().filter_map(|check| Some((check.name, check.unchecked?)));
        unchecked.collect::<std::collections::BTreeMap<_, _>>()
    };
    let found = unchecked("2026-01-03", "2026-01-04").await;
    let said = "no eventos_clientes events are stored for these days; the newest is from 2026-01-01";
    assert_eq!(found.get("reembolsos_sem_valor").map(String::as_str), Some(said), "{found:?}");
    assert!(!found.contains_key("volume_incomum"), "the weeks before have rows: {found:?}");
    assert_eq!(unchecked("2020-01-01", "2020-01-02").await.len(), world.catalog.checks.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_find_what_should_not_be() {
    let world = shop().await;
    let days = Days { from: day("2025-12-31"), to: day("2026-01-02") };
    let zone = DomainSettings::default().time_zone;
    let offending = async |world: &World| {
        let tables = world.tables().await;
        let found = checks::run(&world.catalog, zone, days, &tables).await.expect("checked");
        found.into_iter().filter(|check| check.count > 0).map(|check| (check.name, check.count)).collect::<Vec<_>>()
    };
    assert_eq!(offending(&world).await, []);
    let bad = world.write("ruim.csv", "id_pedido,id_produto,quantidade,valor,timestamp\nA2,p1,1,5.0,2026-01-01T00:00:00-03:00\nA9,p1,1,9999999.00,2026-01-01\n");
    world.import(&bad, "vendas").await.expect("imported");
    world.write("reference/produtos.csv", "id_produto,nome\np1,Copo\n");
    let mut wrong = vec![
        ("vendas_repetidas".to_owned(), 1),
        ("vendas_fora_da_faixa".to_owned(), 1),
        ("produtos_desconhecidos".to_owned(), 1),
    ];
    wrong.sort();
    let found = async || {
        let mut found = offending(&world).await;
        found.sort();
        found
    };
    assert_eq!(found().await, wrong);
    // Given back: nothing, and more than was paid.
    let refunds = "id_pedido,id_produto,valor,timestamp,regiao,categoria\nA1,p2,0.00,2026-01-01,Sul,jogos\nA2,p1,10.01,2026-01-01,Sul,casa\n";
    let refunds = world.write("devolvidos.csv", refunds);
    world.import(&refunds, "reembolsos").await.expect("imported");
    wrong.extend([("reembolsos_acima_da_venda".to_owned(), 1), ("reembolsos_sem_valor".to_owned(), 1)]);
    wrong.sort();
    assert_eq!(found().await, wrong);
}

#[tokio::test]
async fn what_cannot_be_planned_is_named_before_it_runs() {
    let settings = DomainSettings::default();
    let built_in = Catalog::load(&[], &settings).expect("the built-in catalog");
    let errors = planning::errors(&built_in, &settings).await.expect("planned");
    assert!(errors.is_empty(), "{errors:?}");
    let dir = tempfile::tempdir().expect("a folder");
    let job = "CREATE TABLE a WITH (connector = 'warehouse', date = 'data') AS SELECT data, nada FROM movimentos;";
    let check = "CREATE VIEW b WITH (check = 'x') AS SELECT * FROM ninguem;";
    std::fs::write(dir.path().join("a.sql"), format!("{job}\n{check}\n")).expect("written");
    let catalog = Catalog::load(&[dir.path().to_owned()], &settings).expect("it parses");
    let errors = planning::errors(&catalog, &settings).await.expect("looked at");
    let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("a.sql") && said[0].contains("nada"), "{said:?}");
    assert!(said[1].contains("a.sql") && said[1].contains("ninguem"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_new_gets_its_whole_history() {
    let world = shop().await;
    assert_eq!(world.job("vendas_por_regiao", Wanted::Changed).await[0].written, 3);
    assert_eq!(world.job("vendas_por_regiao", Wanted::Changed).await[0].days, None, "nothing has changed");
    std::fs::remove_dir_all(world.dir.path().join("warehouse/vendas_por_regiao")).expect("deleted");
    assert_eq!(world.job("vendas_por_regiao", Wanted::Changed).await[0].written, 3, "it has nothing of what was there");
}

/// The rows of a table of the warehouse, each as its date and what was taken.
async fn takings(world: &World, table: &str, date: &str) -> Vec<String> {
    let row = format!("CAST({date} AS VARCHAR) || ' ' || CAST(receita AS VARCHAR)");
    let rows = world.warehouse(table, &format!("SELECT {row} AS linha FROM {table} ORDER BY 1")).await;
    let row = |line: &str| Some(line.strip_prefix("| ")?.strip_suffix(" |")?.trim_end().to_owned());
    rows.lines().skip(3).filter_map(row).collect()
}

/// In Santiago, 5 April 2025 had 25 hours, and 7 September 2025, which began at 01:00, had 23.
#[tokio::test(flavor = "multi_thread")]
async fn days_and_months_follow_changes_of_the_clock() {
    let mut world = World::new();
    world.settings.time_zone = chrono_tz::America::Santiago;
    world.catalog = Catalog::load(&[], &world.settings).expect("the catalog");
    let times = [
        "2025-04-05T02:59:59Z",
        "2025-04-05T03:00:00Z",
        "2025-04-06T03:59:59Z",
        "2025-04-06T04:00:00Z",
        "2025-05-01T03:59:59Z",
        "2025-05-01T04:00:00Z",
        "2025-09-07T03:59:59Z",
        "2025-09-07T04:00:00Z",
        "2025-09-08T02:59:59Z",
        "2025-09-08T03:00:00Z",
        "2025-10-01T02:59:59Z",
        "2025-10-01T03:00:00Z",
    ];
    // Each sale is worth twice the one before it, so that sums show which they are of.
    let rows: String = times.iter().enumerate().map(|(n, time)| format!("S{n},p1,{}.00,{time}\n", 1 << n)).collect();
    let sales = world.write("vendas.csv", &format!("id_pedido,id_produto,valor,timestamp\n{rows}"));
    assert_eq!(world.import(&sales, "vendas").await.expect("imported").accepted, 12);
    let by_day = [
        "2025-04-04 1.00",
        "2025-04-05 6.00",
        "2025-04-06 8.00",
        "2025-04-30 16.00",
        "2025-05-01 32.00",
        "2025-09-06 64.00",
        "2025-09-07 384.00",
        "2025-09-08 512.00",
        "2025-09-30 1024.00",
        "2025-10-01 2048.00",
    ];
    let by_month = ["2025-04-01 31.00", "2025-05-01 32.00", "2025-09-01 1984.00", "2025-10-01 2048.00"];
    // By change, and then each day and its month by name.
    let named = by_day.map(|row| Wanted::Days(day(&row[..10]), day(&row[..10])));
    for wanted in [Wanted::Changed].into_iter().chain(named) {
        world.job("vendas_por_categoria", wanted).await;
        world.job("receita_mensal", wanted).await;
        assert_eq!(takings(&world, "vendas_por_categoria", "data").await, by_day, "{wanted:?}");
        assert_eq!(takings(&world, "receita_mensal", "mes").await, by_month, "{wanted:?}");
    }
    // In the hour that occurs twice, the second time.
    let more = world.write("mais.csv", "id_pedido,id_produto,valor,timestamp\nS12,p1,0.50,2025-04-06T03:30:00Z\n");
    world.import(&more, "vendas").await.expect("imported");
    let done = world.job("vendas_por_categoria", Wanted::Changed).await;
    assert_eq!(done[0].days, Some(Days { from: day("2025-04-05"), to: day("2025-04-06") }));
    assert_eq!(takings(&world, "vendas_por_categoria", "data").await[1], "2025-04-05 6.50");
}
