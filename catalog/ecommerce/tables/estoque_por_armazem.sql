-- The level of each product in each place, as its newest update says.
CREATE MATERIALIZED VIEW estoque_por_armazem AS
SELECT id_produto, id_armazem, latest(nivel_estoque) AS nivel_estoque, max(timestamp) AS ultima_atualizacao
FROM atualizacoes_estoque
GROUP BY id_produto, id_armazem;
