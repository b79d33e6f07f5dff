-- Orders of WooCommerce as Advanced Order Export writes them, a line for each product. Quantities are what is left after refunds.
-- Orders that were not paid, failed or were cancelled or wholly refunded are left out.
CREATE VIEW woocommerce WITH (profile_for = 'vendas', identity = 'item') AS
SELECT
    "Order Number" AS id_pedido,
    coalesce(optional("SKU"), optional("Item Name"), optional("Product Name"), optional("Name")) AS id_produto,
    "Quantity (- Refund)" AS quantidade,
    "Item Cost" AS preco,
    momento AS timestamp,
    moeda,
    email AS id_usuario,
    regiao,
    categoria,
    'woocommerce' AS canal
FROM (
    SELECT
        *,
        first_value("Order Date") IGNORE NULLS OVER pedido AS momento,
        lower(replace(replace(first_value("Order Status") IGNORE NULLS OVER pedido, 'wc-', ''), ' ', '-')) AS situacao,
        first_value(optional("Order Currency")) IGNORE NULLS OVER pedido AS moeda,
        first_value(optional("Email (Billing)")) IGNORE NULLS OVER pedido AS email,
        first_value(optional("State Code (Billing)")) IGNORE NULLS OVER pedido AS regiao,
        optional("Category") AS categoria
    FROM arquivo
    WINDOW pedido AS (PARTITION BY "Order Number" ORDER BY linha)
) AS linhas
WHERE situacao NOT IN (
        'cancelled', 'cancelado', 'failed', 'malsucedido', 'falhou', 'refunded', 'reembolsado', 'pending', 'pending-payment',
        'pagamento-pendente', 'pendente', 'checkout-draft', 'trash'
    )
    AND coalesce("Quantity (- Refund)", '0') <> '0';
