-- Sessions: a user's events until 30 minutes without one, or until midnight in the domain's zone. `janela_fim` is 30 minutes after the
-- last event, or that midnight. Views are `clique` and `visualizacao`; orders are distinct `id_pedido`, plus one for each `compra` without;
-- `receita` is gross sales. A session has a row for each currency of its events, so that no two are added up.
CREATE MATERIALIZED VIEW sessoes WITH (cut = 'day') AS
SELECT
    session(INTERVAL '30 minutes', id_usuario) AS janela,
    id_usuario,
    count(*) AS eventos,
    count(*) FILTER (WHERE tipo_evento IN ('clique', 'visualizacao')) AS visualizacoes,
    count(*) FILTER (WHERE tipo_evento = 'adicao_carrinho') AS adicoes,
    count(DISTINCT id_pedido) FILTER (WHERE tipo_evento = 'compra')
        + count(*) FILTER (WHERE tipo_evento = 'compra' AND id_pedido IS NULL) AS pedidos,
    sum(CASE WHEN tipo_evento = 'compra' THEN coalesce(valor_total, preco * quantidade, 0) ELSE 0 END) AS receita,
    moeda
FROM eventos_clientes
GROUP BY janela, id_usuario, moeda
ORDER BY id_usuario, moeda;
