-- Sales velocity of each product: units sold in seven days / 7. The seven days end with the newest hour of sales that event time has
-- reached: 168 hours by the clock, of which the last has just begun. Imported sales count.
CREATE VIEW velocidade_vendas AS
SELECT
    id_produto,
    sum(unidades) AS unidades_7_dias,
    divide_half_up(CAST(sum(unidades) AS DECIMAL(18, 2)), 7) AS velocidade_dia
FROM unidades_por_hora
WHERE hora > coalesce(marca_dagua('eventos_clientes'), now()) - INTERVAL '7 days'
GROUP BY id_produto;
