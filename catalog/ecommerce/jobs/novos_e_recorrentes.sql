-- New and returning customers by day of the domain's zone: `novo` on the day of the customer's first purchase, `recorrente` on every later
-- one. Sales without a customer are in neither.
CREATE TABLE novos_e_recorrentes WITH (connector = 'warehouse', per = 'all', date = 'data', key = 'data, tipo, moeda') AS
SELECT
    v.data,
    CASE WHEN v.data = p.primeira THEN 'novo' ELSE 'recorrente' END AS tipo,
    v.moeda,
    count(DISTINCT v.id_usuario) AS clientes,
    count(DISTINCT v.id_pedido) + count(*) FILTER (WHERE v.id_pedido IS NULL) AS pedidos,
    sum(v.valor) AS receita
FROM vendas AS v
JOIN (SELECT id_usuario, min(data) AS primeira FROM vendas WHERE id_usuario IS NOT NULL GROUP BY id_usuario) AS p
    ON p.id_usuario = v.id_usuario
GROUP BY v.data, CASE WHEN v.data = p.primeira THEN 'novo' ELSE 'recorrente' END, v.moeda;
