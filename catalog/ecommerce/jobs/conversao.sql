-- Session conversion and cart abandonment by day of the domain's zone, of the final sessions that began on it. `taxa` is sessions with at
-- least one `compra` / sessions, `taxa_abandono` 1 - completed / created carts: sessions in which something was put into the cart, and
-- those of them with a purchase. Shares of 1, rounded half up.
CREATE TABLE conversao_por_dia WITH (connector = 'warehouse', job = 'conversao', per = 'day', date = 'data', key = 'data') AS
SELECT
    data,
    count(*) AS sessoes,
    count(*) FILTER (WHERE pedidos > 0) AS com_compra,
    CAST(CAST(count(*) FILTER (WHERE pedidos > 0) AS DECIMAL(18, 6)) / nullif(count(*), 0) AS DECIMAL(7, 4)) AS taxa,
    count(*) FILTER (WHERE adicoes > 0) AS carrinhos,
    count(*) FILTER (WHERE adicoes > 0 AND pedidos > 0) AS carrinhos_concluidos,
    CAST(
        CAST(count(*) FILTER (WHERE adicoes > 0 AND pedidos = 0) AS DECIMAL(18, 6))
            / nullif(count(*) FILTER (WHERE adicoes > 0), 0) AS DECIMAL(7, 4)
    ) AS taxa_abandono
FROM (
    SELECT CAST(janela_inicio AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data, pedidos, adicoes
    FROM (
        -- A session is one, however many currencies it has.
        SELECT janela_inicio, id_usuario, sum(pedidos) AS pedidos, sum(adicoes) AS adicoes
        FROM sessoes
        GROUP BY janela_inicio, id_usuario
    ) AS uma_vez
) AS por_dia
GROUP BY data;

-- Purchaser rate by day: active users with at least one `compra` / active users.
CREATE TABLE compradores_por_dia WITH (connector = 'warehouse', job = 'conversao', per = 'day', date = 'data', key = 'data') AS
SELECT
    data,
    count(*) AS usuarios,
    count(*) FILTER (WHERE comprou) AS compradores,
    CAST(CAST(count(*) FILTER (WHERE comprou) AS DECIMAL(18, 6)) / nullif(count(*), 0) AS DECIMAL(7, 4)) AS taxa
FROM (
    SELECT
        CAST(timestamp AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data,
        id_usuario,
        bool_or(tipo_evento = 'compra') AS comprou
    FROM eventos_clientes
    WHERE id_usuario IS NOT NULL
    GROUP BY CAST(timestamp AT TIME ZONE current_setting('domain.time_zone') AS DATE), id_usuario
) AS ativos
GROUP BY data;

-- Of each product and day: users who viewed it (`clique`, `visualizacao`), put it into the cart and bought it; additions, and the items that
-- were added by them. `taxa_carrinho` is users adding / users viewing, `taxa_compra` users buying / users viewing, null without viewers.
CREATE TABLE conversao_por_produto WITH (
    connector = 'warehouse', job = 'conversao', per = 'day', date = 'data', key = 'data, id_produto'
) AS
SELECT
    *,
    CAST(CAST(adicionaram AS DECIMAL(18, 6)) / nullif(viram, 0) AS DECIMAL(18, 4)) AS taxa_carrinho,
    CAST(CAST(compraram AS DECIMAL(18, 6)) / nullif(viram, 0) AS DECIMAL(18, 4)) AS taxa_compra
FROM (
    SELECT
        CAST(timestamp AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data,
        id_produto,
        count(DISTINCT CASE WHEN tipo_evento IN ('clique', 'visualizacao') THEN id_usuario END) AS viram,
        count(DISTINCT CASE WHEN tipo_evento = 'adicao_carrinho' THEN id_usuario END) AS adicionaram,
        count(DISTINCT CASE WHEN tipo_evento = 'compra' THEN id_usuario END) AS compraram,
        count(*) FILTER (WHERE tipo_evento = 'adicao_carrinho') AS adicoes,
        coalesce(sum(quantidade) FILTER (WHERE tipo_evento = 'adicao_carrinho'), 0) AS itens_adicionados
    FROM eventos_clientes
    WHERE id_produto IS NOT NULL AND tipo_evento IN ('clique', 'visualizacao', 'adicao_carrinho', 'compra')
    GROUP BY CAST(timestamp AT TIME ZONE current_setting('domain.time_zone') AS DATE), id_produto
) AS por_produto;
