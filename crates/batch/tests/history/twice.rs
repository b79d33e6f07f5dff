//! The same sale from two sources, whose cells differ: it comes in, and it is named.

use crate::world::{Read, World};
use vitral_batch::import::ImportReport;

const BY_DAY: &str =
    "Pedido;Data;Produto;Qtd;Preço\n1;13/02/2025;a;2;10,00\n2;14/02/2025;b;1;5,50\n3;15/02/2025;c;1;1,00\n";

fn twice(imported: &ImportReport) -> Vec<(&str, u64)> {
    imported.twice.iter().map(|(import, twice)| (import.as_str(), twice.rows)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_that_are_written_otherwise_are_named_with_the_import_that_has_them() {
    for other in [
        "Pedido;Data;Produto;Qtd;Preço\n1;2025-02-13;a;2;10,00\n2;2025-02-14;b;1;5,50\n",
        "Pedido;Data;Produto;Qtd;Preço\n1;13/02/2025 00:00;a;2;10.00\n2;14/02/2025 00:00;b;1;5.50\n",
        // Its total instead of price and quantity.
        "Order;Data;Produto;Valor\n1;2025-02-13;a;20,00\n2;2025-02-14;b;5,50\n",
    ] {
        let world = World::new();
        let first = world.import(&world.write("a.csv", BY_DAY), "vendas").await.expect("imported");
        assert!(first.twice.is_empty(), "{first:?}");
        let map: &[(&str, &str)] = if other.starts_with("Order") { &[("Order", "id_pedido")] } else { &[] };
        let read = Read { map, ..Read::default() };
        let second = world.import_read(&world.write("b.csv", other), "vendas", read).await.expect("imported");
        assert_eq!((second.accepted, twice(&second)), (2, vec![(first.id.as_str(), 2)]), "{other}: {second:?}");
        let examples = &second.twice[&first.id].examples;
        assert!(
            examples[0].contains("id_pedido 1, id_produto a") && examples[0].contains("worth 20.00"),
            "{examples:?}"
        );
        world.undo(&second.id).await;
        let again = world.import_read(&world.write("b.csv", other), "vendas", Read { map, ..Read::default() }).await;
        assert_eq!(twice(&again.expect("imported")), [(first.id.as_str(), 2)], "taken back, and here again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sold_again_is_no_repetition() {
    let world = World::new();
    let path = world.write("a.csv", BY_DAY);
    world.import(&path, "vendas").await.expect("imported");
    // Other instants, worths, products and orders; and a row that is in already, with an equal one
    // that is new.
    let other = "Pedido;Data;Produto;Qtd;Preço\n1;16/02/2025;a;2;10,00\n1;13/02/2025;a;3;11,00\n2;14/02/2025;a;1;5,50\n\
        9;15/02/2025;c;1;1,00\n3;15/02/2025;c;1;1,00\n3;15/02/2025;c;1;1,00\n";
    let imported = world.import(&world.write("b.csv", other), "vendas").await.expect("imported");
    assert_eq!((imported.accepted, imported.known), (5, 1), "{imported:?}");
    assert!(imported.twice.is_empty(), "{:?}", imported.twice);
    // Nor is anything that takes the place of what it repeats.
    let otherwise = world.write("c.csv", "Pedido;Data;Produto;Qtd;Preço\n1;2025-02-16;a;2;10,00\n");
    let replaced = world.replace(&imported.id, &otherwise, "vendas", &[]).await;
    assert_eq!((replaced.accepted, replaced.twice.len()), (1, 0), "{replaced:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_that_the_stream_has_counted_are_named_where_no_event_id_tells() {
    let world = World::new();
    let streamed = [("e1", "9001", "2025-02-13T12:40:00Z"), ("e2", "9002", "2025-02-13T13:00:00Z")];
    // The watermark of 2025-03-01.
    world.stream_orders(&streamed, 1_740_787_200_000).await;
    let text = "Pedido;Data;Valor;id_evento\n9001;13/02/2025 09:40;5,00;\n9002;13/02/2025 10:00;5,00;e2\n9002;13/02/2025 10:00;5,00;e9\n\
        9001;13/02/2025 09:41;5,00;\n9001;13/02/2025 09:40;6,00;\n";
    let imported = world.import(&world.write("a.csv", text), "vendas").await.expect("imported");
    assert_eq!((imported.accepted, imported.known), (4, 1), "{imported:?}");
    assert_eq!(twice(&imported), [("", 1)], "{imported:?}");
    assert!(imported.twice[""].examples[0].contains("id_pedido 9001"), "{imported:?}");
}

/// Before anything is written, while there is still a choice.
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_names_sales_that_would_count_twice() {
    let world = World::new();
    let first = world.import(&world.write("a.csv", BY_DAY), "vendas").await.expect("imported");
    let other = "Pedido;Data;Produto;Qtd;Preço\n1;2025-02-13;a;2;10,00\n2;2025-02-17;b;1;5,50\n3;15/02/2025;c;1;1,00\n";
    let path = world.write("b.csv", other);
    let preview = world.preview(&path, "vendas").await;
    assert_eq!((preview.imported.accepted, preview.imported.known), (2, 1), "{:?}", preview.imported);
    assert_eq!(twice(&preview.imported), [(first.id.as_str(), 1)], "{:?}", preview.imported);
    let imported = world.import(&path, "vendas").await.expect("imported");
    assert_eq!(imported.twice, preview.imported.twice, "as it comes in");
    assert_eq!(world.preview(&path, "vendas").await.imported.twice.len(), 0, "it is in");
}
