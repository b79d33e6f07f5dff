-- Units of each product sold in each hour, in all currencies; refunds take nothing off. What sales velocity is made of: hours come first in
-- the key, so that the newest are read without the others.
CREATE MATERIALIZED VIEW unidades_por_hora AS
SELECT date_trunc('hour', timestamp) AS hora, id_produto, sum(quantidade) AS unidades
FROM eventos_clientes
WHERE tipo_evento = 'compra' AND id_produto IS NOT NULL
GROUP BY hora, id_produto;
