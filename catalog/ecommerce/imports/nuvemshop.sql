-- Sales as Nuvemshop (Tiendanube) exports them. An order's further products have only its number and what is of the product.
-- Orders count whose payment came, whatever was given back of it later, and those of which the file does not say; cancelled ones are left out.
-- An order's discount appears once, on its first line.
CREATE VIEW nuvemshop WITH (
    profile_for = 'vendas', identity = 'item', dates = 'dmy', status = 'Status do Pagamento, Status do Pedido',
    status_noted = 'Parcialmente estornado, Parcialmente reembolsado, Parcialmente devolvido, Partially refunded',
    status_note = 'they count in full, as the file does not say how much was given back'
) AS
SELECT
    "Número do Pedido" AS id_pedido,
    coalesce(optional("SKU"), "Nome do Produto") AS id_produto,
    "Quantidade Comprada" AS quantidade,
    "Valor do Produto" AS preco,
    CASE WHEN linha_do_pedido = 1 THEN optional("Desconto") END AS desconto,
    momento AS timestamp,
    moeda,
    coalesce(optional("E-mail"), email) AS id_usuario,
    regiao,
    canal
FROM (
    SELECT
        *,
        row_number() OVER pedido AS linha_do_pedido,
        first_value("Data") IGNORE NULLS OVER pedido AS momento,
        lower(first_value("Status do Pedido") IGNORE NULLS OVER pedido) AS situacao,
        translate(lower(first_value("Status do Pagamento") IGNORE NULLS OVER pedido), 'áàâãéêíóôõúç', 'aaaaeeiooouc') AS pagamento,
        first_value(optional("Moeda")) IGNORE NULLS OVER pedido AS moeda,
        first_value(optional("E-mail")) IGNORE NULLS OVER pedido AS email,
        first_value(optional("Estado")) IGNORE NULLS OVER pedido AS regiao,
        first_value(optional("Canal")) IGNORE NULLS OVER pedido AS canal
    FROM arquivo
    WINDOW pedido AS (PARTITION BY "Número do Pedido" ORDER BY linha)
) AS linhas
WHERE coalesce(situacao, '') NOT LIKE 'cancelad%'
    AND coalesce(pagamento, '') IN (
        '', 'confirmado', 'recebido', 'pago', 'aprovado', 'parcialmente pago', 'paid', 'received', 'approved', 'partially paid',
        'estornado', 'reembolsado', 'devolvido', 'parcialmente estornado', 'parcialmente reembolsado', 'parcialmente devolvido',
        'refunded', 'partially refunded'
    );

-- Orders whose payment was given back: their products less the discount, on the order's own date, as the file has no other.
CREATE VIEW nuvemshop_reembolsos WITH (profile_for = 'reembolsos', profile = 'nuvemshop', identity = 'item') AS
SELECT
    "Número do Pedido" AS id_pedido,
    "Data" AS timestamp,
    difference(optional("Subtotal"), optional("Desconto")) AS valor_total,
    optional("Moeda") AS moeda,
    optional("E-mail") AS id_usuario,
    optional("Estado") AS regiao,
    optional("Canal") AS canal
FROM (
    SELECT *, row_number() OVER (PARTITION BY "Número do Pedido" ORDER BY linha) AS linha_do_pedido
    FROM arquivo
    WHERE "Data" IS NOT NULL
) AS linhas
WHERE linha_do_pedido = 1
    AND lower(coalesce("Status do Pedido", '')) NOT LIKE 'cancelad%'
    AND lower("Status do Pagamento") IN ('estornado', 'reembolsado', 'devolvido', 'refunded');
