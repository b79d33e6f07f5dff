-- The customers of a shop, as its PostgreSQL has them.
CREATE TABLE clientes (
    regiao VARCHAR(256),
    id BIGINT,
    nome TEXT,
    limite DECIMAL(18, 2),
    ativo BOOLEAN,
    criado TIMESTAMP,
    alterado TIMESTAMP,
    visto TIMESTAMP
) WITH (connector = 'kafka', topic = 'loja.public.clientes', format = 'debezium', primary_key = 'regiao, id');

CREATE VIEW clientes_por_regiao AS
SELECT regiao, count(*) AS clientes, sum(limite) AS limite FROM clientes GROUP BY regiao;
