-- The thousand best sellers of each month of the domain's zone, in each currency: by units, gross sales, product.
CREATE TABLE mais_vendidos WITH (connector = 'warehouse', per = 'month', date = 'mes', key = 'mes, moeda, posicao') AS
SELECT *
FROM (
    SELECT
        mes,
        moeda,
        CAST(row_number() OVER (
            PARTITION BY mes, moeda ORDER BY unidades DESC, receita DESC, id_produto
        ) AS BIGINT) AS posicao,
        id_produto,
        unidades,
        receita
    FROM (
        SELECT
            CAST(date_trunc('month', data) AS DATE) AS mes,
            moeda,
            id_produto,
            sum(unidades) AS unidades,
            sum(receita) AS receita
        FROM movimentos
        WHERE venda
        GROUP BY CAST(date_trunc('month', data) AS DATE), moeda, id_produto
    )
)
WHERE posicao <= 1000;
