-- The cart of each user, in each currency: what was put in and not taken out since the user's last purchase, and when it was touched last.
-- `ultima_atividade` is an addition, a removal or a begun checkout. A purchase completes the cart, whatever was in it.
CREATE MATERIALIZED VIEW carrinhos AS
SELECT
    id_usuario,
    moeda,
    sum_since(
        CASE tipo_evento WHEN 'adicao_carrinho' THEN quantidade WHEN 'remocao_carrinho' THEN -quantidade END,
        tipo_evento = 'compra'
    ) AS itens,
    sum_since(
        CASE tipo_evento
            WHEN 'adicao_carrinho' THEN coalesce(valor_total, preco * quantidade, 0)
            WHEN 'remocao_carrinho' THEN -coalesce(valor_total, preco * quantidade, 0)
        END,
        tipo_evento = 'compra'
    ) AS valor,
    max(timestamp) FILTER (WHERE tipo_evento = 'adicao_carrinho') AS ultima_adicao,
    max(timestamp) FILTER (WHERE tipo_evento = 'remocao_carrinho') AS ultima_remocao,
    max(timestamp) FILTER (WHERE tipo_evento = 'inicio_checkout') AS ultimo_checkout,
    max(timestamp) FILTER (WHERE tipo_evento <> 'compra') AS ultima_atividade,
    max(timestamp) FILTER (WHERE tipo_evento = 'compra') AS ultima_compra
FROM eventos_clientes
WHERE tipo_evento IN ('adicao_carrinho', 'remocao_carrinho', 'inicio_checkout', 'compra') AND id_usuario IS NOT NULL
GROUP BY id_usuario, moeda;
