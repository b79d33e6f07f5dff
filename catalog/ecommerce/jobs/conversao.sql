-- Session conversion by day of the domain's zone, of the final sessions that began on it: `taxa` is sessions with at least one `compra` /
-- sessions. A share of 1, rounded half up.
CREATE TABLE conversao_por_dia WITH (connector = 'warehouse', job = 'conversao', per = 'day', date = 'data', key = 'data') AS
SELECT
    data,
    count(*) AS sessoes,
    count(*) FILTER (WHERE pedidos > 0) AS com_compra,
    CAST(CAST(count(*) FILTER (WHERE pedidos > 0) AS DECIMAL(18, 6)) / nullif(count(*), 0) AS DECIMAL(7, 4)) AS taxa
FROM (
    SELECT CAST(janela_inicio AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data, pedidos
    FROM (
        -- A session is one, however many currencies it has.
        SELECT janela_inicio, id_usuario, sum(pedidos) AS pedidos
        FROM sessoes
        GROUP BY janela_inicio, id_usuario
    ) AS uma_vez
) AS por_dia
GROUP BY data;

-- Cart abandonment by day of the domain's zone, of the carts that were begun on it: `taxa_abandono` is 1 - completed / created carts. A
-- user's cart in a currency begins with an addition and ends with the user's next purchase, however much later that comes: it takes an
-- abandoned cart back, and a day's numbers change with it. An emptied cart (`esvaziados`) and one that is still `aberto`, touched in the
-- last 30 minutes before the newest event, are neither created nor abandoned. Of the same instant, purchases come last.
CREATE TABLE abandono_por_dia WITH (connector = 'warehouse', job = 'conversao', per = 'all', date = 'data', key = 'data') AS
WITH passos AS (
    SELECT
        id_usuario,
        moeda,
        timestamp,
        tipo_evento,
        CASE tipo_evento WHEN 'adicao_carrinho' THEN quantidade WHEN 'remocao_carrinho' THEN -quantidade ELSE 0 END AS itens,
        -- How many purchases came before: the number of the cart.
        sum(CASE WHEN tipo_evento = 'compra' THEN 1 ELSE 0 END) OVER (
            PARTITION BY id_usuario, moeda
            ORDER BY timestamp, CASE WHEN tipo_evento = 'compra' THEN 1 ELSE 0 END
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) - CASE WHEN tipo_evento = 'compra' THEN 1 ELSE 0 END AS numero
    FROM eventos_clientes
    WHERE tipo_evento IN ('adicao_carrinho', 'remocao_carrinho', 'inicio_checkout', 'compra') AND id_usuario IS NOT NULL
),
carrinhos_de_sempre AS (
    SELECT
        CAST(
            min(timestamp) FILTER (WHERE tipo_evento = 'adicao_carrinho') AT TIME ZONE current_setting('domain.time_zone') AS DATE
        ) AS data,
        sum(itens) AS itens,
        bool_or(tipo_evento = 'compra') AS concluido,
        max(timestamp) AS ultima_atividade
    FROM passos
    GROUP BY id_usuario, moeda, numero
    HAVING bool_or(tipo_evento = 'adicao_carrinho')
),
contados AS (
    SELECT
        data,
        concluido,
        NOT concluido AND itens <= 0 AS esvaziado,
        NOT concluido AND itens > 0 AND ultima_atividade > ate - INTERVAL '30 minutes' AS aberto
    FROM carrinhos_de_sempre
    CROSS JOIN (SELECT max(timestamp) AS ate FROM eventos_clientes) AS ultimo
)
SELECT
    data,
    count(*) FILTER (WHERE NOT esvaziado AND NOT aberto) AS carrinhos,
    count(*) FILTER (WHERE concluido) AS concluidos,
    count(*) FILTER (WHERE NOT concluido AND NOT esvaziado AND NOT aberto) AS abandonados,
    count(*) FILTER (WHERE esvaziado) AS esvaziados,
    CAST(
        CAST(count(*) FILTER (WHERE NOT concluido AND NOT esvaziado AND NOT aberto) AS DECIMAL(18, 6))
            / nullif(count(*) FILTER (WHERE NOT esvaziado AND NOT aberto), 0) AS DECIMAL(7, 4)
    ) AS taxa_abandono
FROM contados
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
