//! Files of other programs, by the catalog's profiles, and conditions on a file's own columns.

use vitral_batch::import::{Ask, File, recognise, understand};
use vitral_catalog::{Catalog, DEFAULT_DOMAIN, DomainSettings, SourceFile, builtin_files};

use crate::world::{Read, World};

pub const SALES: &str =
    "SELECT concat_ws(' ', id_pedido, id_produto, quantidade, valor, moeda, desconto) AS venda FROM vendas ORDER BY 1";
pub const REFUNDS: &str = "SELECT concat_ws(' ', id_pedido, valor, moeda) AS reembolso FROM reembolsos ORDER BY 1";

/// The rows of a table of one column of texts.
pub async fn rows(world: &World, sql: &str) -> Vec<String> {
    let shown = world.sql(sql).await;
    shown
        .lines()
        .skip(3)
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.trim_end().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_shopify() {
    let world = World::new();
    let path = world.write(
        "orders_export.csv",
        "Name,Email,Financial Status,Currency,Total,Discount Amount,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Cancelled at,Refunded Amount
#1001,a@example.com,paid,USD,140.00,5.00,2025-05-14 10:15:00 -0300,2,Fern print,50.00,FERN-1,,0.00
#1001,a@example.com,,,,,2025-05-14 10:15:00 -0300,1,Tote bag,30.00,TOTE-1,,
#1002,b@example.com,refunded,USD,30.00,0.00,2025-05-14 11:15:00 -0300,1,Tote bag,30.00,TOTE-1,2025-05-14 11:20:00 -0300,30.00
#1003,c@example.com,partially_refunded,USD,60.00,0.00,2025-05-14 12:00:00 -0300,2,Tote bag,30.00,,,30.00
#1004,d@example.com,pending,USD,30.00,0.00,2025-05-14 12:30:00 -0300,1,Tote bag,30.00,TOTE-1,,
",
    );
    let (profile, imported) = world.import_recognised(&path).await;
    assert_eq!(profile, "shopify");
    assert!(imported.iter().all(|imported| imported.refused == 0), "{imported:?}");
    assert_eq!(
        imported[0].notes,
        ["profile shopify: 2 of the file's rows are left out (Financial Status: refunded 1, pending 1)"]
    );
    assert_eq!(
        rows(&world, SALES).await,
        ["#1001 FERN-1 2 100.00 USD 5.00", "#1001 TOTE-1 1 30.00 USD", "#1003 Tote bag 2 60.00 USD 0.00"]
    );
    assert_eq!(rows(&world, REFUNDS).await, ["#1003 30.00 USD"]);
    assert_eq!(
        rows(&world, "SELECT DISTINCT id_usuario FROM vendas ORDER BY 1").await,
        ["a@example.com", "c@example.com"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_of_nuvemshop() {
    let world = World::new();
    let path = world.write(
        "vendas.csv",
        "Número do Pedido;E-mail;Data;Status do Pedido;Status do Pagamento;Subtotal;Desconto;Total;Estado;Nome do Produto;Valor do Produto;Quantidade Comprada;SKU;Moeda
5001;ana@example.com;14/05/2025 19:16:00;Aberto;Confirmado;180.00;10.00;190.00;SP;Camiseta;100.00;1;CAM-01;BRL
5001;ana@example.com;;;;;;;;Boné;40.00;2;BON-02;
5002;bia@example.com;14/05/2025 20:00:00;Cancelado;Recusado;100.00;0.00;100.00;RJ;Camiseta;100.00;1;CAM-01;BRL
5003;caio@example.com;15/05/2025 08:00:00;Arquivado;Estornado;100.00;10.00;110.00;RJ;Camiseta;100.00;1;CAM-01;BRL
",
    );
    let (profile, _) = world.import_recognised(&path).await;
    assert_eq!(profile, "nuvemshop");
    assert_eq!(
        rows(&world, SALES).await,
        ["5001 BON-02 2 80.00 BRL", "5001 CAM-01 1 100.00 BRL 10.00", "5003 CAM-01 1 100.00 BRL 10.00"]
    );
    assert_eq!(rows(&world, REFUNDS).await, ["5003 90.00 BRL"]);

    // The same shop with commas, and an order whose payment nobody filled in.
    let world = World::new();
    let path = world.write(
        "vendas.csv",
        "Número do Pedido;E-mail;Data;Status do Pedido;Status do Pagamento;Subtotal;Desconto;Total;Nome do Produto;Valor do Produto;Quantidade Comprada;SKU;Moeda
6001;ana@example.com;14/05/2025 19:16:00;Aberto;Estornado;1.300,00;100,00;1.220,00;Sofá;1.300,00;1;SOFA;BRL
6002;bia@example.com;15/05/2025 19:16:00;Aberto;;80,50;0,00;80,50;Boné;80,50;1;BON;BRL
",
    );
    world.import_recognised(&path).await;
    assert_eq!(rows(&world, SALES).await, ["6001 SOFA 1 1300.00 BRL 100.00", "6002 BON 1 80.50 BRL 0.00"]);
    assert_eq!(rows(&world, REFUNDS).await, ["6001 1200.00 BRL"]);
}

/// In a spreadsheet, somebody has copied what is of the order to each of its lines.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_filled_down_gives_its_refund_once() {
    let cases: [(&str, &str, [&str; 2], &str); 2] = [
        (
            "shopify",
            "Name,Email,Financial Status,Currency,Total,Discount Amount,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Cancelled at,Refunded Amount
#1001,a@example.com,partially_refunded,USD,130.00,5.00,2025-05-14 10:15:00 -0300,2,Fern print,50.00,FERN-1,,30.00
#1001,a@example.com,partially_refunded,USD,130.00,5.00,2025-05-14 10:15:00 -0300,1,Tote bag,30.00,TOTE-1,,30.00
",
            ["#1001 FERN-1 2 100.00 USD 5.00", "#1001 TOTE-1 1 30.00 USD"],
            "#1001 30.00 USD",
        ),
        (
            "nuvemshop",
            "Número do Pedido;E-mail;Data;Status do Pedido;Status do Pagamento;Subtotal;Desconto;Total;Estado;Nome do Produto;Valor do Produto;Quantidade Comprada;SKU;Moeda
5001;ana@example.com;14/05/2025 19:16:00;Aberto;Estornado;180.00;10.00;190.00;SP;Camiseta;100.00;1;CAM-01;BRL
5001;ana@example.com;14/05/2025 19:16:00;Aberto;Estornado;180.00;10.00;190.00;SP;Boné;40.00;2;BON-02;BRL
",
            ["5001 BON-02 2 80.00 BRL", "5001 CAM-01 1 100.00 BRL 10.00"],
            "5001 170.00 BRL",
        ),
    ];
    for (name, text, sales, refund) in cases {
        let world = World::new();
        let path = world.write("export.csv", text);
        let (profile, imported) = world.import_recognised(&path).await;
        assert_eq!(profile, name);
        let came: Vec<_> = imported.iter().map(|imported| (imported.accepted, imported.refused)).collect();
        assert_eq!(came, [(2, 0), (1, 0)], "{name}: {imported:?}");
        assert_eq!(rows(&world, SALES).await, sales, "{name}");
        assert_eq!(rows(&world, REFUNDS).await, [refund], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_of_profiles_are_read_like_any_other_or_refused_by_their_cell() {
    let world = World::new();
    let path = world.write(
        "vendas.csv",
        "Número do Pedido;E-mail;Data;Status do Pedido;Status do Pagamento;Subtotal;Desconto;Total;Nome do Produto;Valor do Produto;Quantidade Comprada;SKU;Moeda
6001;a@example.com;14/05/2025 19:16:00;Aberto;Estornado;R$ 1.300,00;R$ 100,00;R$ 1.220,00;Sofá;R$ 1.300,00;1;SOFA;BRL
6002;b@example.com;15/05/2025 19:16:00;Aberto;Estornado;1.200;20,50;1.179,50;Mesa;1.200,00;1;MESA;BRL
6003;c@example.com;15/05/2025 19:16:00;Aberto;Estornado;oitenta;0,50;80,00;Boné;80,50;1;BON;BRL
6004;d@example.com;15/05/2025 19:16:00;Aberto;Estornado;R$ 500,00;;500,00;Mala;500,00;1;MALA;BRL
",
    );
    let (_, imported) = world.import_recognised(&path).await;
    assert_eq!(rows(&world, REFUNDS).await, ["6001 1200.00 BRL", "6002 1179.50 BRL", "6004 500.00 BRL"]);
    assert_eq!(imported[1].refused, 1, "{imported:?}");
    assert!(imported[1].examples[0].detail.contains("oitenta"), "{imported:?}");

    let world = World::new();
    let path = world.write(
        "orders.csv",
        "Name,Financial Status,Currency,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Refunded Amount
#1,refunded,USD,2025-05-14 12:00:00 -0300,2,Tote bag,30.00,TOTE-1,ten
#2,refunded,USD,2025-05-14 12:00:00 -0300,2,Tote bag,30.00,TOTE-1,0.00
#3,refunded,USD,2025-05-14 12:00:00 -0300,2,Tote bag,30.00,TOTE-1,7.00
",
    );
    let (_, imported) = world.import_recognised(&path).await;
    assert_eq!(rows(&world, REFUNDS).await, ["#3 7.00 USD"]);
    assert!(imported[1].examples[0].detail.contains("ten"), "{imported:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invoices_of_online_retail() {
    let world = World::new();
    let second = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country
700001,A-10,Mug,6,2010-12-01 08:26:00,2.55,50001.0,United Kingdom
C700003,A-10,Mug,-6,2010-12-02 10:00:00,2.55,50001.0,United Kingdom
700004,A-99,Adjust bad debt,1,2010-12-03 10:00:00,-50.00,,United Kingdom
";
    let path = world.write("online_retail_II.csv", second);
    let (profile, imported) = world.import_recognised(&path).await;
    assert_eq!(profile, "online_retail");
    assert_eq!(
        imported.iter().map(|imported| imported.refused).collect::<Vec<_>>(),
        [1, 0],
        "a price cannot be negative"
    );
    let first =
        second.replace("Invoice,", "InvoiceNo,").replace("Price", "UnitPrice").replace("Customer ID", "CustomerID");
    let path = world.write("data.csv", &first.replace("70000", "50000"));
    assert_eq!(world.import_recognised(&path).await.0, "online_retail");
    assert_eq!(rows(&world, SALES).await, ["500001 A-10 6 15.30 GBP", "700001 A-10 6 15.30 GBP"]);
    assert_eq!(rows(&world, REFUNDS).await, ["C500003 15.30 GBP", "C700003 15.30 GBP"]);
}

/// One order with its lines, one that is cancelled, for each of the other programs.
#[tokio::test(flavor = "multi_thread")]
async fn exports_of_other_programs() {
    let cases: [(&str, &str, &[&str]); 6] = [
        (
            "woocommerce",
            "Order Number,Order Status,Order Date,Email (Billing),SKU,Item Name,Quantity (- Refund),Item Cost,Order Total Amount
71,Completed,2025-05-14 10:00,a@example.com,S1,Mug,2,10.50,31.00
71,,,,S2,Lamp,1,10.00,
71,,,,S3,Vase,0,10.00,
72,Cancelled,2025-05-14 11:00,b@example.com,S1,Mug,1,10.50,10.50
",
            &["71 S1 2 21.00 BRL", "71 S2 1 10.00 BRL"],
        ),
        (
            "vtex",
            "Origin;Order;Creation Date;Client Document;UF;Status;Quantity_SKU;ID_SKU;SKU Value;SKU Selling Price;Total Value
Marketplace;v1-01;2025-05-14 22:16:00Z;111;SP;Faturado;2;31;20,00;15,50;41,00
Marketplace;v2-01;2025-05-14 23:16:00Z;222;SP;Cancelado;1;31;20,00;15,50;25,50
",
            &["v1-01 31 2 31.00 BRL"],
        ),
        (
            "mercado_livre",
            "N.º de venda;Data da venda;Estado;SKU;Unidades;Preço unitário de venda do anúncio (BRL);Total (BRL)
2001;14 de maio de 2025 19:16 hs.;Pacote de 2 produtos;;;;150,00
2002;14 de maio de 2025 19:16 hs.;Entregue;SKU-1;1;100,00;
2003;14 de maio de 2025 19:16 hs.;Entregue;SKU-2;2;25,00;
2004;15 de maio de 2025 08:01 hs.;Venda cancelada;SKU-1;1;100,00;0
",
            &["2002 SKU-1 1 100.00 BRL", "2003 SKU-2 2 50.00 BRL"],
        ),
        (
            "bling",
            "Número do Pedido;Status;Data;ID contato;Estado;Desconto do pedido;ID do Produto;Descrição do Produto;Preço Unitário;Quantidade
81;Atendido;14/05/2025;9;SP;3,00;A1;Caneca;10,50;2
81;;;;;;A2;Prato;20,00;1
82;Cancelado;14/05/2025;9;SP;0,00;A1;Caneca;10,50;2
",
            &["81 A1 2 21.00 BRL 3.00", "81 A2 1 20.00 BRL"],
        ),
        (
            "tiny",
            "ID;Número do pedido;Data;ID contato;UF;Situação;ID produto;Descrição;Quantidade;Valor unitário;Código (SKU)
1;91;14/05/2025;9;SP;Aprovado;55;Caneca;2;10,50;C-1
1;91;;;;;56;Prato;1;20,00;
2;92;14/05/2025;9;SP;Cancelado;55;Caneca;1;10,50;C-1
",
            &["91 56 1 20.00 BRL", "91 C-1 2 21.00 BRL"],
        ),
        (
            "olist",
            "order_id,order_item_id,product_id,price,freight_value,order_status,order_purchase_timestamp,customer_state
ab12,1,p1,58.90,13.29,delivered,2017-09-13 08:59:02,SP
ab12,2,p1,58.90,13.29,delivered,2017-09-13 08:59:02,SP
cd34,1,p2,10.00,5.00,canceled,2017-09-14 08:59:02,SP
",
            &["ab12 p1 1 58.90 BRL", "ab12 p1 1 58.90 BRL"],
        ),
    ];
    for (name, text, expected) in cases {
        let world = World::new();
        let path = world.write("export.csv", text);
        let (profile, imported) = world.import_recognised(&path).await;
        assert_eq!(profile, name);
        assert_eq!(imported.first().map(|imported| imported.refused), Some(0), "{name}: {imported:?}");
        assert_eq!(rows(&world, SALES).await, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_on_the_files_own_columns() {
    let world = World::new();
    let text = "Pedido;Produto;Qtd;Valor;Data;Situação
G1;p1;1;10,00;14/05/2025 10:00;Atendido
G2;p1;1;10,00;14/05/2025 10:10;Cancelado
G3;p1;1;10,00;14/05/2025 10:20;Atendido
";
    let path = world.write("a.csv", text);
    let ask =
        |condition: &str| Ask { profile: None, condition: Some(Ask::parse_condition(condition).expect("a condition")) };
    let read = Read { ask: ask("\"Situação\" <> 'Cancelado'"), ..Read::default() };
    let imported = world.import_read(&path, "vendas", read).await.expect("imported");
    assert_eq!((imported.accepted, imported.notes.len()), (2, 1), "{imported:?}");
    let read = Read { ask: ask("situacao = 'Cancelado'"), ..Read::default() };
    assert_eq!(
        world.import_read(&path, "vendas", read).await.expect("imported").accepted,
        1,
        "unquoted, without accents"
    );
    let read = Read { ask: ask("\"Status\" = 'x'"), ..Read::default() };
    let error = world.import_read(&path, "vendas", read).await.expect_err("no such column").to_string();
    assert!(error.contains("Status") && error.contains("Situação"), "{error}");
    assert!(Ask::parse_condition("a = 1; DROP TABLE x").is_err());
    let read = Read { ask: ask("CAST(\"Qtd\" AS BIGINT) + 9223372036854775807 < 0"), ..Read::default() };
    let error = world.import_read(&path, "vendas", read).await.expect_err("integers do not wrap").to_string();
    assert!(error.contains("does not fit its type"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_nobody_is_not_recognised() {
    let world = World::new();
    let path = world.write("a.csv", "Pedido;Produto;Valor;Data\nA;p;1,00;14/05/2025\n");
    assert_eq!(world.import_recognised(&path).await, (String::new(), Vec::new()));
}

#[tokio::test]
async fn profiles_are_planned_by_a_check_of_the_catalog() {
    let settings = DomainSettings::default();
    let errors = async |sql: &str| {
        let file = SourceFile { path: "p.sql".to_owned(), text: sql.to_owned() };
        let catalog = Catalog::parse(&[builtin_files(&[DEFAULT_DOMAIN]), vec![file]], &settings).expect("parsed");
        let errors = vitral_batch::planning::errors(&catalog, &settings).await.expect("planned");
        errors.into_iter().map(|error| error.to_string()).collect::<Vec<_>>()
    };
    let right = r#"CREATE VIEW p WITH (profile_for = 'vendas') AS SELECT "A" AS id_pedido, optional("B") AS preco FROM arquivo"#;
    assert_eq!(errors(right).await, Vec::<String>::new());
    let unknown = errors(&right.replace("id_pedido", "pedido")).await;
    assert!(unknown.len() == 1 && unknown[0].contains("p.sql:1") && unknown[0].contains("pedido"), "{unknown:?}");
    let function = errors(&right.replace("\"A\" AS", "nonsense(\"A\") AS")).await;
    assert!(function.len() == 1 && function[0].contains("nonsense"), "{function:?}");
}

const BOTH: &str = r#"
CREATE VIEW loja WITH (profile_for = 'vendas') AS SELECT "Nº" AS id_pedido, "Preço" AS preco, "Dia" AS timestamp FROM arquivo;
CREATE VIEW loja_reembolsos WITH (profile_for = 'reembolsos', profile = 'loja') AS
SELECT "Nº" AS id_pedido, "Devolvido" AS valor_total, "Dia" AS timestamp FROM arquivo WHERE "Devolvido" IS NOT NULL;
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_table_of_a_file_shows_holds_for_the_others() {
    let mut world = World::new();
    world.write("catalogo/loja.sql", BOTH);
    world.catalog =
        Catalog::load(&[world.dir.path().join("catalogo")], &DomainSettings::default()).expect("the catalog");
    // Of the refunds alone nobody could tell: 1.500 and 03/04/2025.
    let path = world.write("a.csv", "Nº;Preço;Dia;Devolvido\n1;2.000,50;13/04/2025;\n2;3.000;03/04/2025;1.500\n");
    assert_eq!(world.import_recognised(&path).await.0, "loja");
    assert_eq!(rows(&world, REFUNDS).await, ["2 1500.00 BRL"]);
    let days = "SELECT CAST(data AS VARCHAR) AS dia FROM reembolsos";
    assert_eq!(rows(&world, days).await, ["2025-04-03"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_one_table_keeps_the_file_out_of_the_others() {
    let mut world = World::new();
    world.write("catalogo/loja.sql", BOTH);
    world.catalog =
        Catalog::load(&[world.dir.path().join("catalogo")], &DomainSettings::default()).expect("the catalog");
    let path = world.write(
        "a.csv",
        "Nº;Preço;Dia;Devolvido\n1;2.00;13/04/2025;\n2;3.00;14/04/2025;1.500,00\n3;3.00;14/04/2025;1,500.00\n",
    );
    let file = File { name: path.display().to_string(), path };
    let views = recognise(&file, &world.catalog.profiles, None, &[]).expect("read");
    let mut imports = world.by_profile(&views);
    assert_eq!(imports.len(), 2);
    let error = understand(&mut imports, &file, |_, _| {}).expect_err("both forms in one column").to_string();
    assert!(error.contains("1.500,00 (line 3)") && error.contains("1,500.00 (line 4)"), "{error}");
}
