-- Recency, frequency and monetary value of each user, and the user's group as Shopify has them. `data` is the day of the newest event,
-- `recencia` the days from the last purchase to it, `frequencia` orders, `valor` net sales in the domain's currency.
--
-- Each of the three has a score from 1 to 5: 1 + 5 x (customers with less) / customers, rounded down; recency by the time of the last
-- purchase. `fm` is the mean of the scores of frequency and value. Users without a purchase are `prospectos`; the others, by recency r and fm:
-- r 5: `campeoes` from 4, `ativos` from 2, `novos` below. r 4: `leais` from 4, `ativos` from 2, `promissores` below. r 3: `leais` from 4,
-- `precisam_de_atencao` from 2.5, `quase_perdidos` below. r 1 and 2: `antes_leais` from 4.5, `em_risco` from 3, `dormentes` below.
CREATE TABLE rfm WITH (connector = 'warehouse', per = 'all', date = 'data', key = 'data, id_usuario') AS
WITH usuarios AS (
    SELECT id_usuario, CAST(max(timestamp) AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS visto
    FROM eventos_clientes
    WHERE id_usuario IS NOT NULL
    GROUP BY id_usuario
),
vendido AS (
    SELECT
        id_usuario,
        max(timestamp) AS ultima,
        max(data) AS ultimo_dia,
        count(DISTINCT id_pedido) + count(*) FILTER (WHERE id_pedido IS NULL) AS frequencia,
        sum(CASE WHEN moeda = current_setting('domain.currency') THEN valor - coalesce(desconto, 0) ELSE 0 END) AS pago
    FROM vendas
    WHERE id_usuario IS NOT NULL
    GROUP BY id_usuario
),
devolvido AS (
    SELECT id_usuario, sum(valor) AS devolvido
    FROM reembolsos
    WHERE id_usuario IS NOT NULL AND moeda = current_setting('domain.currency')
    GROUP BY id_usuario
),
clientes AS (
    SELECT v.id_usuario, v.ultima, v.ultimo_dia, v.frequencia, v.pago - coalesce(d.devolvido, 0) AS valor
    FROM vendido AS v
    LEFT JOIN devolvido AS d ON d.id_usuario = v.id_usuario
),
notas AS (
    SELECT
        id_usuario,
        ultimo_dia,
        frequencia,
        valor,
        1 + (CAST(rank() OVER (ORDER BY ultima) AS BIGINT) - 1) * 5 / nullif(count(*) OVER (), 0) AS r,
        1 + (CAST(rank() OVER (ORDER BY frequencia) AS BIGINT) - 1) * 5 / nullif(count(*) OVER (), 0) AS f,
        1 + (CAST(rank() OVER (ORDER BY valor) AS BIGINT) - 1) * 5 / nullif(count(*) OVER (), 0) AS m
    FROM clientes
)
SELECT
    hoje.data,
    u.id_usuario,
    CAST(CAST(hoje.data AS INT) - CAST(n.ultimo_dia AS INT) AS BIGINT) AS recencia,
    coalesce(n.frequencia, 0) AS frequencia,
    coalesce(n.valor, 0) AS valor,
    -- Twice the mean, so that halves are whole.
    CASE
        WHEN n.id_usuario IS NULL THEN 'prospectos'
        WHEN n.r = 5 AND n.f + n.m >= 8 THEN 'campeoes'
        WHEN n.r >= 3 AND n.f + n.m >= 8 THEN 'leais'
        WHEN n.r >= 4 AND n.f + n.m >= 4 THEN 'ativos'
        WHEN n.r = 5 THEN 'novos'
        WHEN n.r = 4 THEN 'promissores'
        WHEN n.r = 3 AND n.f + n.m >= 5 THEN 'precisam_de_atencao'
        WHEN n.r = 3 THEN 'quase_perdidos'
        WHEN n.f + n.m >= 9 THEN 'antes_leais'
        WHEN n.f + n.m >= 6 THEN 'em_risco'
        ELSE 'dormentes'
    END AS grupo
FROM usuarios AS u
CROSS JOIN (SELECT max(visto) AS data FROM usuarios) AS hoje
LEFT JOIN notas AS n ON n.id_usuario = u.id_usuario;
