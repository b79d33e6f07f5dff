-- Order items of the Olist data set, joined with its orders (`order_purchase_timestamp` is in those). One line is one unit.
-- Orders count once their payment was approved; those that were cancelled or could not be delivered are left out.
CREATE VIEW olist WITH (profile_for = 'vendas', status = 'order_status') AS
SELECT
    "order_id" AS id_pedido,
    "product_id" AS id_produto,
    '1' AS quantidade,
    "price" AS preco,
    "order_purchase_timestamp" AS timestamp,
    'BRL' AS moeda,
    coalesce(optional("customer_unique_id"), optional("customer_id")) AS id_usuario,
    optional("customer_state") AS regiao,
    optional("product_category_name") AS categoria
FROM arquivo
WHERE coalesce(optional("order_status"), 'delivered') IN ('approved', 'invoiced', 'processing', 'shipped', 'delivered');
