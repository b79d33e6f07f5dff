-- Sales orders as Tiny exports them, a line for each product. Cancelled orders, drafts, and orders whose status says that they are not paid
-- are left out. An open order counts: Tiny has it before and after it is paid.
CREATE VIEW tiny WITH (
    profile_for = 'vendas', identity = 'item', dates = 'dmy',
    status = 'Situação', status_noted = 'Em aberto, Aberto', status_note = 'they count, and the file does not say whether they are paid'
) AS
SELECT
    "Número do pedido" AS id_pedido,
    coalesce(optional("Código (SKU)"), "ID produto", "Descrição") AS id_produto,
    "Quantidade" AS quantidade,
    "Valor unitário" AS preco,
    momento AS timestamp,
    contato AS id_usuario,
    regiao,
    canal
FROM (
    SELECT
        *,
        first_value("Data") IGNORE NULLS OVER pedido AS momento,
        translate(lower(coalesce(first_value(optional("Situação")) IGNORE NULLS OVER pedido, '')), 'áàâãéêíóôõúç', 'aaaaeeiooouc') AS situacao,
        first_value("ID contato") IGNORE NULLS OVER pedido AS contato,
        first_value(optional("UF")) IGNORE NULLS OVER pedido AS regiao,
        first_value(optional("Canal de venda")) IGNORE NULLS OVER pedido AS canal
    FROM arquivo
    WINDOW pedido AS (PARTITION BY "Número do pedido" ORDER BY linha)
) AS linhas
WHERE NOT regexp_like(
    situacao,
    '^cancelad|^dados incompletos|^em digita|^rascunho|^pendente$|pagamento pendente|pendente de pagamento|aguardando (o )?pagamento|^nao pag|^pagamento (recusad|negad|expirad)|^boleto (emitid|gerad|impress|pendente|vencid|expirad)'
);
