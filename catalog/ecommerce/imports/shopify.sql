-- Orders as Shopify exports them. An order's first line has what is of the order; its further lines have only their product.
-- Unpaid, voided and cancelled orders are left out; an order's discount appears once, on its first line.
CREATE VIEW shopify WITH (profile_for = 'vendas', identity = 'item', status = 'Financial Status') AS
SELECT
    "Name" AS id_pedido,
    coalesce(optional("Lineitem sku"), "Lineitem name") AS id_produto,
    "Lineitem quantity" AS quantidade,
    "Lineitem price" AS preco,
    CASE WHEN linha_do_pedido = 1 THEN optional("Discount Amount") END AS desconto,
    criado AS timestamp,
    moeda,
    coalesce(optional("Email"), email) AS id_usuario,
    regiao,
    'shopify' AS canal
FROM (
    SELECT
        *,
        row_number() OVER pedido AS linha_do_pedido,
        first_value("Financial Status") IGNORE NULLS OVER pedido AS situacao,
        first_value("Created at") IGNORE NULLS OVER pedido AS criado,
        first_value("Currency") IGNORE NULLS OVER pedido AS moeda,
        first_value(optional("Email")) IGNORE NULLS OVER pedido AS email,
        first_value(optional("Shipping Province")) IGNORE NULLS OVER pedido AS regiao,
        first_value(optional("Cancelled at")) IGNORE NULLS OVER pedido AS cancelado
    FROM arquivo
    WINDOW pedido AS (PARTITION BY "Name" ORDER BY linha)
) AS linhas
WHERE cancelado IS NULL AND lower(situacao) IN ('paid', 'partially_paid', 'partially_refunded', 'refunded');

-- What was given back, as a sum for each order, from the first line that has what is of the order. The file does not say when, so it counts
-- on the order's own date. An amount of letters alone comes along, and is refused by its cell.
CREATE VIEW shopify_reembolsos WITH (profile_for = 'reembolsos', profile = 'shopify', identity = 'item') AS
SELECT
    "Name" AS id_pedido,
    "Created at" AS timestamp,
    optional("Refunded Amount") AS valor_total,
    "Currency" AS moeda,
    optional("Email") AS id_usuario,
    optional("Shipping Province") AS regiao,
    'shopify' AS canal
FROM (
    SELECT *, row_number() OVER (PARTITION BY "Name" ORDER BY linha) AS linha_do_pedido
    FROM arquivo
    WHERE "Financial Status" IS NOT NULL
) AS linhas
WHERE linha_do_pedido = 1
    AND optional("Cancelled at") IS NULL
    AND lower("Financial Status") IN ('partially_refunded', 'refunded')
    AND regexp_like(optional("Refunded Amount"), '[1-9]|^[^0-9]*[a-zA-Z][^0-9]*$');
