-- Gross sales by the segment of the customer and day of the domain's zone. The segment is what `perfis_usuarios` says when the day is
-- computed; customers without one are '(sem segmento)'.
CREATE TABLE receita_por_segmento WITH (connector = 'warehouse', per = 'day', date = 'data', key = 'data, segmento, moeda') AS
SELECT
    v.data,
    coalesce(p.segmento, '(sem segmento)') AS segmento,
    v.moeda,
    count(DISTINCT v.id_pedido) + count(*) FILTER (WHERE v.id_pedido IS NULL) AS pedidos,
    sum(v.valor) AS receita
FROM vendas AS v
-- A file may have a user twice.
LEFT JOIN (SELECT id_usuario, max(segmento) AS segmento FROM perfis_usuarios GROUP BY id_usuario) AS p
    ON p.id_usuario = v.id_usuario
GROUP BY v.data, coalesce(p.segmento, '(sem segmento)'), v.moeda;
