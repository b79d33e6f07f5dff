-- Refunds: one row per counted `reembolso`, on the refund's own date. `valor` is the amount given back.
CREATE VIEW reembolsos WITH (
    import = 'data=timestamp, data_hora=timestamp, data_reembolso=timestamp, data_do_reembolso=timestamp, valor=valor_total, total_item=valor_total, total_do_item=valor_total, total_linha=valor_total, total_da_linha=valor_total, valor_do_item=valor_total, valor_total_item=valor_total, valor_total_do_item=valor_total, subtotal_do_item=valor_total, pedido=id_pedido, n_pedido=id_pedido, no_pedido=id_pedido, n_do_pedido=id_pedido, no_do_pedido=id_pedido, numero_pedido=id_pedido, numero_do_pedido=id_pedido, codigo_pedido=id_pedido, codigo_do_pedido=id_pedido, produto=id_produto, codigo_produto=id_produto, codigo_do_produto=id_produto, cod_produto=id_produto, uf=regiao, cliente=id_usuario, usuario=id_usuario, qtd=quantidade, qtde=quantidade, quant=quantidade, qty=quantidade, quantity=quantidade, valor_unitario=preco, valor_unit=preco, preco_unit=preco, unit_price=preco, preco_unitario=preco',
    import_key = 'id_pedido, id_produto, timestamp, valor_total, preco, quantidade',
    import_optional = 'id_usuario',
    import_sums = 'valor, quantidade', import_sums_by = 'moeda', import_top = 'id_produto'
) AS
SELECT
    id_pedido,
    id_produto,
    quantidade,
    preco,
    CAST(timestamp AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data,
    timestamp,
    id_usuario,
    regiao,
    categoria,
    canal,
    id_afiliado,
    moeda,
    coalesce(valor_total, preco * quantidade, 0) AS valor
FROM eventos_clientes
WHERE tipo_evento = 'reembolso';
