-- Sales of each shop.
CREATE MATERIALIZED VIEW vendas_por_loja AS
SELECT tumble(INTERVAL '1 hour') AS janela, loja, count(*) AS vendas
FROM eventos_clientes
GROUP BY janela, loja;
