-- Refunds against sales by day of the domain's zone, a refund on its own date. `taxa_valor` is money given back / gross sales of the day,
-- `taxa_pedidos` orders with a refund / orders; null on a day without sales.
CREATE TABLE reembolsos_por_dia WITH (connector = 'warehouse', per = 'day', date = 'data', key = 'data, moeda') AS
SELECT
    *,
    try_cast(CAST(reembolso AS DECIMAL(30, 6)) / nullif(receita, 0) AS DECIMAL(18, 4)) AS taxa_valor,
    CAST(CAST(pedidos_reembolsados AS DECIMAL(18, 6)) / nullif(pedidos, 0) AS DECIMAL(18, 4)) AS taxa_pedidos
FROM (
    SELECT
        data,
        moeda,
        count(DISTINCT id_pedido) FILTER (WHERE venda) + count(*) FILTER (WHERE venda AND id_pedido IS NULL) AS pedidos,
        count(DISTINCT id_pedido) FILTER (WHERE NOT venda)
            + count(*) FILTER (WHERE NOT venda AND id_pedido IS NULL) AS pedidos_reembolsados,
        sum(receita) AS receita,
        sum(reembolso) AS reembolso
    FROM movimentos
    GROUP BY data, moeda
) AS por_dia;
