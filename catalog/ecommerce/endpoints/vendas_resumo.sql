-- Units, gross revenue and orders of each product, provisional sales included.
CREATE VIEW vendas_resumo WITH (path = '/vendas/resumo', limite = 100, descricao = 'Sales of each product') AS
SELECT
    id_produto,
    sum(quantidade) AS total_vendido,
    sum(valor) AS receita,
    count(DISTINCT id_pedido) + count(*) FILTER (WHERE id_pedido IS NULL) AS pedidos
FROM vendas
WHERE
    moeda = coalesce(upper(nullif($moeda, '')), current_setting('domain.currency'))
    AND ($de IS NULL OR timestamp >= $de)
    AND ($ate IS NULL OR timestamp < $ate)
    AND ($categoria IS NULL OR categoria = $categoria)
    AND ($regiao IS NULL OR regiao = $regiao)
GROUP BY id_produto
ORDER BY total_vendido DESC, receita DESC, id_produto
LIMIT $limite;
