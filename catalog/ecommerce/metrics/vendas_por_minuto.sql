-- Gross sales per minute: the sum of `valor_total`, else `preco` x `quantidade`, else 0, over `compra`, before
-- discounts and refunds. Orders are distinct `id_pedido`, plus one for each `compra` without.
CREATE MATERIALIZED VIEW vendas_por_minuto AS
SELECT
    tumble(INTERVAL '1 minute') AS janela,
    moeda,
    count(DISTINCT id_pedido) + count(*) FILTER (WHERE id_pedido IS NULL) AS pedidos,
    sum(quantidade) AS unidades,
    sum(coalesce(valor_total, preco * quantidade, 0)) AS receita
FROM eventos_clientes
WHERE tipo_evento = 'compra'
GROUP BY janela, moeda
ORDER BY receita DESC, moeda;
