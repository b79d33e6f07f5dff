-- The daily report: yesterday and the same weekday of the week before, the five products that sold most yesterday, and what the checks of
-- the last day have found. Sent at 8 in the morning, if `alerts.notify` names somebody.
CREATE VIEW relatorio_diario WITH (report = '08:00') AS
WITH dias AS (
    SELECT
        CAST(now() AT TIME ZONE current_setting('domain.time_zone') AS DATE) - INTERVAL '1 day' AS ontem,
        CAST(now() AT TIME ZONE current_setting('domain.time_zone') AS DATE) - INTERVAL '8 days' AS semana_anterior
),
do_periodo AS (
    SELECT v.*, CAST(v.data AS DATE) = CAST(d.ontem AS DATE) AS de_ontem
    FROM vendas AS v
    CROSS JOIN dias AS d
    WHERE v.timestamp >= now() - INTERVAL '10 days'
      AND (CAST(v.data AS DATE) = CAST(d.ontem AS DATE) OR CAST(v.data AS DATE) = CAST(d.semana_anterior AS DATE))
),
vendas_do_dia AS (
    SELECT
        CASE WHEN de_ontem THEN 'ontem' ELSE 'mesmo dia da semana anterior' END AS secao,
        CASE WHEN de_ontem THEN 1 ELSE 2 END AS ordem,
        CAST(NULL AS BIGINT) AS posicao,
        moeda AS item,
        count(DISTINCT id_pedido) + count(*) FILTER (WHERE id_pedido IS NULL) AS pedidos,
        sum(quantidade) AS unidades,
        sum(valor) AS receita,
        CAST(NULL AS BIGINT) AS verificacoes,
        CAST(NULL AS BIGINT) AS diferencas
    FROM do_periodo
    GROUP BY de_ontem, moeda
),
produtos_de_ontem AS (
    SELECT
        row_number() OVER (ORDER BY sum(quantidade) DESC, sum(valor) DESC, id_produto) AS posicao,
        id_produto AS item,
        sum(quantidade) AS unidades,
        sum(valor) AS receita
    FROM do_periodo
    WHERE de_ontem AND moeda = current_setting('domain.currency')
    GROUP BY id_produto
),
provas AS (
    SELECT veredito AS item, count(*) AS verificacoes, sum(diferencas) AS diferencas
    FROM reconciliacao
    WHERE instante >= now() - INTERVAL '1 day'
    GROUP BY veredito
)
SELECT secao, posicao, item, pedidos, unidades, receita, verificacoes, diferencas
FROM (
    SELECT secao, ordem, posicao, item, pedidos, unidades, receita, verificacoes, diferencas FROM vendas_do_dia
    UNION ALL
    SELECT 'mais vendidos', 3, CAST(posicao AS BIGINT), item, NULL, unidades, receita, NULL, NULL FROM produtos_de_ontem WHERE posicao <= 5
    UNION ALL
    SELECT 'provas', 4, NULL, item, NULL, NULL, NULL, verificacoes, diferencas FROM provas
) AS partes
ORDER BY ordem, posicao, item;
