-- What is known of customers, in MongoDB: once with null where there is no answer, and once with what was known last. Answers are believed for a
-- second only, so that an outage is felt at once.
CREATE TABLE perfis (
    id_usuario TEXT NOT NULL,
    segmento TEXT
) WITH (
    connector = 'mongodb', connection = 'clientes', collection = 'perfis_usuarios', key = 'id_usuario',
    cache = '1 second', timeout = '200 milliseconds', retries = 2, on_failure = 'null'
);

CREATE TABLE cidades (
    id_usuario TEXT NOT NULL,
    cidade TEXT
) WITH (
    connector = 'mongodb', connection = 'clientes', collection = 'perfis_usuarios', key = 'id_usuario',
    cache = '1 second', timeout = '200 milliseconds', retries = 2, on_failure = 'last'
);
