-- Products that are out of stock or soon will be, the fewest days of cover first; last those that nobody buys.
CREATE VIEW estoque_alertas
WITH (path = '/estoque/alertas', limite = 100, descricao = 'Products that are out of stock or soon will be') AS
SELECT
    id_produto, nome, nivel_estoque, velocidade_dia, dias_cobertura,
    'disparado' AS estado,
    ultima_atualizacao AS desde
FROM ruptura_estoque
WHERE $id_produto IS NULL OR id_produto = $id_produto
ORDER BY dias_cobertura ASC NULLS LAST, id_produto
LIMIT $limite;
