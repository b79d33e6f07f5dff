-- The level of each product over all places.
CREATE VIEW estoque AS
SELECT id_produto, sum(nivel_estoque) AS nivel_estoque, max(ultima_atualizacao) AS ultima_atualizacao
FROM estoque_por_armazem
GROUP BY id_produto;
