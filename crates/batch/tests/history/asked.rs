//! What a file leaves unclear is asked about, and what looks like a mistake of it is pointed out:
//! nothing passes in silence.

use crate::world::{Read, World};
use vitral_batch::import::{Ask, Dates, Numbers};

async fn question(text: &str) -> String {
    let world = World::new();
    let path = world.write("a.csv", text);
    world.import(&path, "vendas").await.expect_err("a question").to_string()
}

async fn notes(text: &str) -> String {
    let world = World::new();
    let path = world.write("a.csv", text);
    let imported = world.import(&path, "vendas").await.expect("imported");
    assert_eq!(imported.refused, 0, "{imported:?}");
    imported.notes.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_numbers_with_three_places_each_are_unclear_whatever_prices_are_like() {
    let header = "Pedido;Data;Produto;Qtd;Preço\n";
    let brazilian = format!("{header}1;13/02/2024;a;1.000;10,50\n2;13/02/2024;b;2.000;5,25\n");
    for text in [brazilian.clone(), format!("{header}1;13/02/2024;a;1,000;10.50\n2;13/02/2024;b;2,000;5.25\n")] {
        let question = question(&text).await;
        assert!(question.contains("column Qtd") && question.contains("--numbers"), "{question}");
    }
    let world = World::new();
    let path = world.write("a.csv", &brazilian);
    world.import_as(&path, "vendas", &[], Some(Numbers::Brazilian)).await.expect("imported as the user says");
    // One other number tells, as do ten thousands and more than one group.
    for cell in ["7", "1.000.000"] {
        let world = World::new();
        let path = world.write("a.csv", &format!("{brazilian}3;13/02/2024;c;{cell};1,50\n"));
        assert_eq!(world.import(&path, "vendas").await.expect("imported").accepted, 3, "{cell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dollar_sign_next_to_dates_with_the_month_first_is_asked_about() {
    let text = "Order,Data,Produto,Qtd,Preço\n1,02/13/2024,a,2,$30.50\n";
    let map = &[("Order", "id_pedido")];
    let world = World::new();
    let path = world.write("a.csv", text);
    let error = world.import_as(&path, "vendas", map, None).await.expect_err("a question").to_string();
    assert!(error.contains("$30.50 (line 2)") && error.contains("--map =moeda"), "{error}");
    let map = &[("Order", "id_pedido"), ("", "moeda")];
    assert_eq!(world.import_as(&path, "vendas", map, None).await.expect("imported").accepted, 1, "of the shop");
    let named = world.write("b.csv", &text.replace("Preço", "Preço (US$)").replace("\n1,", "\n2,"));
    let map = &[("Order", "id_pedido")];
    assert_eq!(world.import_as(&named, "vendas", map, None).await.expect("imported").accepted, 1);
    assert!(world.sql("SELECT moeda FROM vendas").await.contains("USD"));
    let day_first = world.write("c.csv", &text.replace("02/13", "13/02").replace("\n1,", "\n3,"));
    assert_eq!(world.import_as(&day_first, "vendas", map, None).await.expect("imported").accepted, 1, "elsewhere");
    let read = Read { dates: Some(Dates::Mdy), map, ..Read::default() };
    let error = world.import_read(&path, "vendas", read).await.expect_err("said by the user, it is the same");
    assert!(error.to_string().contains("--map =moeda"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_an_amount_among_others_are_counted_in_a_note() {
    let found =
        notes("Pedido;Data;Produto;Qtd;Preço\n1;13/02/2024;a;2;10,00\n2;13/02/2024;b;3;\n3;13/02/2024;c;1;\n").await;
    assert!(found.contains("2 rows without an amount, counted as 0.00 (the first is line 3)"), "{found}");
    let none = notes("Pedido;Data;Produto;Qtd;Preço\n1;13/02/2024;a;2;10,00\n2;13/02/2024;b;3;0,00\n").await;
    assert_eq!(none, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_that_contradict_price_and_quantity_are_pointed_out() {
    let header = "Pedido;Data;Produto;Qtd;Valor;Preço\n";
    for rows in [
        "1;13/02/2024;a;2;10,00;10,00\n2;13/02/2024;b;3;5,00;5,00\n3;13/02/2024;c;1;7,00;7,00\n",
        "1;13/02/2024;a;2;0,00;10,00\n2;13/02/2024;b;1;0,00;5,00\n",
    ] {
        let found = notes(&format!("{header}{rows}")).await;
        assert!(
            found.contains("Valor is not Preço x Qtd in 2 rows (line 2: ") && found.contains("--map \"Valor=\""),
            "{found}"
        );
    }
    for rows in [
        "1;13/02/2024;a;2;20,00;10,00\n2;13/02/2024;b;3;10,00;3,33\n",
        // One of three is an exception.
        "1;13/02/2024;a;2;20,00;10,00\n2;13/02/2024;b;3;15,00;5,00\n3;13/02/2024;b;3;12,00;5,00\n",
    ] {
        assert_eq!(notes(&format!("{header}{rows}")).await, "", "{rows}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_is_the_same_on_each_line_of_orders_is_pointed_out() {
    let header = "Pedido;Data;Produto;Qtd;Valor\n";
    let rows = "1;13/02/2024;a;2;25,00\n1;13/02/2024;b;1;25,00\n1;13/02/2024;c;3;25,00\n2;13/02/2024;c;1;9,00\n2;13/02/2024;d;1;9,00\n";
    let found = notes(&format!("{header}{rows}")).await;
    assert!(found.contains("2 of 2 orders with several lines have the same Valor on each (from line 2 on"), "{found}");
    let own = "1;13/02/2024;a;2;25,00\n1;13/02/2024;b;1;5,00\n2;13/02/2024;c;1;9,00\n2;13/02/2024;d;1;9,00\n";
    assert_eq!(notes(&format!("{header}{own}")).await, "");
}

/// What an import of the text points out, which proposes this condition, and how many rows come in
/// under it.
async fn proposed(text: &str, condition: &str) -> (String, u64) {
    let found = notes(text).await;
    assert!(found.contains(&condition.replace('"', "\\\"")), "{found}");
    let world = World::new();
    let condition = Some(Ask::parse_condition(condition).expect("a condition"));
    let read = Read { ask: Ask { profile: None, condition }, ..Read::default() };
    let imported = world.import_read(&world.write("a.csv", text), "vendas", read).await.expect("imported");
    (found, imported.accepted)
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_among_the_rows_are_pointed_out() {
    let text =
        "Data;Produto;Qtd;Valor do item\n13/02/2024;a;2;20,00\n13/02/2024;Total do dia;3;20,00\n14/02/2024;a;1;10,00\n";
    let condition = "coalesce(\"Produto\", '') NOT ILIKE 'total%'";
    let (found, accepted) = proposed(text, condition).await;
    assert!(found.contains("1 row that may be totals of others (line 3: Total do dia)"), "{found}");
    assert_eq!(accepted, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proposed_condition_leaves_out_all_that_was_undone_and_keeps_what_says_nothing() {
    let text = "Pedido;Data;Produto;Qtd;Preço;Situação\n1;13/02/2024;a;1;10,00;Pago\n2;13/02/2024;b;1;5,00;\n\
        3;13/02/2024;c;1;7,00;CANCELADO\n4;13/02/2024;c;1;7,00;cancelado\n5;13/02/2024;c;1;7,00;Estornado\n";
    let condition = "coalesce(\"Situação\", '') NOT IN ('CANCELADO', 'cancelado', 'Estornado')";
    assert_eq!(proposed(text, condition).await.1, 2);
}
