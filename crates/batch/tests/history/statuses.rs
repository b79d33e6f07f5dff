//! Orders that are not paid: left out by each program's profile, and named with their number; of
//! files of nobody pointed out.

use vitral_batch::import::ImportReport;

use crate::profiles::rows;
use crate::world::World;

const ORDERS: &str = "SELECT DISTINCT id_pedido FROM vendas ORDER BY 1";

/// Imports a file in which each line is an order of another state, `@` in the line; which of them
/// count, and what is said.
async fn states(profile: &str, header: &str, line: &str, states: &[&str]) -> (Vec<String>, ImportReport) {
    let world = World::new();
    let lines =
        states.iter().enumerate().map(|(n, state)| line.replace('#', &format!("p{n}")).replace('@', state) + "\n");
    let path = world.write("export.csv", &format!("{header}\n{}", lines.collect::<String>()));
    let (found, mut imported) = world.import_recognised(&path).await;
    assert_eq!(found, profile);
    let counted = rows(&world, ORDERS).await;
    let state = |order: String| states[order[1..].parse::<usize>().expect("its number")].to_owned();
    (counted.into_iter().map(state).collect(), imported.remove(0))
}

/// A profile, its headings, a line of a file, statuses that count, and statuses that do not.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [&'a str], &'a [&'a str]);

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_are_not_paid_are_left_out_and_named() {
    let woocommerce = "Order Number,Order Status,Order Date,Email (Billing),SKU,Item Name,Quantity (- Refund),Item Cost,Order Total Amount";
    let vtex = "Origin;Order;Creation Date;Client Document;UF;Status;Quantity_SKU;ID_SKU;SKU Value;SKU Selling Price;Total Value";
    let nuvemshop = "N\u{fa}mero do Pedido;E-mail;Data;Status do Pedido;Status do Pagamento;Subtotal;Desconto;Total;Nome do Produto;Valor do Produto;Quantidade Comprada;SKU;Moeda";
    let mercado_livre = "N.\u{ba} de venda;Data da venda;Estado;SKU;Unidades;Pre\u{e7}o unit\u{e1}rio de venda do an\u{fa}ncio (BRL);Total (BRL)";
    let bling = "N\u{fa}mero do Pedido;Status;Data;ID contato;Estado;Desconto do pedido;ID do Produto;Descri\u{e7}\u{e3}o do Produto;Pre\u{e7}o Unit\u{e1}rio;Quantidade";
    let tiny = "ID;N\u{fa}mero do pedido;Data;ID contato;UF;Situa\u{e7}\u{e3}o;ID produto;Descri\u{e7}\u{e3}o;Quantidade;Valor unit\u{e1}rio;C\u{f3}digo (SKU)";
    let olist =
        "order_id,order_item_id,product_id,price,freight_value,order_status,order_purchase_timestamp,customer_state";
    let cases: [Case<'_>; 7] = [
        (
            "woocommerce",
            woocommerce,
            "#,@,2025-05-14 10:00,a@x,S1,Mug,2,10.50,21.00",
            &["Completed", "Conclu\u{ed}do", "wc-processing", "Processando", "Enviado"],
            &[
                "On hold",
                "Aguardando",
                "Pending payment",
                "Pagamento pendente",
                "Failed",
                "Malsucedido",
                "Refunded",
                "wc-checkout-draft",
            ],
        ),
        (
            "vtex",
            vtex,
            "M;#;2025-05-14 10:00:00Z;1;SP;@;2;31;20,00;15,50;41,00",
            &[
                "Faturado",
                "Pagamento aprovado",
                "Car\u{ea}ncia para cancelamento",
                "Preparando entrega",
                "invoiced",
                "window-to-cancel",
                "Janela para cancelamento",
                "ready-for-invoicing",
            ],
            &[
                "Pagamento Negado",
                "Pagamento pendente",
                "Aguardando autoriza\u{e7}\u{e3}o para despachar",
                "payment-pending",
                "waiting-ffmt-authorization",
                "Cancelado",
                "Cancelamento solicitado",
                "order-created",
                "Pedido aceito",
            ],
        ),
        (
            "nuvemshop",
            nuvemshop,
            "#;a@x;14/05/2025 19:16:00;Aberto;@;100.00;5.00;95.00;Camisa;100.00;1;CAM;BRL",
            &["Confirmado", "Recebido", "Estornado"],
            &["Em an\u{e1}lise", "Pendente", "Recusado", "Anulado", "Autorizado", "Pending"],
        ),
        (
            "mercado_livre",
            mercado_livre,
            "#;14 de maio de 2025 19:16 hs.;@;SKU;1;100,00;100,00",
            &["Entregue", "A caminho", "Aguardando libera\u{e7}\u{e3}o do pagamento"],
            &["Venda cancelada", "Pagamento pendente", "Aguardando o pagamento"],
        ),
        (
            "bling",
            bling,
            "#;@;14/05/2025;9;SP;0,00;A1;Caneca;10,50;2",
            &["Atendido", "Em andamento", "Aguardando envio", "Boleto pago"],
            &["Cancelado", "Em digita\u{e7}\u{e3}o", "Aguardando pagamento", "N\u{e3}o pago", "Boleto emitido"],
        ),
        (
            "tiny",
            tiny,
            "1;#;14/05/2025;9;SP;@;55;Caneca;2;10,50;C-1",
            &["Aprovado", "Faturado", "Entregue"],
            &["Cancelado", "Dados incompletos", "Pagamento pendente", "Pendente"],
        ),
        (
            "olist",
            olist,
            "#,1,p1,58.90,13.29,@,2017-09-13 08:59:02,SP",
            &["delivered", "approved", "shipped"],
            &["created", "canceled", "unavailable"],
        ),
    ];
    for (profile, header, line, paid, unpaid) in cases {
        let (counted, imported) = states(profile, header, line, &[paid, unpaid].concat()).await;
        assert_eq!(counted, paid, "{profile}");
        let note = imported.notes.iter().find(|note| note.contains("left out")).expect(profile);
        let said =
            unpaid.iter().all(|state| note.contains(&format!("{state} ")) || note.contains(&format!("{state} /")));
        assert!(said && note.contains(&format!(" {} of the file's rows are", unpaid.len())), "{profile}: {note}");
        let (_, one) = states(profile, header, line, &[paid, &unpaid[..1]].concat()).await;
        assert!(one.notes.iter().any(|note| note.contains(" 1 of the file's rows is left out")), "{:?}", one.notes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_counts_with_a_reservation_says_so() {
    let header = "N\u{fa}mero do Pedido;E-mail;Data;Status do Pedido;Status do Pagamento;Subtotal;Desconto;Total;Nome do Produto;Valor do Produto;Quantidade Comprada;SKU;Moeda";
    let line =
        "#;a@x;14/05/2025 19:16:00;Aberto;@;100.00;5.00;95.00;Camisa;100.00;1;CAM;BRL\n#;;;;;;;;Meia;10.00;1;MEIA;";
    let (counted, imported) =
        states("nuvemshop", header, line, &["Confirmado", "Parcialmente estornado", "Recusado"]).await;
    assert_eq!(counted, ["Confirmado", "Parcialmente estornado"]);
    let said = |words: &str| imported.notes.iter().any(|note| note.contains(words));
    assert!(said("2 rows with Parcialmente estornado / Aberto: they count in full"), "{imported:?}");
    // The lines of an order have its state.
    assert!(said("Recusado / Aberto 2"), "{imported:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn states_before_the_payment_are_pointed_out_in_files_of_nobody() {
    for state in ["Aguardando pagamento", "Pendente", "N\u{e3}o pago", "Boleto emitido", "pending", "Unpaid", "On hold"]
    {
        let world = World::new();
        let text = format!(
            "pedido;produto;valor;data;situa\u{e7}\u{e3}o\n1;p;1,50;14/05/2025;Pago\n2;p;1,50;14/05/2025;{state}\n"
        );
        let path = world.write("a.csv", &text);
        let imported = world.import(&path, "vendas").await.expect("imported");
        assert_eq!(imported.accepted, 2, "as with cancelled rows");
        let said = imported.notes.iter().any(|note| note.contains(state) && note.contains("NOT IN"));
        assert!(said, "{state}: {imported:?}");
    }
}
