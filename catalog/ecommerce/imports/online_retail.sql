-- The data sets Online Retail and Online Retail II of UCI: pounds, one line for each product of an invoice.
-- Invoices that begin with C are cancellations, and lines with a negative quantity give goods back: both are refunds.
CREATE VIEW online_retail WITH (profile_for = 'vendas') AS
SELECT
    coalesce(optional("InvoiceNo"), optional("Invoice")) AS id_pedido,
    "StockCode" AS id_produto,
    "Quantity" AS quantidade,
    coalesce(optional("UnitPrice"), optional("Price")) AS preco,
    "InvoiceDate" AS timestamp,
    'GBP' AS moeda,
    coalesce(optional("CustomerID"), optional("Customer ID")) AS id_usuario,
    "Country" AS regiao
FROM arquivo
WHERE upper(coalesce(optional("InvoiceNo"), optional("Invoice"), '')) NOT LIKE 'C%' AND coalesce("Quantity", '') NOT LIKE '-%';

CREATE VIEW online_retail_reembolsos WITH (profile_for = 'reembolsos', profile = 'online_retail') AS
SELECT
    coalesce(optional("InvoiceNo"), optional("Invoice")) AS id_pedido,
    "StockCode" AS id_produto,
    ltrim("Quantity", '-') AS quantidade,
    coalesce(optional("UnitPrice"), optional("Price")) AS preco,
    "InvoiceDate" AS timestamp,
    'GBP' AS moeda,
    coalesce(optional("CustomerID"), optional("Customer ID")) AS id_usuario,
    "Country" AS regiao
FROM arquivo
WHERE upper(coalesce(optional("InvoiceNo"), optional("Invoice"), '')) LIKE 'C%' OR coalesce("Quantity", '') LIKE '-%';
