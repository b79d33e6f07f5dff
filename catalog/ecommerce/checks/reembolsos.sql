-- A refund that gives nothing back leaves net sales too high: its amount was not sent.
CREATE VIEW reembolsos_sem_valor WITH (check = 'a refund without an amount, or of zero') AS
SELECT id_pedido, id_produto, timestamp, quantidade, preco, valor
FROM reembolsos
WHERE data >= $de AND data < $ate AND valor <= 0;
