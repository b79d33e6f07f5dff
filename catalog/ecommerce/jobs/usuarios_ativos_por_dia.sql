-- Active users by day of the domain's zone, users active in the 30 days up to it, and DAU/MAU: the one / the other, rounded half up. A user
-- is counted from each active day on until 30 days later, or until the next active day, from which on that one counts.
CREATE TABLE usuarios_ativos_por_dia WITH (connector = 'warehouse', per = 'all', date = 'data', key = 'data') AS
WITH dias AS (
    SELECT DISTINCT id_usuario, CAST(timestamp AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data
    FROM eventos_clientes
    WHERE id_usuario IS NOT NULL
),
trechos AS (
    SELECT data, data + INTERVAL '30 days' AS fim, lead(data) OVER (PARTITION BY id_usuario ORDER BY data) AS proxima
    FROM dias
),
mudancas AS (
    SELECT data, count(*) AS usuarios FROM dias GROUP BY data
    UNION ALL
    SELECT data, -count(*) AS usuarios
    FROM (SELECT CASE WHEN proxima < fim THEN proxima ELSE fim END AS data FROM trechos) AS saidas
    GROUP BY data
),
acumulado AS (
    SELECT data, sum(usuarios) OVER (ORDER BY data ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS em_30_dias
    FROM (SELECT data, sum(usuarios) AS usuarios FROM mudancas GROUP BY data) AS por_dia
)
SELECT
    d.data,
    d.usuarios,
    a.em_30_dias AS usuarios_30_dias,
    CAST(CAST(d.usuarios AS DECIMAL(18, 6)) / nullif(a.em_30_dias, 0) AS DECIMAL(7, 4)) AS aderencia
FROM (SELECT data, count(*) AS usuarios FROM dias GROUP BY data) AS d
JOIN acumulado AS a ON a.data = d.data;
