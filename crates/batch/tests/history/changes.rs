//! Later exports of the same orders, which say something else than what is in: it is named, and
//! counts once.

use vitral_batch::import::{Ask, Changed, File, ImportReport, recognise};

use crate::profiles::{REFUNDS, SALES, rows};
use crate::world::{Read, World};

const WOO: &str = "Order Number,Order Status,Order Date,SKU,Quantity (- Refund),Item Cost
71,Completed,2025-05-14 10:00,S1,2,10.50
71,,,S2,1,10.00
72,Completed,2025-05-14 11:00,S1,1,10.50
73,Completed,2025-05-14 12:00,S3,4,1.00
";

fn counts(imported: &ImportReport) -> [u64; 3] {
    [imported.accepted, imported.refused, imported.known]
}

/// What one import has otherwise.
fn only(imported: &ImportReport) -> &Changed {
    let [changed] = imported.changed.as_slice() else { panic!("{:?}", imported.changed) };
    changed
}

/// Puts a file that is recognised in the place of an import.
async fn replace(world: &World, id: &str, path: &std::path::Path, table: &str) -> ImportReport {
    let file = File { name: path.display().to_string(), path: path.to_owned() };
    let views = recognise(&file, &world.catalog.profiles, None, &[]).expect("read");
    let imports = world.by_profile(&views);
    let import = imports.iter().find(|import| import.table == table).expect("the table");
    import.replace(id, &file, &world.store, |_, _| {}).await.expect("replaced")
}

#[tokio::test(flavor = "multi_thread")]
async fn quantities_that_shrink_by_refunds_count_once_and_are_named() {
    let world = World::new();
    let (_, first) = world.import_recognised(&world.write("maio.csv", WOO)).await;
    assert_eq!(counts(&first[0]), [4, 0, 0]);
    // One piece came back, another order as a whole; a third was cancelled, and one is new.
    let later = WOO
        .replace("S1,2,10.50", "S1,1,10.50")
        .replace("S3,4,1.00", "S3,0,1.00")
        .replace("72,Completed", "72,Cancelled")
        + "74,Completed,2025-05-15 10:00,S1,1,10.50\n";
    let path = world.write("junho.csv", &later);
    let (_, second) = world.import_recognised(&path).await;
    assert_eq!(counts(&second[0]), [1, 0, 2], "{second:?}");
    let changed = only(&second[0]);
    assert_eq!((changed.import.as_str(), changed.amounts, changed.left_out, changed.missing), (&*first[0].id, 1, 2, 0));
    assert!(changed.examples[0].contains("id_pedido 72 (line 4): counted, and left out here"), "{changed:?}");
    assert!(
        changed.examples[2].contains("id_pedido 71 (line 2): quantidade 1 here, 2 is in"),
        "what has changed, and from what: {changed:?}"
    );
    let before =
        ["71 S1 2 21.00 BRL", "71 S2 1 10.00 BRL", "72 S1 1 10.50 BRL", "73 S3 4 4.00 BRL", "74 S1 1 10.50 BRL"];
    assert_eq!(rows(&world, SALES).await, before);
    // The newer file in the place of the older one.
    let replaced = replace(&world, &first[0].id, &path, "vendas").await;
    assert_eq!(counts(&replaced), [3, 0, 0], "{replaced:?}");
    assert_eq!(replaced.changed, []);
    assert_eq!(rows(&world, SALES).await, ["71 S1 1 10.50 BRL", "71 S2 1 10.00 BRL", "74 S1 1 10.50 BRL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_that_grow_count_once_and_are_named() {
    let world = World::new();
    let header = "Name,Financial Status,Currency,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Cancelled at,Refunded Amount\n";
    let order = |number: u32, refunded: &str| {
        format!("#{number},partially_refunded,USD,2025-05-14 12:00:00 -0300,2,Tote bag,30.00,TOTE-1,,{refunded}\n")
    };
    let text = |refunded: [&str; 2]| header.to_owned() + &order(1003, refunded[0]) + &order(1004, refunded[1]);
    let (_, first) = world.import_recognised(&world.write("a.csv", &text(["10.00", "5.00"]))).await;
    let (_, second) = world.import_recognised(&world.write("b.csv", &text(["30.00", "5.0"]))).await;
    assert_eq!([counts(&second[0]), counts(&second[1])], [[0, 0, 2], [0, 0, 2]]);
    assert_eq!(second[0].changed, [], "the sales are the same");
    let changed = only(&second[1]);
    assert_eq!((changed.import.as_str(), changed.amounts), (&*first[1].id, 1), "5.0 is 5.00");
    assert_eq!(changed.examples, ["id_pedido #1003 (line 2): valor_total 30.00 here, 10.00 is in"]);
    assert_eq!(rows(&world, REFUNDS).await, ["#1003 10.00 USD", "#1004 5.00 USD"]);
    replace(&world, &first[1].id, &world.dir.path().join("b.csv"), "reembolsos").await;
    assert_eq!(rows(&world, REFUNDS).await, ["#1003 30.00 USD", "#1004 5.00 USD"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_alike_within_an_order_are_told_by_their_number() {
    let world = World::new();
    let header = "Order Number,Order Status,Order Date,SKU,Quantity (- Refund),Item Cost\n";
    let line = |quantity: u32| format!("71,Completed,2025-05-14 10:00,S1,{quantity},1.00\n");
    let file = |quantities: &[u32]| header.to_owned() + &quantities.iter().copied().map(line).collect::<String>();
    world.import_recognised(&world.write("a.csv", &file(&[1, 1, 2]))).await;
    // One line has changed, and there is one more of the same product.
    let (_, second) = world.import_recognised(&world.write("b.csv", &file(&[3, 2, 1, 1]))).await;
    assert_eq!((counts(&second[0]), second[0].changed.len()), ([1, 0, 3], 0), "{second:?}");
    let (_, third) = world.import_recognised(&world.write("c.csv", &file(&[3, 2, 1, 5]))).await;
    assert_eq!((counts(&third[0]), only(&third[0]).amounts), ([0, 0, 4], 1), "{third:?}");
    assert_eq!(only(&third[0]).examples, ["id_pedido 71 (line 5): quantidade 5 here, 1 is in"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replacement_would_lose_is_said() {
    let world = World::new();
    let (_, first) = world.import_recognised(&world.write("maio.csv", WOO)).await;
    let (header, _) = WOO.split_once('\n').expect("a header");
    let part = format!("{header}\n72,Completed,2025-05-14 11:00,S1,3,10.50\n");
    let (_, second) = world.import_recognised(&world.write("parte.csv", &part)).await;
    let changed = only(&second[0]);
    assert_eq!((&changed.import, changed.amounts, changed.missing), (&first[0].id, 1, 3), "{changed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_add_what_differs_and_say_so() {
    let world = World::new();
    let text = "Pedido,Produto,Valor,Data\nA1,p1,10.00,2025-05-14\nA2,p1,20.00,2025-05-14\n";
    let first = world.import(&world.write("a.csv", text), "vendas").await.expect("imported");
    let path = world.write("b.csv", &text.replace("10.00", "9.00"));
    let second = world.import(&path, "vendas").await.expect("imported");
    assert_eq!(counts(&second), [1, 0, 1], "{second:?}");
    let changed = only(&second);
    assert_eq!((&changed.import, changed.amounts, changed.added, changed.missing), (&first.id, 0, 1, 0), "{changed:?}");
    assert_eq!(changed.examples, ["id_pedido A1 (line 2): valor_total 9.00 here, 10.00 is in"]);
    // Once more it is in, and nothing is to be said.
    let again = world.import(&path, "vendas").await.expect("imported");
    assert_eq!((counts(&again), again.changed), ([0, 0, 2], Vec::new()));
    // By its event id it is the same row.
    let text = "id_evento,Pedido,Valor,Data\ne1,B1,10.00,2025-05-14\n";
    world.import(&world.write("c.csv", text), "vendas").await.expect("imported");
    let other = world.import(&world.write("d.csv", &text.replace("10.00", "12.00")), "vendas").await.expect("imported");
    assert_eq!((counts(&other), only(&other).amounts), ([0, 0, 1], 1), "{other:?}");
    assert_eq!(only(&other).examples, ["id_evento e1 (line 2): valor_total 12.00 here, 10.00 is in"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_condition_leaves_out_though_they_are_in_are_named() {
    let world = World::new();
    let text = "Pedido;Produto;Valor;Data;Situação
G1;p1;10,00;14/05/2025;Atendido
G2;p1;10,00;14/05/2025;Atendido
";
    let condition = Some(Ask::parse_condition("\"Situação\" <> 'Cancelado'").expect("a condition"));
    let read = || Read { ask: Ask { profile: None, condition: condition.clone() }, ..Read::default() };
    let first = world.import_read(&world.write("a.csv", text), "vendas", read()).await.expect("imported");
    let later = text.replace("G2;p1;10,00;14/05/2025;Atendido", "G2;p1;10,00;14/05/2025;Cancelado");
    let path = world.write("b.csv", &later);
    let second = world.import_read(&path, "vendas", read()).await.expect("imported");
    assert_eq!(counts(&second), [0, 0, 1], "{second:?}");
    let changed = only(&second);
    assert_eq!((&changed.import, changed.left_out, changed.missing), (&first.id, 1, 0), "{changed:?}");
    // A file that is imported in two parts leaves out what is meant to be.
    let file = world.write("c.csv", &text.replace('G', "H"));
    for wanted in ["\"Pedido\" = 'H1'", "\"Pedido\" = 'H2'"] {
        let condition = Some(Ask::parse_condition(wanted).expect("a condition"));
        let read = Read { ask: Ask { profile: None, condition }, ..Read::default() };
        let part = world.import_read(&file, "vendas", read).await.expect("imported");
        assert_eq!((counts(&part), part.changed), ([1, 0, 0], Vec::new()));
    }
}
