//! Files as people and programs really write them, and what becomes of their rows.

use vitral_batch::import::{Dates, ImportReport};

use crate::world::{Read, World};

/// The sales of a shop, one line for each, in order.
async fn sales(world: &World) -> Vec<String> {
    let shown = world
        .sql("SELECT concat_ws(' ', id_pedido, id_produto, quantidade, valor, moeda, timestamp, regiao) AS venda FROM vendas ORDER BY venda")
        .await;
    shown
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| ")?.trim_end_matches(" |").trim_end().to_owned()))
        .skip(1)
        .collect()
}

async fn imported(world: &World, name: &str, bytes: &[u8], read: Read<'_>) -> ImportReport {
    let path = world.dir.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    world.import_read(&path, "vendas", read).await.expect("imported")
}

fn refused(imported: &ImportReport) -> Vec<(i64, &str)> {
    imported.examples.iter().map(|row| (row.line, row.reason.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_with_the_month_first() {
    let world = World::new();
    let text = "Pedido,Produto,Qtd,Preco,Data\n1,a,2,2.50,12/1/2010 8:26\n2,b,1,10.00,12/13/2010 10:00\n3,b,1,1.00,1/4/2011 11:15\n";
    let map = [("Preco", "preco")];
    let came = imported(&world, "a.csv", text.as_bytes(), Read { map: &map, ..Read::default() }).await;
    assert_eq!((came.accepted, came.refused), (3, 0), "{came:?}");
    let expected = [
        "1 a 2 5.00 BRL 2010-12-01T10:26:00Z",
        "2 b 1 10.00 BRL 2010-12-13T12:00:00Z",
        "3 b 1 1.00 BRL 2011-01-04T13:15:00Z",
    ];
    assert_eq!(sales(&world).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_that_nothing_tells_stop_the_file_until_the_user_says() {
    let world = World::new();
    let path = world.write("a.csv", "Pedido,Valor,Data\n1,2.50,12/01/2010\n2,2.50,11/02/2010\n3,2.50,13/02/2010x\n");
    let error = world.import(&path, "vendas").await.expect_err("asked").to_string();
    assert!(error.contains("12/01/2010 (line 2) and 11/02/2010 (line 3)") && error.contains("--dates"), "{error}");
    assert!(sales(&world).await.is_empty(), "nothing came in");
    let read = Read { dates: Some(Dates::Dmy), ..Read::default() };
    let came = world.import_read(&path, "vendas", read).await.expect("imported");
    assert_eq!((came.accepted, refused(&came)), (2, vec![(4, "tempo")]));
    assert!(came.examples[0].detail.contains("13/02/2010x"), "as it stands in the file: {came:?}");
    assert!(sales(&world).await[0].contains("2010-01-12"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_with_titles_totals_and_a_second_header() {
    let world = World::new();
    let text = "sep=;\r\nRelatório de vendas;;;;\r\nPeríodo: 01/05/2025 a 31/05/2025;;;;\r\n\r\nPedido;Produto;Qtd;Valor;Data\r\n\
        =\"0001\";'0042;1;R$ 10,00;14/05/2025 10:00\r\n\u{feff}Pedido;Produto;Qtd;Valor;Data\r\n\
        0002;0042;2;1.030,00;14/05/2025 7:16 PM\r\nTOTAL GERAL;;3;1.040,00;\r\n";
    for (name, bytes) in [("a.csv", text.as_bytes().to_vec()), ("b.csv", windows_1252(text)), ("c.txt", utf_16(text))] {
        let world = if name == "a.csv" { &world } else { &World::new() };
        let came = imported(world, name, &bytes, Read::default()).await;
        assert_eq!((came.accepted, came.mistaken(), came.fillers), (2, 0, 2), "{name}: {came:?}");
        assert_eq!(world.ledger().await.len(), 2, "{name}");
        let above = "the header is line 5; what is above it is not read";
        assert_eq!(
            came.notes,
            [above, "2 lines that are totals, headings or titles are left out (the first is line 7)"]
        );
        let expected = ["0001 0042 1 10.00 BRL 2025-05-14T13:00:00Z", "0002 0042 2 1030.00 BRL 2025-05-14T22:16:00Z"];
        assert_eq!(sales(world).await, expected, "{name}");
    }
}

/// Windows-1252 has no byte order mark: the one in the middle is left out.
fn windows_1252(text: &str) -> Vec<u8> {
    let letters = text.chars().filter(|character| *character != '\u{feff}');
    letters.map(|letter| u8::try_from(u32::from(letter)).expect("a Latin letter")).collect()
}

fn utf_16(text: &str) -> Vec<u8> {
    [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_that_never_closes_costs_its_own_row() {
    let world = World::new();
    let text = "Pedido;Produto;Valor;Data\r\nQ1;Cabo 1m;10,00;14/05/2025 10:00\r\nQ2;\"Cabo 2m;10,00;14/05/2025 10:10\r\n\
        Q3;\"Cabo\r\n3m\";10,00;14/05/2025 10:20\r\nQ4;5\" preto;10,00;14/05/2025 10:30\r\n";
    let came = imported(&world, "a.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, refused(&came)), (3, vec![(3, "linha")]), "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_say_their_currency() {
    let world = World::new();
    let text = "Pedido,Valor,Data\n1,\"$1,234.56\",2025-05-14\n2,US$ 99.00,2025-05-14\n3,12.50 USD,2025-05-14\n4,(10.00),2025-05-14\n\
        5,10%,2025-05-14\n6,\"1\u{a0}234.56\",2025-05-14\n7,19.999,2025-05-14\n";
    let came = imported(&world, "a.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, refused(&came)), (4, vec![(5, "valor"), (6, "tipo"), (8, "valor")]), "{came:?}");
    assert!(came.examples[0].detail.contains("(10.00)"), "{came:?}");
    let sales = sales(&world).await;
    let amounts: Vec<_> = sales.iter().map(|sale| sale.split(" 2025").next().unwrap_or_default()).collect();
    assert_eq!(amounts, ["1 1 1234.56 BRL", "2 1 99.00 USD", "3 1 12.50 USD", "6 1 1234.56 BRL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_dates_that_can_be_read_is_all_refused() {
    let world = World::new();
    let came = imported(
        &world,
        "a.csv",
        b"Pedido;Valor;Data\n1;1,00;01/01/0001 00:00:00\n2;1,00;45791,8\n3;1,00;2025-05-14\n",
        Read::default(),
    )
    .await;
    assert_eq!((came.accepted, refused(&came)), (1, vec![(2, "tempo"), (3, "tempo")]));
    assert!(came.examples[0].detail.contains("before the year 1900"), "{came:?}");
    assert!(came.examples[1].detail.contains("a date without its format"), "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_says_where_the_header_is_and_what_columns_mean() {
    let world = World::new();
    let text = "Data;Pedido\n01/05/2025;31/05/2025\nPedido;Valor;Data;Valor;Hora\nK1;10,00;14/05/2025;20,00;19:16\n";
    let map = [("#2", "preco"), ("Valor_2", "valor_total")];
    let read = Read { map: &map, header_row: Some(3), ..Read::default() };
    let came = imported(&world, "a.csv", text.as_bytes(), read).await;
    assert_eq!((came.accepted, came.unused.len()), (1, 0), "{came:?}");
    assert_eq!(sales(&world).await, ["K1 1 20.00 BRL 2025-05-14T22:16:00Z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_with_am_and_pm_are_of_one_clock() {
    let world = World::new();
    let text = "Pedido,Valor,Data\n1,1.00,2025-05-14 13:00 PM\n2,1.00,2025-05-14 00:30 AM\n3,1.00,2025-05-14 9:00 AM\n";
    let came = imported(&world, "a.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, came.refused), (3, 0), "a clock of 24 hours, and its halves: {came:?}");
    assert!(sales(&world).await[0].contains("2025-05-14T16:00:00Z"));
    // The second can only be on a clock of 12 hours, so the first is a slip; the others are on
    // neither.
    let text = "Pedido,Valor,Data\n1,1.00,2025-05-15 13:00 PM\n2,1.00,2025-05-15 1:00 PM\n3,1.00,2025-05-15 13:00 AM\n4,1.00,2025-05-15 0:15 PM\n";
    let came = imported(&world, "b.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, refused(&came)), (1, vec![(2, "tempo"), (4, "tempo"), (5, "tempo")]), "{came:?}");
    let text = "Pedido,Valor,Data,Hora\n1,1.00,2025-05-16,13:00 PM\n2,1.00,2025-05-16,1:00 PM\n";
    let came = imported(&world, "c.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, refused(&came)), (1, vec![(2, "tempo")]), "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_for_nothing_are_not_event_ids() {
    let world = World::new();
    let nil = "00000000-0000-0000-0000-000000000000";
    let ids = ["null", "NULL", "undefined", "NaN", "None", "", "e1", "e1", "0", "0", "-", "-", "N/A", "#N/D", nil, nil];
    let rows = ids.iter().enumerate().map(|(n, id)| format!("{n},1.00,2025-05-14,{id}\n"));
    let text = format!("Pedido,Valor,Data,id_evento\n{}", rows.collect::<String>());
    let came = imported(&world, "a.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, came.duplicate, came.refused), (15, 1, 0), "{came:?}");
    // They are known by order, product, time and value like any other row without an id.
    let again = imported(&world, "b.csv", format!("{text}99,1.00,2025-05-14,null\n").as_bytes(), Read::default()).await;
    assert_eq!((again.accepted, again.known + again.duplicate), (1, 16), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_for_nothing_are_not_orders() {
    let world = World::new();
    let orders = ["null", "N/A", "-", "-", "#N/D", "0", "A1"];
    let rows: String = orders.iter().enumerate().map(|(n, id)| format!("{id},p1,{n}.00,2025-05-14\n")).collect();
    let text = format!("Pedido,Produto,Valor,Data\n{rows}");
    let came = imported(&world, "a.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, came.duplicate, came.refused), (7, 0, 0), "{came:?}");
    let found = world.sql("SELECT count(id_pedido) AS n, min(id_pedido) AS o FROM vendas").await;
    assert!(found.contains("| 1 | A1 |"), "{found}");
    let again = imported(&world, "b.csv", format!("{text}-,p2,1.00,2025-05-14\n").as_bytes(), Read::default()).await;
    assert_eq!((again.accepted, again.known), (1, 7), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_reports_that_are_no_rows_are_no_refused_rows_either() {
    let header = "Data;Produto;Qtde;Preco\n";
    let row = "14/05/2025;a;1;10,50\n";
    for (lines, fillers) in [
        ("Subtotal;;2;21,00\nTotal geral;;2;21,00\n", 2),
        ("Total do dia;;2;21,00\n", 1),
        ("Vendas de junho\n;;\n", 1),
        ("Data;Produto;Qtde;Preco\n", 1),
        ("Total geral;;2;21,00", 1),
        ("Gerado em 14/05/2025", 1),
        ("\u{1a}", 0),
        ("", 0),
    ] {
        let world = World::new();
        let text = format!("{header}{row}{row}{lines}");
        let came = imported(&world, "a.csv", text.as_bytes(), Read::default()).await;
        assert_eq!((came.accepted, came.refused, came.fillers), (2, fillers, fillers), "{lines}: {came:?}");
        assert_eq!(world.ledger().await.len() as u64, fillers, "{lines}");
        // What is cut off or wrong was meant to be a row.
        let text = format!("{header}{row}15/05/2025;b\n{row}{lines}");
        let world = World::new();
        let came = imported(&world, "a.csv", text.as_bytes(), Read::default()).await;
        assert_eq!((came.accepted, came.mistaken()), (2, 1), "{lines}: {came:?}");
        // What is listed is what the import has said.
        let again = imported(&world, "a.csv", text.as_bytes(), Read::default()).await;
        assert_eq!((again.accepted, again.mistaken()), (0, 1), "{lines}: {again:?}");
        assert_eq!(world.listed().await[0].2, [2, 1, 0], "{lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_lines_of_another_width_do_not_hide_the_separator() {
    let row = |n: usize, ends: &str| format!("{n};p{n};1;10,50;14/05/2025{ends}\n");
    for short in [1, 2, 5, 12] {
        let world = World::new();
        let rows: String = (1..=12).map(|n| row(n, if n <= short { "" } else { ";ok" })).collect();
        let text = format!("pedido;produto;quantidade;valor unit\u{e1}rio;data;obs\n{rows}");
        let came = imported(&world, "a.csv", text.as_bytes(), Read::default()).await;
        assert_eq!((came.accepted, came.refused), (12, 0), "{short}: {came:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_may_end_before_a_column_that_may_be_empty_and_before_no_other() {
    let world = World::new();
    let text = "pedido;produto;quantidade;valor;data;regi\u{e3}o\n1;p1;1;10,50;14/05/2025\n2;p2;2;5,00;15/05/2025;SP\n3;p3;1;7,00\n";
    let came = imported(&world, "a.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, refused(&came)), (2, vec![(4, "linha")]), "{came:?}");
    assert!(sales(&world).await[0].ends_with("2025-05-14T03:00:00Z"), "without a region");
    // What a row is worth is not optional, nor is what the file ends in.
    let text = "data;pedido;produto;regi\u{e3}o;valor\n14/05/2025;1;p;SP;1,50\n14/05/2025;2;p;SP\n14/05/2025;3;p\n";
    let came = imported(&World::new(), "a.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, refused(&came)), (1, vec![(3, "linha"), (4, "linha")]), "{came:?}");
    let text = "pedido;valor;data;obs\n1;1,50;14/05/2025;ok\n2;1,50;14/05/2025";
    let came = imported(&World::new(), "a.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, came.refused), (2, 0), "nothing that is used is missing: {came:?}");
    let text = "pedido;valor;data;regi\u{e3}o\n1;1,50;14/05/2025;SP\n2;1,50;14/05/20";
    let came = imported(&World::new(), "a.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, refused(&came)), (1, vec![(3, "linha")]), "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_are_not_understood_name_what_was_taken_for_the_separator() {
    let world = World::new();
    let path = world.write("a.csv", "Ref;Quanto;Quando foi\n1;1,50;14/05/2025\n2;2,50;14/05/2025\n");
    let error = world.import(&path, "vendas").await.expect_err("no column of times").to_string();
    assert!(error.contains("semicolons") && error.contains("sep=;"), "{error}");
    let path = world.write("b.csv", "\"pedido;valor;data\"\n\"1;1,50;14/05/2025\"\n");
    let error = world.import(&path, "vendas").await.expect_err("one cell").to_string();
    assert!(error.contains("quotes as a whole"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn currencies_may_be_written_as_words() {
    let world = World::new();
    let text = "Pedido;Valor;Moeda;Data\n1;1,50;Real;14/05/2025\n2;1,50;Reais;14/05/2025\n3;1,50;D\u{f3}lar;14/05/2025\n\
        4;1,50;US$;14/05/2025\n5;1,50;brl;14/05/2025\n6;1,50;moedas;14/05/2025\n";
    let came = imported(&world, "a.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, refused(&came)), (5, vec![(7, "valor")]), "{came:?}");
    let amounts =
        sales(&world).await.iter().map(|sale| sale.split(' ').nth(3).map(str::to_owned)).collect::<Option<Vec<_>>>();
    assert_eq!(amounts.expect("currencies"), ["BRL", "BRL", "USD", "USD", "BRL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_for_pieces_behind_a_count_are_no_currency() {
    let world = World::new();
    let text = "Pedido;Qtd;Valor;Data\n1;2 und;10,00;14/05/2025\n2;3 PCS;7,00;14/05/2025\n3;1;10,50 kgs;14/05/2025\n";
    let came = imported(&world, "a.csv", text.as_bytes(), Read::default()).await;
    assert_eq!((came.accepted, refused(&came)), (2, vec![(4, "tipo")]), "{came:?}");
    assert!(came.examples[0].detail.contains("10,50 kgs"), "{came:?}");
    assert_eq!(sales(&world).await, ["1 2 10.00 BRL 2025-05-14T03:00:00Z", "2 3 7.00 BRL 2025-05-14T03:00:00Z"]);
}
