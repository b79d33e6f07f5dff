-- Products that are out of stock or soon will be, the fewest days of cover first; last those that nobody buys. `estado` and `desde` are
-- those of the alert `ruptura_estoque`; what it has not seen yet is pending since the level was reported.
CREATE VIEW estoque_alertas
WITH (path = '/estoque/alertas', limite = 100, descricao = 'Products that are out of stock or soon will be') AS
SELECT
    r.id_produto,
    r.nome,
    r.nivel_estoque,
    r.velocidade_dia,
    r.dias_cobertura,
    coalesce(a.estado, 'pendente') AS estado,
    coalesce(a.desde, r.ultima_atualizacao) AS desde
FROM ruptura_estoque AS r
LEFT JOIN (
    SELECT chave, estado, desde
    FROM alertas
    WHERE alerta = 'ruptura_estoque' AND estado IN ('pendente', 'disparado')
) AS a ON a.chave = r.id_produto
WHERE $id_produto IS NULL OR r.id_produto = $id_produto
ORDER BY dias_cobertura ASC NULLS LAST, id_produto
LIMIT $limite;
