-- Every rule of the contract for `eventos_clientes` once more, in DuckDB: from decoded messages to the built-in metrics.
--
-- Made before: tables `message` (messages.py: DECODED_SCHEMA) and `archive` (oracle.py: ARCHIVE_COLUMNS, empty without one),
-- variables `zone`, `currency`, `idle` (a partition may have been idle). Times are UTC, in plain TIMESTAMP.

---------------------------------------------------------------------------------------------------------------- texts

-- A local time that exists twice is the earlier one, and one that does not exist moves forward: both follow from the offset that
-- was in force before the change. DuckDB takes the later of two.
CREATE MACRO at_zone(local) AS (local AT TIME ZONE getvariable('zone')) AT TIME ZONE 'UTC';
CREATE MACRO in_zone(instant) AS (instant AT TIME ZONE 'UTC') AT TIME ZONE getvariable('zone');
CREATE MACRO earlier(local) AS
    local - ((local - INTERVAL 3 HOURS) - at_zone(local - INTERVAL 3 HOURS));
CREATE MACRO from_local(local) AS
    CASE WHEN in_zone(earlier(local)) = local THEN earlier(local) ELSE at_zone(local) END;

-- RFC 3339, the offset optional; null when it is not. Digits after the sixth are cut off.
CREATE MACRO local_part(text) AS try_cast(
    text[1:10] || ' ' || regexp_extract(text[12:], '^[^.Zz+-]+(\.\d{1,6})?') AS TIMESTAMP);
CREATE MACRO instant(text) AS CASE
    WHEN regexp_full_match(text, '\d{4}-\d\d-\d\d[Tt ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[-+]([01]\d|2[0-3]):[0-5]\d)?')
    THEN CASE
        WHEN regexp_matches(text, '[Zz]$') THEN local_part(text)
        WHEN regexp_matches(text, '[-+]\d\d:\d\d$')
            THEN local_part(text)
                - to_minutes((text[-6:-6] || '1')::BIGINT * (text[-5:-4]::BIGINT * 60 + text[-2:]::BIGINT))
        ELSE from_local(local_part(text))
    END
END;

-- How many decimals the value of a number with an exponent needs; a cast to decimal would round it first.
CREATE MACRO exponent_digits(text) AS regexp_replace(regexp_extract(text, '^[^eE]*'), '[^0-9]', '', 'g');
CREATE MACRO exponent_decimals(text) AS CASE
    WHEN rtrim(exponent_digits(text), '0') = '' THEN 0
    ELSE length(regexp_extract(text, '\.(\d*)', 1)) - try_cast(regexp_extract(text, '[eE](.*)$', 1) AS BIGINT)
        - (length(exponent_digits(text)) - length(rtrim(exponent_digits(text), '0')))
END;
-- decimal(18,2): null when it has more decimals than zeros can explain, or more digits. An exponent is judged by its value.
CREATE MACRO money(text) AS CASE
    WHEN regexp_full_match(text, '-?\d+(\.\d\d?0*)?') THEN try_cast(regexp_replace(text, '(\.\d\d)0+$', '\1') AS DECIMAL(18, 2))
    WHEN regexp_matches(text, '[eE]') AND exponent_decimals(text) <= 2 THEN try_cast(text AS DECIMAL(18, 2))
END;
CREATE MACRO money_fault(text) AS CASE
    WHEN NOT regexp_full_match(text, '-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?') THEN 'tipo'
    WHEN text IS NOT NULL AND coalesce(money(text) < 0, true) THEN 'valor'
END;
-- A number without fraction, however it is written.
CREATE MACRO units(text) AS CASE
    WHEN try_cast(text AS DECIMAL(38, 18)) = try_cast(text AS DECIMAL(38, 18))::BIGINT
        THEN try_cast(text AS DECIMAL(38, 18))::BIGINT
END;
CREATE MACRO quantity_fault(text) AS CASE
    WHEN text IS NOT NULL AND coalesce(units(text) NOT BETWEEN 1 AND 1000000000, true) THEN 'valor'
END;

------------------------------------------------------------------------------------------------------------- verdicts

CREATE TABLE delivered AS
WITH timed AS MATERIALIZED (SELECT *, instant("timestamp") AS time FROM message WHERE size IS NOT NULL)
SELECT
    timed.*,
    archive.verdict AS archived,
    archive.reason AS archived_reason,
    archive.arrival,
    CASE
        WHEN size > 1024 * 1024 THEN 'tamanho'
        WHEN fault IS NOT NULL THEN fault
        WHEN id_usuario IS NULL OR tipo_evento IS NULL OR "timestamp" IS NULL THEN 'campo_ausente'
        WHEN time IS NULL OR time < TIMESTAMP '1970-01-01' THEN 'tempo'
        WHEN time > archive.arrival + INTERVAL 1 HOUR THEN 'futuro'
        ELSE coalesce(quantity_fault(quantidade), money_fault(preco), money_fault(valor_total), money_fault(desconto))
    END AS refusal
FROM timed
LEFT JOIN (SELECT * FROM archive WHERE end_offset IS NULL) AS archive
    ON archive."partition" = timed."partition" AND archive."offset" = timed."offset";

-- The effective watermark is the smallest of its partitions, so a late row is older than its own partition allows as well,
-- unless that partition was idle: then the newest row of any partition bounds it.
--
-- Only the archive knows how far the watermark had come, so two things are taken from it and checked to be possible: that a row
-- is late, and that an id was forgotten since every counted row that has it had become too old.
CREATE TABLE judged AS
WITH accepted AS (
    SELECT
        *,
        CASE
            WHEN getvariable('idle') THEN max(time) OVER ()
            ELSE max(time) OVER (PARTITION BY "partition" ORDER BY "offset" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        END AS newest,
        -- Without an earlier row nothing can be late; `least` alone would pass over that null.
        CASE WHEN newest IS NOT NULL THEN least(newest, arrival) - to_seconds(getvariable('trail')) END AS horizon,
        CASE WHEN id_evento IS NOT NULL THEN
            max(time) FILTER (coalesce(archived, 'contada') = 'contada') OVER (
                PARTITION BY "partition", id_evento ORDER BY "offset" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        END AS known
    FROM delivered
    WHERE refusal IS NULL
)
SELECT
    * EXCLUDE (newest),
    CASE
        WHEN known >= horizon THEN 'duplicada'
        WHEN archived = 'atrasada' AND time < horizon THEN 'atrasada'
        WHEN known IS NOT NULL AND archived IS DISTINCT FROM 'contada' THEN 'duplicada'
        ELSE 'contada'
    END AS verdict
FROM accepted
UNION ALL BY NAME
SELECT *, 'recusada' AS verdict FROM delivered WHERE refusal IS NOT NULL;

-------------------------------------------------------------------------------------------------------------- metrics

CREATE TABLE counted AS
SELECT
    * EXCLUDE (quantidade, preco, valor_total, desconto, moeda),
    coalesce(moeda, getvariable('currency')) AS moeda,
    coalesce(
        units(quantidade),
        CASE WHEN tipo_evento IN ('compra', 'reembolso', 'adicao_carrinho', 'remocao_carrinho') THEN 1 END
    ) AS units,
    coalesce(money(valor_total)::DECIMAL(38, 2), money(preco) * units::DECIMAL(19, 0), 0) AS amount,
    coalesce(money(desconto), 0) AS discount
FROM judged
WHERE verdict = 'contada';

CREATE MACRO minute(time) AS date_trunc('minute', time);
CREATE MACRO hour(time) AS date_trunc('hour', time);
CREATE MACRO orders(order_id) AS count(DISTINCT order_id) + count(*) FILTER (order_id IS NULL);

CREATE VIEW produtos_mais_vistos AS
SELECT minute(time) AS janela_inicio, janela_inicio + INTERVAL 1 MINUTE AS janela_fim, id_produto, count(*) AS visualizacoes
FROM counted
WHERE tipo_evento IN ('clique', 'visualizacao') AND id_produto IS NOT NULL
GROUP BY ALL;

CREATE VIEW vendas_por_minuto AS
SELECT
    minute(time) AS janela_inicio, janela_inicio + INTERVAL 1 MINUTE AS janela_fim, moeda,
    orders(id_pedido) AS pedidos, sum(units) AS unidades, sum(amount) AS receita
FROM counted
WHERE tipo_evento = 'compra'
GROUP BY ALL;

CREATE VIEW vendas_por_produto AS
SELECT
    minute(time) AS janela_inicio, janela_inicio + INTERVAL 1 MINUTE AS janela_fim, id_produto, categoria, regiao, moeda,
    orders(id_pedido) AS pedidos, sum(units) AS unidades, sum(amount) AS receita
FROM counted
WHERE tipo_evento = 'compra'
GROUP BY ALL;

-- Every window of five minutes that holds the event: it starts in the event's minute or in one of the four before.
CREATE VIEW usuarios_ativos AS
SELECT
    minute(time) - to_minutes(back) AS janela_inicio, janela_inicio + INTERVAL 5 MINUTES AS janela_fim,
    count(DISTINCT id_usuario) AS usuarios
FROM counted, range(5) AS earlier(back)
GROUP BY ALL;

-- Half up means away from zero; in whole cents, since a division of decimals is floating point here.
CREATE VIEW ticket_medio AS
WITH hours AS (
    SELECT
        hour(time) AS janela_inicio, janela_inicio + INTERVAL 1 HOUR AS janela_fim, moeda,
        sum(CASE WHEN tipo_evento = 'compra' THEN amount - discount ELSE -amount END) AS receita_liquida,
        count(DISTINCT id_pedido) FILTER (tipo_evento = 'compra')
            + count(*) FILTER (tipo_evento = 'compra' AND id_pedido IS NULL) AS pedidos
    FROM counted
    WHERE tipo_evento IN ('compra', 'reembolso')
    GROUP BY ALL
)
SELECT
    * EXCLUDE (cents),
    CASE WHEN pedidos > 0 THEN (sign(receita_liquida)::DECIMAL(1, 0)
        * ((2 * cents + pedidos) // (2 * pedidos))::DECIMAL(20, 0) * 0.01::DECIMAL(3, 2))::DECIMAL(18, 2)
    END AS ticket
FROM (SELECT *, (abs(receita_liquida) * 100)::HUGEINT AS cents FROM hours);

CREATE VIEW funil_conversao AS
SELECT
    hour(time) AS janela_inicio, janela_inicio + INTERVAL 1 HOUR AS janela_fim, ordem, etapa,
    count(DISTINCT id_usuario) AS usuarios
FROM counted
JOIN (VALUES
    (1, 'visualizacao', 'visualizacao'), (1, 'visualizacao', 'clique'), (2, 'adicao_carrinho', 'adicao_carrinho'),
    (3, 'inicio_checkout', 'inicio_checkout'), (4, 'compra', 'compra')
) AS step(ordem, etapa, event) ON tipo_evento = event
GROUP BY ALL;

-- Gaps and islands: an event begins a session if none of its user came less than half an hour before, on the same day of the shop.
CREATE VIEW sessoes AS
WITH marked AS (
    SELECT
        *, in_zone(time)::DATE AS day,
        coalesce(time - lag(time) OVER (PARTITION BY id_usuario, in_zone(time)::DATE ORDER BY time) >= INTERVAL 30 MINUTES, true) AS begins
    FROM counted
), numbered AS (
    SELECT *, sum(begins::INTEGER) OVER (PARTITION BY id_usuario, day ORDER BY time ROWS UNBOUNDED PRECEDING) AS island
    FROM marked
), bounded AS (
    SELECT
        *, min(time) OVER island_of AS janela_inicio,
        least(max(time) OVER island_of + INTERVAL 30 MINUTES, from_local((day + 1)::TIMESTAMP)) AS janela_fim
    FROM numbered
    WINDOW island_of AS (PARTITION BY id_usuario, day, island)
)
SELECT
    janela_inicio, janela_fim, id_usuario, count(*) AS eventos,
    count(*) FILTER (tipo_evento IN ('clique', 'visualizacao')) AS visualizacoes,
    count(*) FILTER (tipo_evento = 'adicao_carrinho') AS adicoes,
    count(DISTINCT id_pedido) FILTER (tipo_evento = 'compra')
        + count(*) FILTER (tipo_evento = 'compra' AND id_pedido IS NULL) AS pedidos,
    sum(CASE WHEN tipo_evento = 'compra' THEN amount ELSE 0 END) AS receita,
    moeda
FROM bounded
GROUP BY ALL;
