-- What was sold: for each product of an order, at each time and in each place, its units and gross revenue. `sem_pedido` counts purchases
-- without an order's id. `soma.itens_vendidos` has the sums of each product in any range of time.
CREATE MATERIALIZED VIEW itens_vendidos
WITH (rollup = 'id_produto', rollup_time = 'instante', rollup_once = 'id_pedido AS pedidos') AS
SELECT
    timestamp AS instante,
    id_produto,
    id_pedido,
    categoria,
    regiao,
    moeda,
    sum(quantidade) AS unidades,
    sum(coalesce(valor_total, preco * quantidade, 0)) AS receita,
    count(*) FILTER (WHERE id_pedido IS NULL) AS sem_pedido
FROM eventos_clientes
WHERE tipo_evento = 'compra'
GROUP BY instante, id_produto, id_pedido, categoria, regiao, moeda;
