-- The best-seller ranking, provisional sales included.
CREATE VIEW produtos_mais_vendidos
WITH (path = '/produtos/mais_vendidos', limite = 10, descricao = 'Best sellers by units') AS
SELECT
    row_number() OVER (ORDER BY total_vendido DESC, receita DESC, id_produto) AS posicao,
    id_produto,
    total_vendido,
    receita
FROM (
    SELECT id_produto, sum(quantidade) AS total_vendido, sum(valor) AS receita
    FROM vendas
    WHERE
        moeda = coalesce(upper(nullif($moeda, '')), current_setting('domain.currency'))
        AND ($de IS NULL OR timestamp >= $de)
        AND ($ate IS NULL OR timestamp < $ate)
        AND ($categoria IS NULL OR categoria = $categoria)
        AND ($regiao IS NULL OR regiao = $regiao)
    GROUP BY id_produto
)
ORDER BY posicao
LIMIT $limite;
