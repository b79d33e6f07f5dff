-- Searches of each hour.
CREATE MATERIALIZED VIEW buscas_por_hora AS
SELECT tumble(INTERVAL '1 hour') AS janela, count(*) AS buscas
FROM eventos_clientes
WHERE tipo_evento = 'busca'
GROUP BY janela;
