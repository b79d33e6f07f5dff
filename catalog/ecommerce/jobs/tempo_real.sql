-- What is live, in the warehouse each hour. The final windows of every metric are in this job too, without being named here: each in a table of
-- the metric's name, with the day of the domain's zone on which the window begins.

-- Every counted event, and every imported one.
CREATE TABLE tempo_real_eventos WITH (
    connector = 'warehouse', job = 'tempo_real', table = 'eventos_clientes', per = 'day', date = 'data'
) AS
SELECT CAST(timestamp AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data, * EXCLUDE (_origem)
FROM eventos_clientes;

CREATE TABLE tempo_real_estoque_por_armazem WITH (
    connector = 'warehouse', job = 'tempo_real', table = 'estoque_por_armazem', per = 'all', date = 'data',
    key = 'data, id_produto, id_armazem'
) AS
SELECT CAST(ultima_atualizacao AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data, *
FROM estoque_por_armazem;

CREATE TABLE tempo_real_estoque WITH (
    connector = 'warehouse', job = 'tempo_real', table = 'estoque', per = 'all', date = 'data', key = 'data, id_produto'
) AS
SELECT CAST(ultima_atualizacao AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data, *
FROM estoque;

CREATE TABLE tempo_real_carrinhos WITH (
    connector = 'warehouse', job = 'tempo_real', table = 'carrinhos_abandonados', per = 'all', date = 'data',
    key = 'data, id_usuario, moeda'
) AS
SELECT CAST(desde AT TIME ZONE current_setting('domain.time_zone') AS DATE) AS data, *
FROM carrinhos_abandonados;
