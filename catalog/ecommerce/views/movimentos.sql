-- Sales and refunds as one list: what was sold, what was taken off, what was given back. A refund counts on its own date. Net sales are
-- `receita` - `desconto` - `reembolso`.
CREATE VIEW movimentos AS
SELECT
    CAST(timestamp AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data,
    timestamp,
    tipo_evento = 'compra' AS venda,
    id_pedido,
    id_produto,
    regiao,
    categoria,
    moeda,
    CASE WHEN tipo_evento = 'compra' THEN quantidade ELSE 0 END AS unidades,
    CASE WHEN tipo_evento = 'compra' THEN coalesce(valor_total, preco * quantidade, 0) ELSE 0 END AS receita,
    CASE WHEN tipo_evento = 'compra' THEN coalesce(desconto, 0) ELSE 0 END AS desconto,
    CASE WHEN tipo_evento = 'compra' THEN 0 ELSE coalesce(valor_total, preco * quantidade, 0) END AS reembolso
FROM eventos_clientes
WHERE tipo_evento IN ('compra', 'reembolso');
