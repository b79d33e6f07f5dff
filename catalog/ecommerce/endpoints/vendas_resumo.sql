-- Units, gross revenue and orders of each product, provisional sales included.
CREATE VIEW vendas_resumo WITH (path = '/vendas/resumo', limite = 100, descricao = 'Sales of each product') AS
SELECT id_produto, unidades AS total_vendido, receita, pedidos + sem_pedido AS pedidos
FROM soma.itens_vendidos
WHERE
    moeda = coalesce(upper(nullif($moeda, '')), current_setting('domain.currency'))
    AND ($de IS NULL OR instante >= $de)
    AND ($ate IS NULL OR instante < $ate)
    AND ($categoria IS NULL OR categoria = $categoria)
    AND ($regiao IS NULL OR regiao = $regiao)
ORDER BY total_vendido DESC, receita DESC, id_produto
LIMIT $limite;
