-- The daily report of stock: the products that have none left, over all places, and then those that soon will, the fewest days of cover
-- first. A shop that does not report its stock does not get it.
CREATE VIEW relatorio_estoque WITH (report = '08:00') AS
SELECT
    CASE WHEN nivel_estoque <= 0 THEN 'sem estoque' ELSE 'acaba em breve' END AS secao,
    coalesce(nome, id_produto) AS item,
    nivel_estoque,
    velocidade_dia,
    dias_cobertura,
    ultima_atualizacao
FROM ruptura_estoque
ORDER BY nivel_estoque > 0, dias_cobertura ASC NULLS LAST, nivel_estoque, id_produto;
