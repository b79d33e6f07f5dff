-- Views of each product: events `clique` and `visualizacao` that name it, per minute.
CREATE MATERIALIZED VIEW produtos_mais_vistos AS
SELECT
    tumble(INTERVAL '1 minute') AS janela,
    id_produto,
    count(*) AS visualizacoes
FROM eventos_clientes
WHERE tipo_evento IN ('clique', 'visualizacao') AND id_produto IS NOT NULL
GROUP BY janela, id_produto
ORDER BY visualizacoes DESC, id_produto;
