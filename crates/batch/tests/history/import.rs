//! Files of sales history.

use crate::world::{Read, World};
use arrow::array::{Array, ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::Field;
use datafusion::parquet::arrow::ArrowWriter;
use std::sync::Arc;
use vitral_batch::BatchError;
use vitral_batch::import::{Ask, ImportError, Numbers};

const BRAZILIAN: &str = "Pedido;Produto;Qtd;Valor;Data;Região;Loja
A1;p1;2;R$ 1.234,56;31/12/2025 22:30;Sul;7
A2;p2;1;0,50;01/01/2026;São Paulo;7
A3;p3;muitas;10,00;01/01/2026;Sul;7
A4;p4;1;10,00;32/01/2026;Sul;7
A5;p5;1;10,00
A6;p6;1;-1,00;01/01/2026;Sul;7
";

#[tokio::test(flavor = "multi_thread")]
async fn a_brazilian_file_becomes_sales() {
    let world = World::new();
    let path = world.write("vendas.csv", BRAZILIAN);
    let imported = world.import(&path, "vendas").await.expect("imported");
    assert_eq!((imported.accepted, imported.refused, imported.known), (2, 4, 0), "{imported:?}");
    assert_eq!(imported.unused, ["Loja"]);
    let why: Vec<_> = imported.examples.iter().map(|row| (row.line, row.reason.as_str())).collect();
    assert_eq!(why, [(4, "tipo"), (5, "tempo"), (6, "linha"), (7, "valor")], "{imported:?}");
    let sales = world
        .sql("SELECT id_pedido, id_produto, quantidade, valor, data, timestamp, regiao, moeda FROM vendas ORDER BY id_pedido")
        .await;
    assert!(
        sales.contains(
            "| A1        | p1         | 2          | 1234.56 | 2025-12-31 | 2026-01-01T01:30:00Z | Sul       | BRL   |"
        ),
        "{sales}"
    );
    assert!(
        sales.contains(
            "| A2        | p2         | 1          | 0.50    | 2026-01-01 | 2026-01-01T03:00:00Z | São Paulo | BRL   |"
        ),
        "{sales}"
    );
    assert!(world.sql("SELECT * FROM reembolsos").await.lines().count() <= 4, "no refund came");

    let again = world.import(&path, "vendas").await.expect("imported again");
    assert_eq!((again.accepted, again.refused, again.known), (0, 4, 2), "what is refused is refused again");
    let refused = world.ledger().await;
    assert_eq!(refused.len(), 4, "and stands in the ledger once: {refused:?}");
    assert_eq!(world.sql("SELECT count(*) FROM vendas").await, world.sql("SELECT 2 AS \"count(*)\"").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_keeps_its_types() {
    let world = World::new();
    let path = world.dir.path().join("historia/vendas.parquet");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id_pedido", Arc::new(Int64Array::from(vec![1, 2]))),
        ("id_produto", Arc::new(StringArray::from(vec!["p1", "p2"]))),
        ("data", Arc::new(Date32Array::from(vec![20_000, 20_001]))),
        ("valor", Arc::new(Decimal128Array::from(vec![12_345, 5]).with_precision_and_scale(10, 2).expect("a type"))),
    ];
    let rows = RecordBatch::try_from_iter(columns).expect("rows");
    let file = std::fs::File::create(&path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).expect("a writer");
    writer.write(&rows).expect("written");
    writer.close().expect("closed");
    let imported = world.import(path.parent().expect("a folder"), "vendas").await.expect("imported");
    assert_eq!((imported.accepted, imported.refused), (2, 0), "{imported:?}");
    let sales = world.sql("SELECT id_pedido, valor, data FROM vendas ORDER BY id_pedido").await;
    assert!(
        sales.contains("| 1         | 123.45 | 2024-10-04 |") && sales.contains("| 2         | 0.05   | 2024-10-05 |"),
        "{sales}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_said() {
    let world = World::new();
    let path = world.write("a.csv", "quando,produto\n2025-01-01,p1\n");
    let error = world.import(&path, "vendas").await.expect_err("no time");
    assert!(matches!(error, BatchError::Import(ImportError::Mapping { .. })), "{error}");
    assert!(error.to_string().contains("quando, produto") && error.to_string().contains("--map"), "{error}");
    let map = &[("quando", "timestamp")];
    let error = world.import_as(&path, "vendas", map, None).await.expect_err("worth nothing").to_string();
    assert!(error.contains("worth 0.00") && error.contains("--map =valor_total"), "{error}");
    let map = &[("quando", "timestamp"), ("", "valor")];
    let imported = world.import_as(&path, "vendas", map, None).await.expect("imported");
    assert_eq!(imported.accepted, 1, "the user says that there is no amount");

    let path = world.write("b.csv", "data,valor\n2025-01-01,1.234\n");
    let error = world.import(&path, "vendas").await.expect_err("ambiguous").to_string();
    assert!(error.contains("1.234") && error.contains("--numbers"), "{error}");
    // Understood wrongly its row is refused, and not in the way of understanding it rightly.
    let plain = world.import_as(&path, "vendas", &[], Some(Numbers::Plain)).await.expect("imported");
    assert_eq!((plain.accepted, plain.refused), (0, 1), "{plain:?}");
    let brazilian = world.import_as(&path, "vendas", &[], Some(Numbers::Brazilian)).await.expect("imported");
    assert_eq!((brazilian.accepted, brazilian.refused, brazilian.known), (1, 0, 0), "{brazilian:?}");

    let path = world.write("c.csv", "");
    assert!(world.import(&path, "vendas").await.expect_err("empty").to_string().contains("no rows"));
    let path = world.write("d.pdf", "%PDF");
    assert!(world.import(&path, "vendas").await.expect_err("no table").to_string().contains(".parquet"));
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_hold_structures_are_not_taken_for_nothing() {
    let world = World::new();
    let amounts: ArrayRef =
        Arc::new(Decimal128Array::from(vec![1_000]).with_precision_and_scale(10, 2).expect("a type"));
    let value = StructArray::from(vec![(Arc::new(Field::new("amount", amounts.data_type().clone(), true)), amounts)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id_pedido", Arc::new(Int64Array::from(vec![1]))),
        ("data", Arc::new(Date32Array::from(vec![20_000]))),
        ("preco", Arc::new(Int64Array::from(vec![3]))),
        ("valor", Arc::new(value)),
    ];
    let path = world.dir.path().join("a.parquet");
    let rows = RecordBatch::try_from_iter(columns).expect("rows");
    let file = std::fs::File::create(&path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).expect("a writer");
    writer.write(&rows).expect("written");
    writer.close().expect("closed");
    let where_all =
        || Ask { profile: None, condition: Some(Ask::parse_condition("preco = '3'").expect("a condition")) };
    for ask in [Ask::default(), where_all()] {
        let read = Read { ask: ask.clone(), ..Read::default() };
        let error = world.import_read(&path, "vendas", read).await.expect_err("a structure").to_string();
        assert!(error.contains("column valor") && error.contains("--map \"valor=\""), "{error}");
        let world = World::new();
        let read = Read { ask, map: &[("valor", "")], ..Read::default() };
        assert_eq!(world.import_read(&path, "vendas", read).await.expect("imported").accepted, 1);
    }
    let ask = Ask { profile: None, condition: Some(Ask::parse_condition("valor IS NULL").expect("a condition")) };
    let error = world.import_read(&path, "vendas", Read { ask, ..Read::default() }).await.expect_err("no cells");
    assert!(error.to_string().contains("valor"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_lack_only_what_their_table_lets_files_lack() {
    let world = World::new();
    let path = world.write("a.csv", "Pedido,Valor,timestamp\nA1,1.00,2025-05-14\n");
    let error = world.import(&path, "eventos_clientes").await.expect_err("no user").to_string();
    assert!(error.contains("gives id_usuario") && error.contains("--map"), "{error}");
    assert_eq!(
        world.import(&path, "vendas").await.expect("imported").accepted,
        1,
        "files of sales seldom have the user"
    );
    let text = "id_usuario,tipo_evento,timestamp\nu1,clique,2025-05-14\n,clique,2025-05-14\nu1,,2025-05-14\n";
    let imported = world.import(&world.write("b.csv", text), "eventos_clientes").await.expect("imported");
    let why: Vec<_> = imported.examples.iter().map(|row| (row.line, row.reason.as_str())).collect();
    assert_eq!((imported.accepted, why), (1, vec![(3, "campo_ausente"), (4, "campo_ausente")]), "{imported:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_a_format_has_no_use_for_are_errors() {
    let world = World::new();
    let path = world.write("a.csv", "Pedido,Valor,Data\nA1,1.00,2025-05-14\n");
    let read = Read { sheets: &["Vendas"], ..Read::default() };
    let error = world.import_read(&path, "vendas", read).await.expect_err("no sheets").to_string();
    assert!(error.contains("--sheet does not apply"), "{error}");
}
