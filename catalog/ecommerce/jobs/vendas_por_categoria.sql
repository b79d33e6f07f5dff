-- Sales by category and day of the domain's zone. Net sales = gross sales - discounts - refunds, a refund on its own date.
CREATE TABLE vendas_por_categoria WITH (connector = 'warehouse', per = 'day', date = 'data', key = 'data, categoria, moeda') AS
SELECT
    data,
    coalesce(categoria, '(sem categoria)') AS categoria,
    moeda,
    count(DISTINCT id_pedido) FILTER (WHERE venda) + count(*) FILTER (WHERE venda AND id_pedido IS NULL) AS pedidos,
    sum(unidades) AS unidades,
    sum(receita) AS receita,
    sum(desconto) AS desconto,
    sum(reembolso) AS reembolso,
    sum(receita) - sum(desconto) - sum(reembolso) AS receita_liquida
FROM movimentos
GROUP BY data, coalesce(categoria, '(sem categoria)'), moeda;
