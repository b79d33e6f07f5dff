-- Average order value per hour: net sales / orders, rounded half up to cents, null without orders. Net sales are
-- gross sales - discounts - refunds of the hour; a refund counts in the hour it happens, not in its order's.
CREATE MATERIALIZED VIEW ticket_medio AS
SELECT
    tumble(INTERVAL '1 hour') AS janela,
    moeda,
    sum(CASE
        WHEN tipo_evento = 'compra' THEN coalesce(valor_total, preco * quantidade, 0) - coalesce(desconto, 0)
        ELSE -coalesce(valor_total, preco * quantidade, 0)
    END) AS receita_liquida,
    count(DISTINCT id_pedido) FILTER (WHERE tipo_evento = 'compra')
        + count(*) FILTER (WHERE tipo_evento = 'compra' AND id_pedido IS NULL) AS pedidos,
    divide_half_up(
        sum(CASE
            WHEN tipo_evento = 'compra' THEN coalesce(valor_total, preco * quantidade, 0) - coalesce(desconto, 0)
            ELSE -coalesce(valor_total, preco * quantidade, 0)
        END),
        count(DISTINCT id_pedido) FILTER (WHERE tipo_evento = 'compra')
            + count(*) FILTER (WHERE tipo_evento = 'compra' AND id_pedido IS NULL)
    ) AS ticket
FROM eventos_clientes
WHERE tipo_evento IN ('compra', 'reembolso')
GROUP BY janela, moeda
ORDER BY receita_liquida DESC, moeda;
