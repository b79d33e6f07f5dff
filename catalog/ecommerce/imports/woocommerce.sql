-- Orders of WooCommerce as Advanced Order Export writes them, a line for each product. Quantities are what is left after refunds.
-- Orders count that are paid: in the states of WooCommerce itself, and in those that shops often add for the time after the payment. All
-- others are left out, such as those on hold, which wait for it.
CREATE VIEW woocommerce WITH (profile_for = 'vendas', identity = 'item', status = 'Order Status') AS
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
        translate(lower(replace(replace(first_value("Order Status") IGNORE NULLS OVER pedido, 'wc-', ''), ' ', '-')), 'áàâãéêíóôõúç', 'aaaaeeiooouc') AS situacao,
        first_value(optional("Order Currency")) IGNORE NULLS OVER pedido AS moeda,
        first_value(optional("Email (Billing)")) IGNORE NULLS OVER pedido AS email,
        first_value(optional("State Code (Billing)")) IGNORE NULLS OVER pedido AS regiao,
        optional("Category") AS categoria
    FROM arquivo
    WINDOW pedido AS (PARTITION BY "Order Number" ORDER BY linha)
) AS linhas
WHERE situacao IN (
        'processing', 'processando', 'em-processamento', 'completed', 'concluido', 'concluida', 'completo',
        'paid', 'pago', 'payment-approved', 'pagamento-aprovado', 'partially-refunded', 'parcialmente-reembolsado',
        'packed', 'packing', 'em-separacao', 'separado', 'embalado', 'invoiced', 'faturado',
        'ready-to-ship', 'pronto-para-envio', 'ready-for-pickup', 'pronto-para-retirada', 'picked-up', 'retirado',
        'shipped', 'partially-shipped', 'enviado', 'parcialmente-enviado', 'despachado', 'in-transit', 'em-transito', 'em-transporte',
        'out-for-delivery', 'saiu-para-entrega', 'delivered', 'entregue'
    )
    AND coalesce("Quantity (- Refund)", '0') <> '0';
