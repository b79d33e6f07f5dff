-- Products that are out of stock or soon will be: a level of zero or less over all places, or fewer days of cover than
-- `domain.cover_days`. Days of cover are level / (units sold in seven days / 7), rounded half up to a tenth, and null without sales. It is
-- an alert too: people are notified of what stays so for two minutes, again every four hours, and when it is over.
CREATE VIEW ruptura_estoque WITH (
    alert = 'id_produto', severity = 'warning', after = '2 minutes', repeat = '4 hours'
) AS
SELECT id_produto, nome, nivel_estoque, velocidade_dia, dias_cobertura, ultima_atualizacao
FROM (
    SELECT
        e.id_produto,
        p.nome,
        e.nivel_estoque,
        coalesce(v.velocidade_dia, CAST(0 AS DECIMAL(18, 2))) AS velocidade_dia,
        -- Beyond 99,999,999.9 days it is as good as forever.
        CASE
            WHEN v.unidades_7_dias > 0 THEN CAST(
                greatest(
                    CAST(-99999999.9 AS DECIMAL(20, 1)),
                    least(
                        CAST(99999999.9 AS DECIMAL(20, 1)),
                        CAST(e.nivel_estoque * 7 AS DECIMAL(20, 2)) / nullif(v.unidades_7_dias, 0)
                    )
                ) AS DECIMAL(9, 1)
            )
        END AS dias_cobertura,
        e.ultima_atualizacao
    FROM estoque AS e
    LEFT JOIN velocidade_vendas AS v ON v.id_produto = e.id_produto
    -- A file may name a product twice.
    LEFT JOIN (SELECT id_produto, min(nome) AS nome FROM produtos GROUP BY id_produto) AS p ON p.id_produto = e.id_produto
)
WHERE nivel_estoque <= 0 OR dias_cobertura < current_setting('domain.cover_days');
