-- Sales: one row per counted `compra`. `data` is the day in the shop's zone; `valor` is `valor_total`, else
-- `preco` x `quantidade`, else 0.
CREATE VIEW vendas AS
SELECT
    id_pedido,
    id_produto,
    quantidade,
    preco,
    CAST(timestamp AT TIME ZONE current_setting('shop.time_zone') AS DATE) AS data,
    timestamp,
    id_usuario,
    regiao,
    categoria,
    canal,
    id_afiliado,
    moeda,
    coalesce(valor_total, preco * quantidade, 0) AS valor,
    desconto
FROM eventos_clientes
WHERE tipo_evento = 'compra';
