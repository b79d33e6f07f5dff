-- One query a line, each answered alike by PostgreSQL and by the SQL endpoint.
SELECT 1 AS um
SELECT true AS sim, false AS nao, CAST(NULL AS boolean) AS nada
SELECT CAST(32767 AS smallint) AS maior, CAST(-32768 AS smallint) AS menor
SELECT CAST(2147483647 AS integer) AS maior, CAST(-2147483648 AS integer) AS menor
SELECT CAST(9223372036854775807 AS bigint) AS maior, CAST('-9223372036854775808' AS bigint) AS menor
SELECT CAST(1.5 AS real) AS meio, CAST('-0.25' AS real) AS negativo
SELECT CAST(0.1 AS double precision) AS decimo, CAST('1e300' AS double precision) AS grande, CAST('-1e-300' AS double precision) AS pequeno
SELECT CAST('NaN' AS double precision) AS nada, CAST('Infinity' AS double precision) AS mais, CAST('-Infinity' AS double precision) AS menos
SELECT CAST('12345678901234567890.12' AS numeric(38, 2)) AS dinheiro, CAST('-0.01' AS numeric(18, 2)) AS centavo, CAST('0.00' AS numeric(18, 2)) AS zero
SELECT CAST('0.000000001' AS numeric(20, 9)) AS pouco, CAST('100000' AS numeric(18, 0)) AS muitos, CAST(NULL AS numeric(18, 2)) AS nada
SELECT 'café' AS texto, '' AS vazio, CAST(NULL AS text) AS nada
SELECT 'aspas '' e " e \ e tab' || chr(9) || 'fim' AS texto
SELECT '日本語 🎉 ação' AS texto, length('日本語 🎉') AS letras
SELECT CAST('2026-11-29' AS date) AS dia, CAST('0001-01-01' AS date) AS primeiro, CAST('9999-12-31' AS date) AS ultimo
SELECT CAST('2026-11-29 12:34:56.789012' AS timestamp) AS momento, CAST('1969-12-31 23:59:59' AS timestamp) AS antes
SELECT CAST('2026-11-29 12:34:56.789+00' AS timestamptz) AS utc, CAST('2026-11-29 12:34:56-03' AS timestamptz) AS local
SELECT CAST(NULL AS timestamptz) AS nada, CAST(NULL AS date) AS dia
SELECT date_trunc('month', CAST('2026-11-29 12:00:00+00' AS timestamptz)) AS mes
SELECT extract(year FROM CAST('2026-11-29' AS date)) = 2026 AS ano, extract(dow FROM CAST('2026-11-29' AS date)) = 0 AS domingo
SELECT CAST('2026-11-29' AS date) - CAST('2026-11-01' AS date) = 28 AS dias
SELECT CAST('2026-11-29 00:00:00' AS timestamp) + INTERVAL '1 day 2 hours' AS depois
SELECT value AS n FROM generate_series(1, 5) AS g(value) ORDER BY n
SELECT CAST(n AS bigint) AS n, n % 2 = 0 AS par FROM (VALUES (1), (2), (3)) AS t(n) ORDER BY n
SELECT count(*) AS linhas, sum(n) AS soma, min(n) AS menor, max(n) AS maior FROM (VALUES (CAST(1 AS integer)), (2), (3)) AS t(n)
SELECT a, count(*) AS linhas FROM (VALUES ('x', 1), ('y', 2), ('x', 3)) AS t(a, b) GROUP BY a ORDER BY a
SELECT a, sum(b) AS soma FROM (VALUES ('x', CAST(1.25 AS numeric(18, 2))), ('x', CAST(2.50 AS numeric(18, 2))), ('y', NULL)) AS t(a, b) GROUP BY a HAVING count(b) > 0 ORDER BY a
SELECT a, row_number() OVER (ORDER BY b DESC) AS posicao FROM (VALUES ('x', 1), ('y', 3), ('z', 2)) AS t(a, b) ORDER BY posicao
SELECT a, CAST(sum(b) OVER (PARTITION BY a ORDER BY b) AS bigint) AS acumulado FROM (VALUES ('x', CAST(1 AS bigint)), ('x', 2), ('y', 5)) AS t(a, b) ORDER BY a, acumulado
WITH t(n) AS (VALUES (1), (2)) SELECT t.n, u.n AS m FROM t LEFT JOIN t AS u ON u.n = t.n + 1 ORDER BY t.n
WITH RECURSIVE r(n) AS (SELECT CAST(1 AS bigint) UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT CAST(sum(n) AS bigint) AS soma FROM r
SELECT CASE WHEN 1 > 2 THEN 'a' ELSE 'b' END AS caso, coalesce(NULL, 'c') AS primeiro, nullif('d', 'd') AS nada
SELECT upper('abc') AS maiuscula, lower('ÀÉ') AS minuscula, trim('  x ') AS aparado, substring('abcdef', 2, 3) AS parte, replace('aXa', 'X', 'b') AS trocado
SELECT 'abc' LIKE 'a%' AS comeca, 'ABC' ILIKE 'a%' AS tanto_faz, 'abc' ~ '^a.c$' AS expressao
SELECT 1 WHERE false
SELECT round(CAST(2.345 AS numeric(18, 3)), 2) AS arredondado, abs(CAST(-5 AS bigint)) AS positivo, CAST(7 AS bigint) / CAST(2 AS bigint) AS inteiro, CAST(7 AS bigint) % CAST(2 AS bigint) AS resto
SELECT x FROM (VALUES ('b'), ('a'), (NULL)) AS t(x) ORDER BY x NULLS FIRST
SELECT DISTINCT a FROM (VALUES (1), (1), (2)) AS t(a) ORDER BY a
SELECT a FROM (VALUES (1), (2)) AS t(a) EXCEPT SELECT 2 ORDER BY a
SELECT EXISTS (SELECT 1 FROM (VALUES (1)) AS t(a) WHERE a = 1) AS existe, 2 IN (1, 2) AS contido
SELECT a, b FROM (VALUES (1, 'x'), (2, 'y'), (3, 'z')) AS t(a, b) ORDER BY a LIMIT 2 OFFSET 1
