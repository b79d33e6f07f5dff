-- The daily report of stock: the products that have none left, over all places. A shop that does not report its stock does not get it.
CREATE VIEW relatorio_estoque WITH (report = '08:00') AS
SELECT 'sem estoque' AS secao, id_produto AS item, nivel_estoque, ultima_atualizacao
FROM estoque
WHERE nivel_estoque <= 0
ORDER BY nivel_estoque, id_produto;
