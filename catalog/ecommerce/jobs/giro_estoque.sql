-- Sell-through of each product: sold / (sold + on hand), of the 30 days up to the newest sale; null if there is neither. Less than nothing on
-- hand counts as none. `data` is the day of the last update of the stock.
CREATE TABLE giro_estoque WITH (connector = 'warehouse', per = 'all', date = 'data', key = 'data, id_produto') AS
SELECT
    data,
    id_produto,
    vendidos,
    nivel_estoque,
    CAST(CAST(vendidos AS DECIMAL(20, 6)) / nullif(vendidos + CASE WHEN nivel_estoque > 0 THEN nivel_estoque ELSE 0 END, 0) AS DECIMAL(7, 4)) AS taxa
FROM (
    SELECT
        CAST(e.ultima_atualizacao AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data,
        e.id_produto,
        coalesce(v.vendidos, 0) AS vendidos,
        e.nivel_estoque
    FROM estoque AS e
    LEFT JOIN (
        SELECT vendas.id_produto, sum(vendas.quantidade) AS vendidos
        FROM vendas
        CROSS JOIN (SELECT max(data) AS data FROM vendas) AS ultima
        WHERE vendas.data > ultima.data - INTERVAL '30 days'
        GROUP BY vendas.id_produto
    ) AS v ON v.id_produto = e.id_produto
) AS por_produto;
