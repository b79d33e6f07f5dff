-- Live metrics as documents. FerretDB 1 has no decimals: amounts are in cents.
CREATE MATERIALIZED VIEW eventos_por_segmento AS
SELECT tumble(INTERVAL '1 minute') AS janela, segmento, count(*) AS eventos
FROM eventos_clientes
GROUP BY janela, segmento;

CREATE VIEW segmentos_ao_vivo WITH (connector = 'mongodb', connection = 'clientes', key = 'janela_inicio, segmento') AS
SELECT janela_inicio, coalesce(segmento, 'sem resposta') AS segmento, eventos, provisoria FROM eventos_por_segmento;

CREATE VIEW vendas_ao_vivo WITH (connector = 'mongodb', connection = 'clientes', key = 'janela_inicio, moeda') AS
SELECT janela_inicio, moeda, pedidos, unidades, CAST(receita * 100 AS BIGINT) AS centavos, provisoria FROM vendas_por_minuto;
