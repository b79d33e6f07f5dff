-- The same line of an order from the stream and from a file, or from two files that write it in different ways, counts twice. Lines that are
-- alike within one of them are as honest as others: a shop may write a line for each unit.
CREATE VIEW vendas_repetidas WITH (check = 'the same line of an order from more than one source') AS
SELECT id_pedido, id_produto, timestamp, valor, count(*) AS vezes, count(DISTINCT _origem) AS origens
FROM (
    SELECT
        id_pedido,
        id_produto,
        timestamp,
        coalesce(valor_total, preco * quantidade, 0) AS valor,
        CAST(timestamp AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data,
        _origem
    FROM eventos_clientes
    WHERE tipo_evento = 'compra'
) AS linhas
WHERE id_pedido IS NOT NULL AND data >= $de AND data < $ate
GROUP BY id_pedido, id_produto, timestamp, valor
HAVING count(DISTINCT _origem) > 1;

CREATE VIEW vendas_fora_da_faixa WITH (check = 'a sale without value, or of an unbelievable one') AS
SELECT id_pedido, id_produto, timestamp, quantidade, preco, valor, desconto
FROM vendas
WHERE data >= $de AND data < $ate AND (valor <= 0 OR valor > 1000000 OR quantidade > 10000 OR desconto > valor);

CREATE VIEW produtos_desconhecidos WITH (check = 'a product that was sold and is not in produtos') AS
SELECT id_produto, count(*) AS vendas
FROM vendas
WHERE data >= $de AND data < $ate
    AND (SELECT count(*) FROM produtos) > 0
    AND (id_produto IS NULL OR id_produto NOT IN (SELECT id_produto FROM produtos))
GROUP BY id_produto;

CREATE VIEW regioes_desconhecidas WITH (check = 'a region that was sold to and is not in regioes') AS
SELECT regiao, count(*) AS vendas
FROM vendas
WHERE data >= $de AND data < $ate
    AND (SELECT count(*) FROM regioes) > 0
    AND regiao IS NOT NULL AND regiao NOT IN (SELECT regiao FROM regioes)
GROUP BY regiao;

CREATE VIEW reembolsos_acima_da_venda WITH (
    check = 'more was given back of an order than was paid for it within 90 days', history = '90 days'
) AS
SELECT pedido.id_pedido, pedido.moeda, pedido.pago, pedido.devolvido
FROM (
    SELECT
        id_pedido,
        moeda,
        sum(receita) - sum(desconto) AS pago,
        sum(reembolso) AS devolvido,
        max(CASE WHEN NOT venda THEN data END) AS ultimo_reembolso,
        bool_or(venda) AS tem_venda
    FROM movimentos
    WHERE id_pedido IS NOT NULL
    GROUP BY id_pedido, moeda
) AS pedido
WHERE pedido.tem_venda AND pedido.devolvido > pedido.pago
    AND pedido.ultimo_reembolso >= $de AND pedido.ultimo_reembolso < $ate;

-- A day's sales against the mean of the same weekday in the four weeks before.
CREATE VIEW volume_incomum WITH (
    check = 'a day with less than half or more than three times the usual sales of its weekday', history = '28 days'
) AS
SELECT dia.data, dia.vendas, usual.vendas AS usual
FROM (SELECT data, count(*) AS vendas FROM vendas GROUP BY data) AS dia
JOIN (
    SELECT alvo.data, CAST(sum(antes.vendas) / 4 AS BIGINT) AS vendas, count(*) AS semanas
    FROM (SELECT DISTINCT data FROM vendas WHERE data >= $de AND data < $ate) AS alvo
    JOIN (SELECT data, count(*) AS vendas FROM vendas GROUP BY data) AS antes
        ON antes.data IN (
            alvo.data - INTERVAL '7 days', alvo.data - INTERVAL '14 days',
            alvo.data - INTERVAL '21 days', alvo.data - INTERVAL '28 days'
        )
    GROUP BY alvo.data
) AS usual ON usual.data = dia.data
WHERE usual.semanas = 4 AND (dia.vendas * 2 < usual.vendas OR dia.vendas > usual.vendas * 3);

CREATE VIEW dias_sem_vendas WITH (check = 'a day on which nothing was sold, though something was the day before', history = '1 days') AS
SELECT ontem.data + INTERVAL '1 day' AS dia_sem_vendas, ontem.vendas AS vendas_na_vespera
FROM (SELECT data, count(*) AS vendas FROM vendas GROUP BY data) AS ontem
LEFT JOIN (SELECT DISTINCT data FROM vendas) AS hoje ON hoje.data = ontem.data + INTERVAL '1 day'
WHERE hoje.data IS NULL AND ontem.data + INTERVAL '1 day' >= $de AND ontem.data + INTERVAL '1 day' < $ate;
