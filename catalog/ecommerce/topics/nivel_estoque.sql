-- Stock as warehouses report it: the level itself, not a change of it. The newest time of a product and place wins, however late it comes.
CREATE TABLE atualizacoes_estoque (
    id_produto TEXT_OR_NUMBER(256) NOT NULL,
    id_armazem TEXT_OR_NUMBER(256) NOT NULL,
    -- Below zero where more was sold than there was. The bounds keep sums over all places exact.
    nivel_estoque BIGINT NOT NULL CHECK (nivel_estoque BETWEEN -1000000000 AND 1000000000),
    timestamp TIMESTAMP NOT NULL
) WITH (
    connector = 'kafka',
    topic = 'atualizacoes_estoque',
    event_time = 'timestamp',
    watermark = '10 seconds',
    lateness = 'never',
    ahead = '1 minute',
    idle = '30 seconds',
    path = '/estoque',
    scope = 'estoque:write',
    key = 'id_produto'
);
