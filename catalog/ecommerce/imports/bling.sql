-- Sales orders as Bling exports them, a line for each product. Cancelled orders, drafts, and orders whose status says that they are not paid
-- are left out; an order's discount appears once, on its first line. An open order counts: Bling has it before and after it is paid.
CREATE VIEW bling WITH (
    profile_for = 'vendas', identity = 'item', dates = 'dmy',
    status = 'Situação, Status', status_noted = 'Em aberto', status_note = 'they count, and the file does not say whether they are paid'
) AS
SELECT
    "Número do Pedido" AS id_pedido,
    coalesce(optional("Código do Produto"), optional("Código (SKU)"), "ID do Produto", optional("Descrição do Produto")) AS id_produto,
    "Quantidade" AS quantidade,
    "Preço Unitário" AS preco,
    CASE WHEN linha_do_pedido = 1 THEN optional("Desconto do pedido") END AS desconto,
    momento AS timestamp,
    contato AS id_usuario,
    regiao,
    optional("Loja") AS canal
FROM (
    SELECT
        *,
        row_number() OVER pedido AS linha_do_pedido,
        first_value("Data") IGNORE NULLS OVER pedido AS momento,
        translate(lower(coalesce(first_value(coalesce(optional("Situação"), optional("Status"))) IGNORE NULLS OVER pedido, '')), 'áàâãéêíóôõúç', 'aaaaeeiooouc') AS situacao,
        first_value(optional("ID contato")) IGNORE NULLS OVER pedido AS contato,
        first_value(coalesce(optional("UF"), optional("Estado"))) IGNORE NULLS OVER pedido AS regiao
    FROM arquivo
    WINDOW pedido AS (PARTITION BY "Número do Pedido" ORDER BY linha)
) AS linhas
WHERE NOT regexp_like(
    situacao,
    '^cancelad|^em digita|^rascunho|^pendente$|pagamento pendente|pendente de pagamento|aguardando (o )?pagamento|^nao pag|^pagamento (recusad|negad|expirad)|^boleto (emitid|gerad|impress|pendente|vencid|expirad)'
);
