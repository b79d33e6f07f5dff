-- Cohort retention: active users of the cohort / users of the cohort. A user's cohort is the month of the first event, `periodo` the months
-- since then; active is who has any event in that month of the domain's zone. A month in which nobody came back has no row.
CREATE TABLE coortes WITH (connector = 'warehouse', per = 'all', date = 'coorte', key = 'coorte, periodo') AS
WITH meses AS (
    SELECT DISTINCT id_usuario, CAST(date_trunc('month', data) AS DATE) AS mes
    FROM (
        SELECT id_usuario, CAST(timestamp AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data
        FROM eventos_clientes
        WHERE id_usuario IS NOT NULL
    ) AS dias
),
entradas AS (SELECT id_usuario, min(mes) AS coorte FROM meses GROUP BY id_usuario),
tamanhos AS (SELECT coorte, count(*) AS usuarios FROM entradas GROUP BY coorte)
SELECT
    r.coorte,
    r.periodo,
    t.usuarios,
    r.retidos,
    CAST(CAST(r.retidos AS DECIMAL(18, 6)) / nullif(t.usuarios, 0) AS DECIMAL(7, 4)) AS taxa
FROM (
    SELECT
        e.coorte,
        12 * (CAST(date_part('year', m.mes) AS BIGINT) - CAST(date_part('year', e.coorte) AS BIGINT))
            + CAST(date_part('month', m.mes) AS BIGINT) - CAST(date_part('month', e.coorte) AS BIGINT) AS periodo,
        count(*) AS retidos
    FROM meses AS m
    JOIN entradas AS e ON e.id_usuario = m.id_usuario
    GROUP BY e.coorte, m.mes
) AS r
JOIN tamanhos AS t ON t.coorte = r.coorte;
