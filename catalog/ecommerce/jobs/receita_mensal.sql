-- Revenue of each month of the domain's zone; `mes` is its first day, `ticket` net sales / orders, rounded half up to cents.
CREATE TABLE receita_mensal WITH (connector = 'warehouse', per = 'month', date = 'mes', key = 'mes, moeda') AS
SELECT *, divide_half_up(receita_liquida, pedidos) AS ticket
FROM (
    SELECT
        CAST(date_trunc('month', data) AS DATE) AS mes,
        moeda,
        count(DISTINCT id_pedido) FILTER (WHERE venda) + count(*) FILTER (WHERE venda AND id_pedido IS NULL) AS pedidos,
        sum(unidades) AS unidades,
        sum(receita) AS receita,
        sum(desconto) AS desconto,
        sum(reembolso) AS reembolso,
        sum(receita) - sum(desconto) - sum(reembolso) AS receita_liquida
    FROM movimentos
    GROUP BY CAST(date_trunc('month', data) AS DATE), moeda
);
