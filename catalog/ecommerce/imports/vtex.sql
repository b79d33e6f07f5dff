-- Orders as VTEX exports them, a line for each product; the price is what was paid for one, after promotions.
-- Orders that were cancelled or wait for their payment are left out.
CREATE VIEW vtex WITH (profile_for = 'vendas', identity = 'item') AS
SELECT
    "Order" AS id_pedido,
    "ID_SKU" AS id_produto,
    "Quantity_SKU" AS quantidade,
    "SKU Selling Price" AS preco,
    "Creation Date" AS timestamp,
    optional("Currency Code") AS moeda,
    coalesce(optional("Client Document"), optional("Email")) AS id_usuario,
    optional("UF") AS regiao,
    optional("Origin") AS canal
FROM arquivo
WHERE lower(coalesce("Status", '')) NOT LIKE '%cancel%'
    AND lower(coalesce("Status", '')) NOT LIKE '%pendente%'
    AND lower(coalesce("Status", '')) NOT LIKE '%pending%';
