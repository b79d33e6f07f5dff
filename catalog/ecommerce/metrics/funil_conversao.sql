-- Conversion funnel per hour: at each step the distinct users with that event in the hour, in any order; `clique`
-- counts as `visualizacao`. A step without users has no row.
CREATE MATERIALIZED VIEW funil_conversao AS
SELECT
    tumble(INTERVAL '1 hour') AS janela,
    CASE tipo_evento
        WHEN 'adicao_carrinho' THEN 2
        WHEN 'inicio_checkout' THEN 3
        WHEN 'compra' THEN 4
        ELSE 1
    END AS ordem,
    CASE tipo_evento WHEN 'clique' THEN 'visualizacao' ELSE tipo_evento END AS etapa,
    count(DISTINCT id_usuario) AS usuarios
FROM eventos_clientes
WHERE tipo_evento IN ('visualizacao', 'clique', 'adicao_carrinho', 'inicio_checkout', 'compra')
GROUP BY janela, ordem, etapa
ORDER BY ordem;
