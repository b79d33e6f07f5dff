-- The best-seller ranking, provisional sales included.
CREATE VIEW produtos_mais_vendidos
WITH (path = '/produtos/mais_vendidos', limite = 10, descricao = 'Best sellers by units') AS
SELECT
    row_number() OVER (ORDER BY unidades DESC, receita DESC, id_produto) AS posicao,
    id_produto,
    unidades AS total_vendido,
    receita
FROM soma.itens_vendidos
WHERE
    moeda = coalesce(upper(nullif($moeda, '')), current_setting('domain.currency'))
    AND ($de IS NULL OR instante >= $de)
    AND ($ate IS NULL OR instante < $ate)
    AND ($categoria IS NULL OR categoria = $categoria)
    AND ($regiao IS NULL OR regiao = $regiao)
ORDER BY posicao
LIMIT $limite;
