-- Session conversion per hour, as GA4 has it: sessions with at least one `compra` / sessions, of those that began in the hour, open ones
-- included. `taxa` is a share of 1, rounded half up.
CREATE VIEW conversao_por_sessao AS
SELECT
    janela_inicio,
    janela_inicio + INTERVAL '1 hour' AS janela_fim,
    count(*) AS sessoes,
    count(*) FILTER (WHERE pedidos > 0) AS com_compra,
    CAST(
        CAST(count(*) FILTER (WHERE pedidos > 0) AS DECIMAL(18, 6)) / nullif(count(*), 0) AS DECIMAL(7, 4)
    ) AS taxa
FROM (
    -- A session is one, however many currencies it has.
    SELECT
        date_bin(INTERVAL '1 hour', janela_inicio) AS janela_inicio,
        sum(pedidos) AS pedidos
    FROM sessoes
    GROUP BY date_bin(INTERVAL '1 hour', janela_inicio), sessoes.janela_inicio, id_usuario
)
GROUP BY janela_inicio;
