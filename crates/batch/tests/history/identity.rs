//! Rows that come again, in whatever file.

use vitral_batch::checks;
use vitral_batch::import::Numbers;
use vitral_catalog::DomainSettings;
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::PartitionId;
use vitral_store::warehouse::Days;

use crate::world::{World, day};

const WEEK: &str = "Pedido;Produto;Qtd;Valor;Data;Loja
A1;p1;2;10,00;31/12/2025 22:30;7
A2;p2;1;0,50;01/01/2026;7
A3;p1;1;3,00;01/01/2026 10:00;8
";
const MORE: &str = "A4;p1;1;20,00;02/01/2026;7
A5;p9;1;1,00;02/01/2026;7
";

async fn counted(world: &World) -> String {
    world.sql("SELECT count(*) AS n, sum(valor) AS v FROM vendas").await
}

fn counts(imported: &vitral_batch::import::ImportReport) -> [u64; 4] {
    [imported.accepted, imported.duplicate, imported.refused, imported.known]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grew_adds_its_new_rows() {
    let world = World::new();
    let path = world.write("semana1.csv", WEEK);
    assert_eq!(counts(&world.import(&path, "vendas").await.expect("imported")), [3, 0, 0, 0]);
    let path = world.write("semana2.csv", &format!("{WEEK}{MORE}"));
    let grown = world.import(&path, "vendas").await.expect("imported");
    assert_eq!(counts(&grown), [2, 0, 0, 3], "{grown:?}");
    assert!(counted(&world).await.contains("| 5 | 34.50 |"));
    // Nothing but the new rows, and in front of what is known.
    let (header, rows) = WEEK.split_once('\n').expect("a header");
    let path = world.write("semana3.csv", &format!("{header}\nA6;p1;1;1,00;03/01/2026;7\n{rows}{MORE}"));
    assert_eq!(counts(&world.import(&path, "vendas").await.expect("imported")), [1, 0, 0, 5]);
    assert!(counted(&world).await.contains("| 6 | 35.50 |"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_saved_again_adds_nothing() {
    let world = World::new();
    let path = world.write("a.csv", WEEK);
    world.import(&path, "vendas").await.expect("imported");
    let (header, rows) = WEEK.split_once('\n').expect("a header");
    let sorted = rows.lines().rev().map(|row| format!("{row}\n")).collect::<String>();
    let swapped = |line: &str| line.split(';').rev().collect::<Vec<_>>().join(";") + "\n";
    for (name, text) in [
        ("crlf.csv", WEEK.replace('\n', "\r\n")),
        ("mark.csv", format!("\u{feff}{WEEK}")),
        ("sorted.csv", format!("{header}\n{sorted}")),
        ("columns.csv", WEEK.lines().map(swapped).collect()),
        (
            "comma.csv",
            WEEK.replace(',', ".")
                .replace(';', ",")
                .replace("10.00", "\"10,00\"")
                .replace("0.50", "\"0,50\"")
                .replace("3.00", "\"3,00\""),
        ),
        ("blanks.csv", WEEK.replace(";p1;", "; p1 ;")),
        // A column that is not used is added, or goes.
        ("wider.csv", WEEK.replace("Loja", "Loja;Frete").replace(";7\n", ";7;1,00\n").replace(";8\n", ";8;1,00\n")),
        ("narrower.csv", WEEK.replace(";Loja", "").replace(";7\n", "\n").replace(";8\n", "\n")),
    ] {
        let path = world.write(name, &text);
        let again = world.import(&path, "vendas").await.expect(name);
        assert_eq!(counts(&again), [0, 0, 0, 3], "{name}: {again:?}");
    }
    assert!(counted(&world).await.contains("| 3 | 13.50 |"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_rows_understood_otherwise_add_nothing_and_name_the_way() {
    let world = World::new();
    let path = world.write(
        "a.csv",
        "Pedido,Produto,Qtd,Valor,Data,Origem\nA1,p1,1,10.00,2025-05-14,loja\nA2,p1,1,15.00,2025-05-14,app\n",
    );
    let first = world.import(&path, "vendas").await.expect("imported");
    assert_eq!(counts(&first), [2, 0, 0, 0]);
    for map in [&[("Origem", "canal")][..], &[("Qtd", "quantidade")][..]] {
        let again = world.import_as(&path, "vendas", map, None).await.expect("imported");
        assert_eq!(counts(&again), [0, 0, 0, 2], "{again:?}");
        assert_eq!(again.understood_otherwise, std::slice::from_ref(&first.id));
    }
    // Another form of numbers, where it makes another value.
    let path = world.write("b.csv", "Pedido,Produto,Valor,Data\nB1,p1,1.234,2025-05-14\n");
    assert_eq!(
        counts(&world.import_as(&path, "vendas", &[], Some(Numbers::Brazilian)).await.expect("read")),
        [1, 0, 0, 0]
    );
    let plain = world.import_as(&path, "vendas", &[], Some(Numbers::Plain)).await.expect("read");
    assert_eq!(counts(&plain), [0, 0, 0, 1]);
    // The same cells as another kind of row are another row.
    let refunds = world.import_as(&path, "reembolsos", &[], Some(Numbers::Brazilian)).await.expect("read");
    assert_eq!(counts(&refunds), [1, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_id_counts_once() {
    let world = World::new();
    let path = world.write("a.csv", "id_evento,id_produto,valor,data\ne1,p1,10.00,2025-05-14\ne2,p2,20.00,2025-05-14\ne1,p1,10.00,2025-05-14\n,p3,1.00,2025-05-14\n  ,p3,1.00,2025-05-14\n");
    let imported = world.import(&path, "vendas").await.expect("imported");
    assert_eq!(counts(&imported), [4, 1, 0, 0], "blank ids identify nothing: {imported:?}");
    assert!(counted(&world).await.contains("| 4 | 32.00 |"));
    let ledger = world.ledger().await;
    assert!(ledger.len() == 1 && ledger[0].contains("duplicada") && ledger[0].contains("| 4 "), "{ledger:?}");
    // Between files, whatever else the row says.
    let path = world.write(
        "b.csv",
        "id_evento,id_produto,valor,data,canal\ne3,p1,1.00,2025-05-15,app\ne1,p1,10.00,2025-05-14,app\n",
    );
    let other = world.import(&path, "vendas").await.expect("imported");
    assert_eq!((counts(&other), other.differing), ([1, 0, 0, 1], 1), "{other:?}");
    assert_eq!(world.ledger().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stream_has_counted_or_will_is_left_to_it() {
    let world = World::new();
    // The watermark is at 2026-01-01T12:00Z, and an hour of lateness is left.
    world.stream(&[("s1", "2026-01-01T11:30:00Z"), ("s2", "2026-01-01T03:00:00Z")], 1_767_268_800_000).await;
    let text = "id_evento,id_produto,valor,timestamp
s2,p1,5.00,2026-01-01T03:00:00Z
s1,p1,5.00,2026-01-01T11:30:00Z
f1,p1,7.00,2026-01-01T10:59:59Z
f2,p1,9.00,2026-01-01T11:00:00Z
";
    let path = world.write("a.csv", text);
    let imported = world.import(&path, "vendas").await.expect("imported");
    assert_eq!(counts(&imported), [1, 0, 1, 2], "{imported:?}");
    assert_eq!(imported.known_of.get(""), Some(&2));
    let why = &imported.examples[0];
    assert!(why.line == 5 && why.reason == "tempo" && why.detail.contains("within reach of the stream"), "{why:?}");
    assert!(why.detail.contains("2026-01-01T08:00:00-03:00"), "{why:?}");
    assert!(counted(&world).await.contains("| 3 | 17.00 |"));
    // Once the watermark has passed, the row counts and leaves the ledger.
    let topic = &world.catalog.topics[0];
    let mut archive = vitral_store::Archive::open(topic, "log", [PartitionId(0)], &world.store).await.expect("opened");
    let commit = vitral_store::ArchiveCommit {
        watermark: Some(Watermark::from_ms(1_767_268_801_000)),
        token: 2,
        ..Default::default()
    };
    archive.commit(&commit).await.expect("committed");
    assert_eq!(world.ledger().await.len(), 1);
    let later = world.import(&path, "vendas").await.expect("imported");
    assert_eq!(counts(&later), [1, 0, 0, 3], "{later:?}");
    assert_eq!(world.ledger().await, Vec::<String>::new());
}

/// Jobs and checks see how far the stream had come.
#[tokio::test(flavor = "multi_thread")]
async fn the_committed_watermark_is_a_value_in_queries() {
    let world = World::new();
    let sql = "SELECT count(*) AS n, max(marca_dagua()) AS m FROM vendas";
    world.sql(&format!("{sql} WHERE marca_dagua() IS NULL")).await;
    world.stream(&[("e1", "2026-01-01T11:30:00Z")], 1_767_268_800_000).await;
    let rows = world.sql(sql).await;
    assert!(rows.contains("2026-01-01T12:00:00"), "{rows}");
    assert!(world.sql("SELECT count(*) AS n FROM vendas WHERE timestamp < marca_dagua()").await.contains("| 1 |"));
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_lines_that_are_alike_all_count_and_no_check_is_red() {
    let world = World::new();
    let lines = "id_pedido,id_produto,preco,data\nO1,p1,58.90,2025-05-14\nO1,p1,58.90,2025-05-14\n";
    let path = world.write("a.csv", lines);
    for expected in [[2, 0, 0, 0], [0, 0, 0, 2]] {
        assert_eq!(counts(&world.import(&path, "vendas").await.expect("imported")), expected);
    }
    let path = world.write("b.csv", &format!("{lines}O1,p1,58.90,2025-05-14\n"));
    assert_eq!(counts(&world.import(&path, "vendas").await.expect("imported")), [1, 0, 0, 2], "the third of them");
    let repeated = async |world: &World, of: &str| {
        let days = Days { from: day(of), to: day(of).succ_opt().expect("a day") };
        let tables = world.tables().await;
        let found = checks::run(&world.catalog, DomainSettings::default().time_zone, days, &tables).await.expect("run");
        found.into_iter().find(|check| check.name == "vendas_repetidas").map(|check| check.count)
    };
    // Without an order, rows are told apart by all cells that are used: two shops may sell the
    // same.
    let path = world.write("c.csv", "id_produto,valor,data,canal\np1,2.00,2025-06-01,a\np1,2.00,2025-06-01,a\n");
    assert_eq!(counts(&world.import(&path, "vendas").await.expect("imported")), [2, 0, 0, 0]);
    let path = world.write("d.csv", "id_produto,valor,data,canal\np1,2.00,2025-06-01,b\n");
    assert_eq!(counts(&world.import(&path, "vendas").await.expect("imported")), [1, 0, 0, 0]);
    assert_eq!(repeated(&world, "2025-06-01").await, Some(0));
    let path = world.write("e.csv", "id_pedido,id_produto,preco,data\nO2,p1,1.00,2025-07-14\nO2,p1,1.00,2025-07-14\n");
    world.import(&path, "vendas").await.expect("imported");
    assert_eq!(repeated(&world, "2025-07-14").await, Some(0));
    // The same line from a program that writes it in another way: nobody can tell but the check.
    let path = world.write("f.csv", "id_pedido,id_produto,preco,data\nO2,p1,1.0,2025-07-14\n");
    assert_eq!(counts(&world.import(&path, "vendas").await.expect("imported")), [1, 0, 0, 0]);
    assert_eq!(repeated(&world, "2025-07-14").await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn blank_texts_are_nothing() {
    let world = World::new();
    let path =
        world.write("a.csv", "id_pedido,id_produto,valor,data,moeda\n  ,p1,1.00,2025-05-14, \n , ,2.00,2025-05-14,\n");
    assert_eq!(counts(&world.import(&path, "vendas").await.expect("imported")), [2, 0, 0, 0]);
    let rows = world.sql("SELECT count(id_pedido) AS o, count(id_produto) AS p, count(DISTINCT moeda) AS m, min(moeda) AS c FROM vendas").await;
    assert!(rows.contains("| 0 | 1 | 1 | BRL |"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_at_the_same_time_count_each_row_once() {
    let world = World::new();
    let line = |order: usize| format!("O{order},p1,1.00,2025-05-14\n");
    let header = "id_pedido,id_produto,preco,data\n";
    let file = |orders: std::ops::Range<usize>| header.to_owned() + &orders.map(line).collect::<String>();
    let one = world.write("a.csv", &file(0..600));
    let other = world.write("b.csv", &file(300..900));
    let third = world.write("c.csv", &file(600..1_200));
    let outcome = tokio::join!(
        world.import(&one, "vendas"),
        world.import(&other, "vendas"),
        world.import(&third, "vendas"),
        world.import(&one, "vendas")
    );
    let all = [outcome.0, outcome.1, outcome.2, outcome.3].map(|imported| imported.expect("imported"));
    assert_eq!(all.iter().map(|imported| imported.accepted).sum::<u64>(), 1_200, "{all:?}");
    assert_eq!(all.iter().map(|imported| imported.known).sum::<u64>(), 1_200, "{all:?}");
    let rows = world.sql("SELECT count(*) AS n, count(DISTINCT id_pedido) AS o FROM vendas").await;
    assert!(rows.contains("| 1200 | 1200 |"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_of_older_versions_go_on() {
    let world = World::new();
    world.history_of_older_version(&[("A1", "p1", "10.00"), ("A1", "p1", "10.00"), ("A2", "p2", "5.00")]).await;
    let text = "id_pedido,id_produto,valor,data\nA1,p1,10.00,2025-05-14\nA1,p1,10.00,2025-05-14\nA2,p2,5.00,2025-05-14\nA3,p3,1.00,2025-05-14\nA4,p3,x,2025-05-14\n";
    let path = world.write("a.csv", text);
    for expected in [[1, 0, 1, 3], [0, 0, 1, 4]] {
        let imported = world.import(&path, "vendas").await.expect("imported");
        assert_eq!(counts(&imported), expected, "{imported:?}");
    }
    assert!(counted(&world).await.contains("| 4 | 26.00 |"));
    assert_eq!(world.ledger().await.len(), 1, "the older version's refused row is the same");
    let undone = world.undo("old").await;
    assert!(undone.is_changed && undone.record.counted == 3, "{undone:?}");
    assert!(counted(&world).await.contains("| 1 | 1.00 |"));
}
