-- The most viewed products of the newest minute that has begun.
CREATE VIEW ranking_produtos_mais_vistos
WITH (path = '/produtos/mais_vistos', limite = 5, descricao = 'Most viewed products of the newest minute') AS
SELECT
    row_number() OVER (ORDER BY visualizacoes DESC, id_produto) AS posicao,
    id_produto,
    visualizacoes
-- The newest window that has begun; without a search through all older ones.
FROM agora.produtos_mais_vistos
ORDER BY posicao
LIMIT $limite;
